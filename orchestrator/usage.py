"""Who used how much lately: the decayed average that fair share goes by. Pure."""

from collections.abc import Iterable, Mapping

from orchestrator.records import Attempt, Job
from orchestrator.scheduler import Amount

REMEMBERED = 8  # half-lives: what is older counts for less than half a percent


def recent(
    attempts: Iterable[Attempt], jobs: Mapping[str, Job], half_life: float, now: float
) -> dict[tuple[str, str], Amount]:
    """(queue, owner) -> CPUs and GPUs on average, each moment counting half as much a half-life later."""
    found: dict[tuple[str, str], Amount] = {}
    for attempt in attempts:
        job = jobs[attempt.job_id]
        share = weight(attempt.created, attempt.released or attempt.ended or now, half_life, now)
        size = Amount(attempt.cpus_per_worker, attempt.gpus_per_worker).times(attempt.workers)
        who = (job.queue, job.owner)
        found[who] = found.get(who, Amount()).plus(size, share)
    return found


def weight(begin: float, end: float, half_life: float, now: float) -> float:
    """The decayed share of the time from `begin` to `end` in all time: 1 for ever until now, 0 for nothing."""
    return float(2 ** (-max(now - end, 0.0) / half_life) - 2 ** (-max(now - begin, 0.0) / half_life))
