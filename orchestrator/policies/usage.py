"""Who used how much: in all, useful and wasted; and lately, the decayed average that fair share goes by. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Literal

from orchestrator.records import Attempt, Job
from orchestrator.scheduler import Amount
from orchestrator.states import AttemptStatus

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


def weight(begin: float, end: float, half_life: float, now: float) -> float:
    """Return the decayed share of the time from `begin` to `end` in all time: 1 for ever until now, 0 for nothing."""
    return float(2 ** (-max(now - end, 0.0) / half_life) - 2 ** (-max(now - begin, 0.0) / half_life))


By = Literal["job", "queue", "user"]
# What ended so has kept its work: a stop and a cancel take a checkpoint first. So has what still runs, so far.
KEPT = frozenset({AttemptStatus.SUCCEEDED, AttemptStatus.STOPPED, AttemptStatus.CANCELLED}) | {
    AttemptStatus.STARTING,
    AttemptStatus.RUNNING,
}


def accounts(
    attempts: Iterable[Attempt], jobs: Mapping[str, Job], by: By, since: float, now: float
) -> dict[str, dict[str, float]]:
    """Return, by name of a job, queue or user, seconds of CPUs and GPUs by use, from `since` on."""
    found: dict[str, dict[str, float]] = defaultdict(lambda: dict.fromkeys(COLUMNS, 0.0))
    for attempt in attempts:
        job, use = jobs[attempt.job_id], "useful" if attempt.status in KEPT else "wasted"
        begin = max(attempt.started or now, since)
        seconds = max((attempt.ended or now) - begin, 0.0) * attempt.workers
        row = found[{"job": job.name, "queue": job.queue, "user": job.owner}[by]]
        row[f"gpu_seconds_{use}"] += seconds * attempt.gpus_per_worker
        row[f"cpu_seconds_{use}"] += seconds * attempt.cpus_per_worker
    return dict(found)


COLUMNS = ("gpu_seconds_useful", "gpu_seconds_wasted", "cpu_seconds_useful", "cpu_seconds_wasted")
