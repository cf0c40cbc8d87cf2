"""What a job's references mean, looked up once before its first attempt: a second one must not mix two generators."""

from collections.abc import Callable
from dataclasses import dataclass

from jobs import kinds
from jobs.specs.spec import ModelRef
from jobs.storage import references
from jobs.storage.class_names import UnknownClass
from jobs.storage.layout import CONFIG
from jobs.store import Store, StoreError
from orchestrator import db, lifecycle
from orchestrator.records import Job, Unreadable


@dataclass
class ReferencePinner:
    database: db.Database
    store: Store
    wake_supervisor: Callable[[], None]
    clock: Callable[[], float]

    def pin(self, job: Job) -> None:
        """Pin every reference of the job's kind, or fail the job. Raises StoreError: try again."""
        try:
            pinned = self._pinned(job)
        except (references.Unresolved, UnknownClass, Unreadable) as error:
            self._fail(job, str(error))
            return
        except (ValueError, TypeError, AttributeError, LookupError) as error:  # the same object will say the same again
            self._fail(job, f"model: its {CONFIG} cannot be read: {error}")
            return
        except StoreError as error:
            with self.database.write() as connection:
                db.jobs.change(connection, job.id, reason=f"waiting for the store: {error}")
            raise
        with self.database.write() as connection:
            plain = {name: model.model_dump() for name, model in pinned.items()}
            db.jobs.change(connection, job.id, pinned=plain, reason=None)
            db.events.add(connection, job.id, "pinned", "references are pinned", now=self.clock(), data=plain)
        self.wake_supervisor()

    def _fail(self, job: Job, reason: str) -> None:
        with self.database.write() as connection:
            lifecycle.end(connection, job, "failed", reason, "reference", self.clock())

    def _pinned(self, job: Job) -> dict[str, references.PinnedModel]:
        kind = kinds.of(job.parsed)
        found = {
            name: references.pin(self.store, job.project, reference, self._upstream(job, reference))
            for name, reference in kind.references(job.parsed).items()
        }
        return dict(kind.settle(job.parsed, found))

    def _upstream(self, job: Job, reference: ModelRef) -> references.UpstreamJob | None:
        if reference.from_ is None:
            return None
        with self.database.read() as connection:
            found = [need for need in db.needs.of_job(connection, job.id) if need.upstream_name == reference.from_]
            upstream = db.jobs.by_id(connection, found[0].upstream_id) if found else None
        if upstream is None:
            return None
        best = (upstream.pinned or {}).get("best") if upstream.is_sweep else None
        name, id = (best["job_name"], best["job_id"]) if best else (reference.from_, upstream.id)
        with self.database.read() as connection:
            trained = db.jobs.by_id(connection, id)
        lineage = trained.recorded if trained else None
        return references.UpstreamJob(job_name=name, job_id=id, lineage=lineage)
