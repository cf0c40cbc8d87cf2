"""What is done about attempts: submitted, adopted, stopped through Ray, lost, ended, released. Decided in policies/liveness.py."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import structlog

from orchestrator import db, lifecycle, tokens
from orchestrator.cluster import Cluster, Refused, Unreachable
from orchestrator.crash_points import crash_point
from orchestrator.lifecycle import Ending
from orchestrator.observability.redact import Redactor
from orchestrator.policies import liveness
from orchestrator.policies.liveness import Drivers
from orchestrator.records import Attempt, Job
from orchestrator.scheduler import Node
from orchestrator.settings import Settings
from orchestrator.states import AttemptStatus

log = structlog.get_logger(__name__)

KILL_AGAIN = 10.0  # seconds between two stops of the same driver


@dataclass
class AttemptReconciler:
    database: db.Database
    cluster: Cluster
    settings: Settings
    redactor: Redactor

    def reconcile(
        self, attempt: Attempt, job: Job, drivers: Drivers, nodes: Sequence[Node] | None, now: float, since: float
    ) -> None:
        """Bring an attempt's row and what Ray has together. `nodes`, `drivers`: None, Ray is not reached.
        `since`: no deadline began before this."""
        if attempt.is_live:
            assessment = liveness.assess(attempt, drivers, self.settings, now, since)
            self._apply(job, attempt, assessment, drivers, nodes, now)
        else:
            self._apply_ended(attempt, liveness.assess_ended(attempt, drivers, now), now)

    def _apply(
        self,
        job: Job,
        attempt: Attempt,
        assessment: liveness.Assessment,
        drivers: Drivers,
        nodes: Sequence[Node] | None,
        now: float,
    ) -> None:
        match assessment:
            case liveness.Submit():
                self.submit(job, attempt, now)
            case liveness.Adopt():
                self._adopt(job, attempt, now)
            case liveness.Ended():
                self._change(attempt, driver_ended=now)
            case liveness.Kill():
                self._kill(attempt, now)
            case liveness.Lost(failure, message):
                driver = (drivers or {}).get(attempt.id)
                failure, message = liveness.attribute_failure(failure, message, attempt.placement, nodes)
                self._lose(attempt, failure, message, driver.message if driver else "", now)

    def _apply_ended(
        self, attempt: Attempt, assessment: liveness.Fine | liveness.Kill | liveness.Release, now: float
    ) -> None:
        match assessment:
            case liveness.Kill():
                self._kill(attempt, now)
            case liveness.Release():
                self._change(attempt, released=now)

    def submit(self, job: Job, attempt: Attempt, now: float) -> None:
        try:
            self.cluster.submit(
                attempt.id,
                self.settings.entrypoint,
                self._environment(attempt),
                {"job_name": job.name, "job_id": job.id},
            )
        except Unreachable as error:
            # Perhaps it took it all the same: the next step looks the id up.
            log.warning("submission unanswered", attempt=attempt.id, error=str(error))
        except Refused as error:
            self._end(attempt, Ending(status=AttemptStatus.FAILED, failure="submit", message=str(error)), now)
        else:
            crash_point("start: after Ray took it")
            self._change(attempt, submitted=now)
            crash_point("start: after the note of it")

    def _environment(self, attempt: Attempt) -> dict[str, str]:
        """Return what a driver is started with. Ray shows it in plain text: the claim is good for one use and opens nothing."""
        grace = self.settings.cancel_grace
        return {
            "GANWORKS_URL": self.settings.advertised,
            "GANWORKS_ATTEMPT": attempt.id,
            "GANWORKS_CLAIM": claim_code(self.settings, attempt.id),
            "RAY_TRAIN_ENABLE_STATE_TRACKING": "1",
            "RAY_JOB_STOP_WAIT_TIME_S": f"{min(grace, 20):.0f}",
            "RAY_CHDIR_TO_TRIAL_DIR": "0",
            "RAY_TRAIN_ENABLE_PRINT_PATCH": "0",
        }

    def _adopt(self, job: Job, attempt: Attempt, now: float) -> None:
        with self.database.write() as connection:
            db.attempts.change(connection, attempt.id, submitted=now)
            message = f"attempt {attempt.number} found in Ray and adopted"
            db.events.add(connection, job.id, "adopted", message, now=now, attempt=attempt.number)

    def _kill(self, attempt: Attempt, now: float) -> None:
        if attempt.kill_asked is not None and now - attempt.kill_asked < KILL_AGAIN:
            return
        if self._stop_in_ray(attempt) and attempt.kill_asked is None:
            with self.database.write() as connection:
                db.attempts.change(connection, attempt.id, kill_asked=now)
                message = f"attempt {attempt.number} is stopped through Ray"
                db.events.add(connection, attempt.job_id, "killed", message, now=now, attempt=attempt.number)

    def _stop_in_ray(self, attempt: Attempt) -> bool:
        try:
            self.cluster.stop(attempt.id)
        except (Unreachable, Refused) as error:
            log.warning("stop unanswered", attempt=attempt.id, error=str(error))
            return False
        return True

    def _lose(self, attempt: Attempt, failure: str, message: str, log: str, now: float) -> None:
        """Stop it through Ray, then call it lost; it keeps its place until Ray confirms or the reservation ends."""
        crash_point("lose: before Ray stops it")
        if attempt.driver_ended is None:
            self._stop_in_ray(attempt)
        crash_point("lose: after Ray stopped it")
        code = liveness.exit_code(log)
        lost = Ending(status=AttemptStatus.LOST, failure=failure, message=message, exit_code=code, log=log)
        self._end(attempt, lost, now)
        crash_point("lose: after the note of it")

    def _end(self, attempt: Attempt, ending: Ending, now: float) -> None:
        with self.database.write() as connection:
            job = db.jobs.by_id(connection, attempt.job_id)
            fresh = db.attempts.by_id(connection, attempt.id)
            assert job is not None
            assert fresh is not None
            # Ray's message may quote the driver's log.
            ending = replace(ending, message=self.redactor.text(ending.message))
            lifecycle.finish(connection, job, fresh, ending, self.settings, now)

    def _change(self, attempt: Attempt, **changes: float) -> None:
        with self.database.write() as connection:
            db.attempts.change(connection, attempt.id, **changes)


def claim_code(settings: Settings, attempt_id: str) -> str:
    """Derive the code, so that an attempt submitted twice after a crash carries one code, whichever driver comes first."""
    return tokens.derived(settings.token, "claim", attempt_id)
