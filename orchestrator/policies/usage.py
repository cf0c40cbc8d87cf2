"""Who used how much: in all, useful and wasted; and lately, the decayed average that fair share goes by. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from orchestrator.records import Attempt, Job, JobSummary
from orchestrator.scheduler import Amount
from orchestrator.states import AttemptStatus


@dataclass(frozen=True, kw_only=True)
class Use:
    """What a released attempt held."""

    who: tuple[str, str]  # queue, owner
    begin: float
    end: float
    size: Amount


REMEMBERED = 8  # half-lives: what is older counts for less than half a percent


def recent(
    attempts: Iterable[Attempt], jobs: Mapping[str, Job], half_life: float, now: float
) -> dict[tuple[str, str], Amount]:
    """Return, by (queue, owner), CPUs and GPUs on average, each moment counting half as much a half-life later."""
    found: dict[tuple[str, str], Amount] = {}
    for attempt in attempts:
        job = jobs[attempt.job_id]
        share = weight(attempt.created, attempt.released or attempt.ended or now, half_life, now)
        size = Amount(attempt.cpus_per_worker, attempt.gpus_per_worker).times(attempt.workers)
        who = (job.queue, job.owner)
        found[who] = found.get(who, Amount()).plus(size, share)
    return found


def settled(
    before: Mapping[tuple[str, str], Amount], elapsed: float, released: Iterable[Use], half_life: float, now: float
) -> dict[tuple[str, str], Amount]:
    """Return the averages of attempts that hold nothing any more: those of `elapsed` seconds ago, and those released since."""
    factor = 2 ** (-max(elapsed, 0.0) / half_life)
    found = {who: amount.times(factor) for who, amount in before.items()}
    for use in released:
        found[use.who] = found.get(use.who, Amount()).plus(use.size, weight(use.begin, use.end, half_life, now))
    return found


def added(
    one: Mapping[tuple[str, str], Amount], other: Mapping[tuple[str, str], Amount]
) -> dict[tuple[str, str], Amount]:
    return {who: one.get(who, Amount()).plus(other.get(who, Amount())) for who in one.keys() | other.keys()}


def weight(begin: float, end: float, half_life: float, now: float) -> float:
    """Return the decayed share of the time from `begin` to `end` in all time: 1 for ever until now, 0 for nothing."""
    return float(2 ** (-max(now - end, 0.0) / half_life) - 2 ** (-max(now - begin, 0.0) / half_life))


By = Literal["job", "queue", "user"]
# What ended so has kept its work: a stop and a cancel take a checkpoint first. So has what still runs, so far.
KEPT = frozenset({AttemptStatus.SUCCEEDED, AttemptStatus.STOPPED, AttemptStatus.CANCELLED}) | {
    AttemptStatus.STARTING,
    AttemptStatus.RUNNING,
}


DAY = 86400.0


def by_day(attempt: Attempt, ended: float, is_kept: bool) -> dict[int, dict[str, float]]:
    """Return what an attempt that ends used of CPUs and GPUs, by UTC day since the epoch."""
    if attempt.started is None:
        return {}
    use, found = "useful" if is_kept else "wasted", {}
    for day in range(int(attempt.started // DAY), int(ended // DAY) + 1):
        seconds = max(min(ended, (day + 1) * DAY) - max(attempt.started, day * DAY), 0.0) * attempt.workers
        found[day] = {
            f"gpu_seconds_{use}": seconds * attempt.gpus_per_worker,
            f"cpu_seconds_{use}": seconds * attempt.cpus_per_worker,
        }
    return found


def names(job: JobSummary) -> dict[By, str]:
    return {"job": job.name, "queue": job.queue, "user": job.owner}


def accounts(
    attempts: Iterable[Attempt], jobs: Mapping[str, Job], by: By, since: float, now: float
) -> dict[str, dict[str, float]]:
    """Return, by name of a job, queue or user, seconds of CPUs and GPUs by use, from `since` on."""
    found: dict[str, dict[str, float]] = defaultdict(lambda: dict.fromkeys(COLUMNS, 0.0))
    for attempt in attempts:
        job, use = jobs[attempt.job_id], "useful" if attempt.status in KEPT else "wasted"
        begin = max(attempt.started or now, since)
        seconds = max((attempt.ended or now) - begin, 0.0) * attempt.workers
        row = found[names(job)[by]]
        row[f"gpu_seconds_{use}"] += seconds * attempt.gpus_per_worker
        row[f"cpu_seconds_{use}"] += seconds * attempt.cpus_per_worker
    return dict(found)


COLUMNS = ("gpu_seconds_useful", "gpu_seconds_wasted", "cpu_seconds_useful", "cpu_seconds_wasted")
