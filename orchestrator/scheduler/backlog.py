"""The queue in lines and lanes. A line is a user's jobs of one priority in one queue; a lane of it holds those that
differ in nothing but their time of submission, in that order.

If the first of a lane does not fit, none behind it does: a plan looks at lanes, not at a hundred thousand jobs.
"""

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator

from orchestrator.scheduler.model import Queued

Line = tuple[str, str, int]  # queue, owner, priority
Lane = tuple[float | None, tuple[object, ...]]  # the most that it runs, shape


def _order(job: Queued) -> tuple[float, str]:
    return job.submitted, job.job_id


class Backlog:
    """Kept from plan to plan by whoever has many jobs."""

    def __init__(self, jobs: Iterable[Queued] = ()) -> None:
        self.lines: dict[Line, dict[Lane, list[Queued]]] = {}
        for job in jobs:
            self._lane(job).append(job)
        for lane in self.lanes:
            lane.sort(key=_order)

    @property
    def lanes(self) -> Iterator[list[Queued]]:
        return (lane for line in self.lines.values() for lane in line.values())

    def _lane(self, job: Queued) -> list[Queued]:
        line = self.lines.setdefault((job.queue, job.owner, job.priority), {})
        return line.setdefault((job.longest, job.shape), [])

    def __iter__(self) -> Iterator[Queued]:
        return (job for lane in self.lanes for job in lane)

    def __len__(self) -> int:
        return sum(map(len, self.lanes))

    def add(self, job: Queued) -> None:
        insort(self._lane(job), job, key=_order)

    def remove(self, job: Queued) -> None:
        lane = self._lane(job)
        del lane[bisect_left(lane, _order(job), key=_order)]
        if lane:
            return
        line = self.lines[job.queue, job.owner, job.priority]
        del line[job.longest, job.shape]
        if not line:
            del self.lines[job.queue, job.owner, job.priority]
