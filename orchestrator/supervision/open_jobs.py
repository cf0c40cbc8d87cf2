"""The unfinished jobs, their attempts and the queue as the plan sees it, kept from step to step.

A look reads only the jobs that some transaction has touched since the last one; the first, after a start, reads all.
Nothing rests on it alone: every step of a job's life is guarded in the database again.
"""

import heapq
from collections.abc import Sequence

from orchestrator import db
from orchestrator.policies import requests
from orchestrator.records import Attempt, Job
from orchestrator.scheduler import Backlog, Held, Queued
from orchestrator.states import AttemptStatus, Status


class OpenJobs:
    def __init__(self, database: db.Database) -> None:
        self.database = database
        self.jobs: dict[str, Job] = {}  # unfinished
        self.attempts: dict[str, list[Attempt]] = {}  # of these, and of others that still hold something
        self.holding: dict[str, list[Attempt]] = {}  # job -> its attempts that are not released; ended jobs', too
        self.held: dict[str, list[Held]] = {}  # the same for the plan
        self.owners: dict[str, Job] = {}  # the jobs of those
        self.queued: dict[str, Queued] = {}
        self.backlog = Backlog()
        self.waiting: dict[str, Job] = {}  # for what they need, or for the end of their back-off
        self._overdue: list[tuple[float, str]] = []  # heap: end of a queue_timeout, job
        self._touched = database.watch()
        self._is_new = True

    def look(self, grace: float, now: float) -> None:
        """Read what was touched since the last look. `grace`: as in policies/requests.py."""
        touched = self._touched.take()
        try:
            with self.database.read() as connection:
                touched |= set(db.jobs.open_ids(connection)) if self._is_new else set()
                jobs = db.jobs.by_ids(connection, touched)
                attempts = db.attempts.of_jobs(connection, jobs)
        except BaseException:
            self._touched.add(touched)  # for the next look
            raise
        self._is_new = False
        for id in touched:
            self._forget(id)
        for job in sorted(jobs.values(), key=lambda job: (job.submitted, job.id)):
            self._note(job, attempts.get(job.id, []), grace, now)

    def explained(self, job_id: str, reason: str) -> None:
        """Note what the row says now, too; nothing else of it has changed."""
        self.jobs[job_id] = self.jobs[job_id].evolve(reason=reason)

    def overdue(self, now: float) -> list[Job]:
        """Return queued jobs whose queue_timeout may be over. One that is still queued then comes again."""
        due = []
        while self._overdue and self._overdue[0][0] < now:
            due.append(heapq.heappop(self._overdue))
        due = [(at, id) for at, id in due if id in self.queued]
        for entry in due:
            heapq.heappush(self._overdue, entry)
        return [self.jobs[id] for _, id in due]

    def _forget(self, id: str) -> None:
        if (asked := self.queued.pop(id, None)) is not None:
            self.backlog.remove(asked)
        for kept in (self.jobs, self.attempts, self.holding, self.held, self.owners, self.waiting):
            kept.pop(id, None)

    def _note(self, job: Job, attempts: list[Attempt], grace: float, now: float) -> None:
        holding = [attempt for attempt in attempts if attempt.released is None]
        if holding:
            self.holding[job.id], self.owners[job.id] = holding, job
            self.held[job.id] = [requests.held(attempt, job, attempts, grace, now) for attempt in holding]
        if holding or job.ended is None:
            self.attempts[job.id] = attempts
        if job.ended is not None:
            return
        self.jobs[job.id] = job
        if job.status in (Status.WAITING, Status.RETRYING):
            self.waiting[job.id] = job
        if job.is_queued and not _leaves(job, holding):
            self._queue(job, requests.queued(job, attempts, grace, now))

    def _queue(self, job: Job, asked: Queued) -> None:
        self.queued[job.id] = asked
        self.backlog.add(asked)
        limit = job.parsed.queue_timeout
        if limit is not None and job.queued is not None:
            heapq.heappush(self._overdue, (job.queued + limit, job.id))


def _leaves(job: Job, holding: Sequence[Attempt]) -> bool:
    """Decide whether its places are still to be given up: an elastic job that has stopped for another size gets it once its own places are free: before that it would
    start as small as it was."""
    return len(requests.sizes(job.parsed)) > 1 and any(attempt.status == AttemptStatus.STOPPED for attempt in holding)
