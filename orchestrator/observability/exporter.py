"""The series of Prometheus, read from the database at each scrape. Series of a job end with the job.

A tick carries a job's newest numbers; which series they make is in its kind's row (`jobs.kinds`). The sums over all
its ticks (counter_sums.py) stand in the job's row and take the place of what the newest one says.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Protocol

from prometheus_client import generate_latest
from prometheus_client.core import (
    CollectorRegistry,
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from jobs import kinds
from orchestrator import __version__, db
from orchestrator.observability.process_metrics import ProcessMetrics
from orchestrator.records import Attempt, Job, Json, Schedule, Tick
from orchestrator.scheduler import Node, Policy

J = ("project", "job_name", "job_id")

COUNTERS: dict[str, tuple[str, tuple[str, ...]]] = {  # of the database's table: help, labels
    "jobs_finished_total": ("Jobs that ended", ("project", "queue", "kind", "status", "failure")),
    "attempts_total": ("Attempts that ended", ("kind", "outcome", "failure")),
    "preemptions_total": ("Attempts stopped for a more important job", ("queue",)),
    "gpu_seconds_total": ("GPU time of attempts that ended", ("project", "queue", "use")),
    "cpu_seconds_total": ("CPU time of attempts that ended", ("project", "queue", "use")),
    "schedule_ticks_total": ("Firings of schedules, by what became of them", ("project", "schedule", "outcome")),
}
HISTOGRAMS: dict[str, tuple[str, tuple[str, ...]]] = {
    "job_queue_wait_seconds": ("Time from entering the queue to the start of an attempt", ("queue", "kind")),
    "job_run_duration_seconds": ("Time from a job's first driver to its end", ("queue", "kind")),
    "schedule_lateness_seconds": ("Time from a firing to its job", ()),
    "recovery_duration_seconds": ("Time from an attempt's failure to its successor's driver", ("cause",)),
}


class Supervision(Protocol):
    """What the supervisor last saw."""

    last_step: float | None
    nodes: Sequence[Node] | None


def page(database: db.Database, process: ProcessMetrics, supervisor: Supervision, policy: Policy) -> bytes:
    """Return all series as Prometheus reads them: what the process measured of itself, then what the database knows of jobs."""
    registry = CollectorRegistry()
    registry.register(DatabaseCollector(database, supervisor, policy))
    return generate_latest(process.registry) + generate_latest(registry)


@dataclass(frozen=True, kw_only=True)
class Seen:
    """One consistent look at everything."""

    tally: list[tuple[str, str, str, str, int]]
    counters: list[tuple[str, dict[str, str], float]]
    active: list[Job]
    ticks: Mapping[str, Tick]
    held: list[Attempt]
    owners: Mapping[str, Job]  # the jobs of what is held
    nodes: Iterable[Node]
    schedules: list[Schedule]
    last_firings: Mapping[tuple[str, str], float]
    last_successes: Mapping[tuple[str, str], float]


class DatabaseCollector(Collector):
    def __init__(self, database: db.Database, supervisor: Supervision, policy: Policy) -> None:
        self.database, self.supervisor, self.policy = database, supervisor, policy

    def describe(self) -> list[Metric]:
        return []  # nothing is fixed before the first look

    def collect(self) -> Iterator[Metric]:
        seen = self._look()
        yield from _server(self.supervisor.last_step)
        yield from _fleet(seen)
        yield from _counters(seen.counters)
        yield from _histograms(seen.counters)
        yield from _cluster(seen)
        yield from _schedules(seen)
        yield from _queues(seen, self.policy)
        yield from _jobs(seen)

    def _look(self) -> Seen:
        with self.database.read() as connection:
            held = db.attempts.unreleased(connection)
            return Seen(
                tally=db.jobs.tally(connection),
                counters=list(db.counters.all(connection)),
                active=db.jobs.active(connection),
                ticks=db.ticks.newest_of_unfinished(connection),
                held=held,
                owners=db.jobs.with_attempts(connection, held),
                nodes=self.supervisor.nodes or (),
                schedules=db.schedules.all(connection),
                last_firings=db.schedules.newest_firings(connection),
                last_successes=db.schedules.newest_successes(connection),
            )


def gauge(name: str, help: str, labels: Iterable[str] = ()) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"ganworks_{name}", help, labels=list(labels))


def counter(name: str, help: str, labels: Iterable[str] = ()) -> CounterMetricFamily:
    return CounterMetricFamily(f"ganworks_{name}", help, labels=list(labels))


def _server(last_step: float | None) -> Iterator[Metric]:
    build = gauge("build_info", "The server's version", ["version"])
    build.add_metric([__version__], 1)
    yield build
    leader = gauge("leader", "1 on the server that works on the database")
    leader.add_metric([], 1)
    yield leader
    step = gauge("supervisor_last_step_timestamp_seconds", "When the supervisor last looked at everything")
    if last_step is not None:
        step.add_metric([], last_step)
    yield step


def _fleet(seen: Seen) -> Iterator[Metric]:
    jobs = gauge("jobs", "Jobs on record", ["project", "queue", "kind", "status"])
    for *labels, count in seen.tally:
        jobs.add_metric([str(label) for label in labels], count)
    yield jobs


def _counters(rows: list[tuple[str, dict[str, str], float]]) -> Iterator[Metric]:
    for name, (help, labels) in COUNTERS.items():
        family = counter(name, help, labels)
        for row_name, row_labels, value in rows:
            if row_name == name:
                family.add_metric([row_labels.get(label, "") for label in labels], value)
        yield family


def _histograms(rows: list[tuple[str, dict[str, str], float]]) -> Iterator[Metric]:
    for name, (help, labels) in HISTOGRAMS.items():
        family = HistogramMetricFamily(f"ganworks_{name}", help, labels=list(labels))
        sums = {_key(row, labels): value for row_name, row, value in rows if row_name == f"{name}_sum"}
        for key, total in sums.items():
            own = {
                row["le"]: value
                for row_name, row, value in rows
                if row_name == f"{name}_bucket" and _key(row, labels) == key
            }
            family.add_metric(list(key), _cumulated(db.counters.BUCKETS[name], own), total)
        yield family


def _key(row: Mapping[str, str], labels: Iterable[str]) -> tuple[str, ...]:
    return tuple(row.get(label, "") for label in labels)


def _cumulated(edges: Iterable[float], own: Mapping[str, float]) -> list[tuple[str, float]]:
    """Return each bucket's count with those below it, as Prometheus wants them."""
    total, buckets = 0.0, []
    for edge in [*(str(float(edge)) for edge in edges), "+Inf"]:
        total += own.get(edge, 0.0)
        buckets.append((edge, total))
    return buckets


def _cluster(seen: Seen) -> Iterator[Metric]:
    for unit, held in (
        ("cpus", sum(each.workers * each.cpus_per_worker for each in seen.held)),
        ("gpus", sum(each.workers * each.gpus_per_worker for each in seen.held)),
    ):
        family = gauge(f"cluster_{unit}", f"{unit.upper()[:-1]}s of the cluster", ["state"])
        total = sum(getattr(node, unit) for node in seen.nodes)
        family.add_metric(["held"], held)
        family.add_metric(["free"], max(total - held, 0))
        yield family


def _queues(seen: Seen, policy: Policy) -> Iterator[Metric]:
    used = gauge("queue_used_gpus", "GPUs that a queue's attempts hold", ["queue"])
    quota = gauge("queue_quota_gpus", "GPUs that a queue is guaranteed", ["queue"])
    held: dict[str, float] = dict.fromkeys(policy.queues, 0.0)
    for attempt in seen.held:
        queue = seen.owners[attempt.job_id].queue
        held[queue] = held.get(queue, 0.0) + attempt.workers * attempt.gpus_per_worker
    for queue, gpus in held.items():
        used.add_metric([queue], gpus)
    for queue, ruled in policy.queues.items():
        if ruled.gpus is not None:
            quota.add_metric([queue], ruled.gpus)
    yield from (used, quota)


def _schedules(seen: Seen) -> Iterator[Metric]:
    labels = ("project", "schedule")
    coming = gauge("schedule_next_timestamp_seconds", "When it fires next", labels)
    last = gauge("schedule_last_timestamp_seconds", "Scheduled time of the newest firing that made a job", labels)
    success = gauge("schedule_last_success_timestamp_seconds", "When a scheduled job last succeeded", labels)
    suspended = gauge("schedule_suspended", "1 while a schedule does not fire", labels)
    for schedule in seen.schedules:
        key = (schedule.project, schedule.name)
        if schedule.next_at is not None and not schedule.suspended:
            coming.add_metric(key, schedule.next_at)
        for family, found in ((last, seen.last_firings), (success, seen.last_successes)):
            if key in found:
                family.add_metric(key, found[key])
        suspended.add_metric(key, float(schedule.suspended))
    yield from (coming, last, success, suspended)


# --- series of one job: each kind has its own (jobs.kinds)


def _jobs(seen: Seen) -> Iterator[Metric]:
    info = gauge("job_info", "What an active job is", [*J, "kind", "family", "queue", "owner"])
    workers = gauge("job_workers", "Workers of an active job's attempt", J)
    sizes = {attempt.job_id: attempt.workers for attempt in seen.held if attempt.is_live}
    for job in seen.active:
        family = str(job.spec.get("model", {}).get("family", ""))
        info.add_metric([*_j(job), job.kind, family, job.queue, job.owner], 1)
        workers.add_metric(_j(job), sizes.get(job.id, 0))
    yield from (info, workers)
    ticked = [(job, _summed(job, seen.ticks[job.id])) for job in seen.active if job.id in seen.ticks]
    yield from _told(ticked)


def _summed(job: Job, tick: Tick) -> Json:
    """Return the tick's fields and its time, the sums over all ticks in the place of what the newest one says."""
    return tick.data | (job.totals or {}) | {"time": tick.time}


def _told(ticked: Iterable[tuple[Job, Json]]) -> Iterable[Metric]:
    """Return every series that some kind of job has, with what the jobs of these ticks tell."""
    rows = {kind.name: kind.all_series for kind in kinds.KINDS.values()}
    families = {
        each.name: (counter if each.is_counter else gauge)(each.name, each.help, [*J, *each.labels])
        for each in chain.from_iterable(rows.values())
    }
    for job, tick in ticked:
        for each in rows.get(job.kind, ()):
            for labels, value in each.read(tick):
                families[each.name].add_metric([*_j(job), *labels], value)
    return families.values()


def _j(job: Job) -> list[str]:
    return [job.project, job.name, job.id]
