"""What has to be fetched from or brought to the bucket, in a thread of its own: a slow store must not hold up
the supervisor.

Before a job starts its references are pinned (pinning.py); after an attempt its log is kept, as Ray's die with its head; after
a job its events. Each task is repeated until it is done.
"""

import gzip
import io
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import structlog
import yaml

from jobs.store import BucketMissing, Store, StoreError, StoreFull, StoreUnreachable
from orchestrator import db
from orchestrator.cluster import Cluster, Refused, Unreachable
from orchestrator.crash_points import crash_point
from orchestrator.observability import long_logs
from orchestrator.observability.redact import Redactor
from orchestrator.policies import dependencies
from orchestrator.records import Attempt, Job
from orchestrator.states import Status
from orchestrator.supervision.periodic import Loop
from orchestrator.supervision.pinning import ReferencePinner

log = structlog.get_logger(__name__)
AT_ONCE = 500  # deletions from Ray's list in one round
RAY_LIST_AGE = 60.0  # seconds between two looks at what Ray could forget
LOG_PATIENCE = 120.0  # seconds for which an attempt's log is asked for after its end
T = TypeVar("T", Job, Attempt)
OF_ALL = (StoreUnreachable, StoreFull, BucketMissing)  # concern every record: the round ends


@dataclass
class Archiver:
    database: db.Database
    cluster: Cluster
    store: Store
    redactor: Redactor
    wake_supervisor: Callable[[], None] = lambda: None
    clock: Callable[[], float] = time.time
    seconds: float = 1.0  # longest pause between two rounds
    retry_seconds: float = 10.0  # rest after the store failed
    kept_in_ray: int = 200  # attempts that have ended, the newest
    _next_look: float = 0.0  # at Ray's list

    def __post_init__(self) -> None:
        self.pinner = ReferencePinner(self.database, self.store, self.wake_supervisor, self.clock)
        self.loop = Loop("archiver", self._run, self.retry_seconds)

    def _run(self) -> float:
        try:
            self.step()
        except OF_ALL as error:
            log.warning("the store fails", error=str(error))
            return self.retry_seconds
        return self.seconds

    def step(self) -> None:
        with self.database.read() as connection:
            to_prepare = db.jobs.to_prepare(connection)
            needs = db.needs.of_waiting(connection)
            attempts = db.attempts.to_archive(connection)
            ended = db.jobs.to_archive(connection)
        for job in to_prepare:
            waits = job.status == Status.WAITING and job.pinned is None and not job.is_sweep
            if waits and dependencies.assess(needs.get(job.id, ())) == dependencies.Met():
                self._run_task(self.pinner.pin, job)
            elif job.pinned is not None and not job.described:
                self._run_task(self._describe, job)
        for attempt in attempts:
            self._run_task(self._archive_attempt, attempt)
        for job in ended:
            self._run_task(self._archive_job, job)
        self._shorten_rays_list()

    def _run_task(self, task: Callable[[T], None], record: T) -> None:
        """Do one task. Only a store that does nothing for anybody ends the round; all else concerns one record."""
        try:
            task(record)
        except OF_ALL:
            raise
        except db.CannotWrite:
            raise
        except StoreError as error:
            log.warning("task failed", task=task.__name__, record=record.id, error=str(error))
        except Exception:
            log.exception("task failed", task=task.__name__, record=record.id)

    # --- before

    def _describe(self, job: Job) -> None:
        self.store.put(job.layout.job_yaml, description(job).encode())
        with self.database.write() as connection:
            db.jobs.change(connection, job.id, described=True)

    # --- after

    def _archive_attempt(self, attempt: Attempt) -> None:
        with self.database.read() as connection:
            job = db.jobs.by_id(connection, attempt.job_id)
        assert job is not None
        try:
            log_file = self._packed_log(attempt)
        except (Unreachable, Refused) as error:
            if self.clock() - (attempt.ended or 0) < LOG_PATIENCE:
                return
            # Its head is gone, and the log with it: waiting longer would not bring it back.
            log.warning("log not kept", attempt=attempt.id, error=str(error))
            log_file = None
        if log_file is not None:
            self.store.put(job.layout.log(attempt.number), log_file)
        crash_point("archive: after the log")
        with self.database.write() as connection:
            db.attempts.change(connection, attempt.id, archived=True)

    def _packed_log(self, attempt: Attempt) -> bytes | None:
        """Return the log as it is kept, compressed block by block: however long it is, it is never held whole."""
        read = partial(self.cluster.read_log, attempt.id)
        if read(0, 1) is None:
            return None
        packed = io.BytesIO()
        with gzip.GzipFile(fileobj=packed, mode="wb", mtime=0) as file:
            for block in long_logs.kept(read, self.redactor):
                file.write(block)
        return packed.getvalue()

    def _shorten_rays_list(self) -> None:
        """Delete what Ray's pages need not show any more: every step asks for its whole list, which would only grow.

        The newest stay, for people to find there; ids begin with the time. All that goes has its log in the bucket.
        """
        if self.clock() < self._next_look:
            return
        self._next_look = self.clock() + RAY_LIST_AGE
        try:
            ended = sorted(id for id, driver in self.cluster.drivers().items() if driver.has_ended)
            with self.database.read() as connection:
                archived = db.attempts.archived(connection, ended[: -self.kept_in_ray or None][:AT_ONCE])
            for id in archived:
                self.cluster.delete(id)
        except (Unreachable, Refused) as error:
            log.warning("Ray's list not shortened", error=str(error))

    def _archive_job(self, job: Job) -> None:
        with self.database.read() as connection:
            attempts = db.attempts.of_job(connection, job.id)
            events = list(db.events.after(connection, job.id, limit=100_000))
        if not all(attempt.archived for attempt in attempts):
            return
        if not job.described:
            self._describe(job)
        lines = [json.dumps(vars(event) | {"job_id": job.id}, sort_keys=True) for event in events]
        self.store.put(job.layout.events, ("\n".join(lines) + "\n").encode())
        crash_point("archive: after the events")
        with self.database.write() as connection:
            db.jobs.archived(connection, job)


def description(job: Job) -> str:
    """Return job.yaml: the spec as admitted and what its references mean. It names secrets and never holds one."""
    head = {"project": job.project, "job_id": job.id, "owner": job.owner, "references": job.pinned or {}}
    return yaml.safe_dump({"spec": job.spec, **head}, sort_keys=False, allow_unicode=True)
