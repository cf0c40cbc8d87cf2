"""A kind of job is one row: what the server, the driver's entry point and the command line need to know of it.

To add one: a spec class (`jobs.specs.spec.Job`), a driver module with `run(claim, client, home) -> wire.Result`, and a row.
Nothing here needs torch or ray; the driver is imported on the cluster, when an attempt of it runs.
"""

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from jobs import series, wire
from jobs.divisors import divisors
from jobs.series import Series
from jobs.specs import spec
from jobs.specs.spec import EvaluateJob, GenerateJob, Job, ModelRef, TrainJob
from jobs.storage.class_names import with_classes

if TYPE_CHECKING:
    from jobs.driver.orchestrator_client import OrchestratorClient


class Driver(Protocol):
    """A kind's driver module."""

    def run(self, claim: wire.Claim, client: "OrchestratorClient", home: Path) -> wire.Result:
        """Run one attempt. Raises Failed, StoreError or Stale."""
        ...


def _bounds(job: Job) -> Sequence[int]:
    """Return every number of workers within the spec's bounds, the largest first."""
    sizes = job.resources.sizes
    return range(sizes.max, sizes.min - 1, -1)


def _no_references(job: Job) -> Mapping[str, ModelRef]:
    return {}


Pinned = Mapping[str, wire.PinnedModel]
Best = tuple[tuple[str, ...], str]  # metrics to look for, the first that is told counts; min or max
BY_DISTANCE: Best = (("kid", "fid"), "min")


@dataclass(frozen=True, kw_only=True)
class Kind:
    spec: type[Job]
    driver: str | None  # module; None: jobs.specs.not_yet refuses such jobs
    unit: str  # what it counts: ticks have `<unit>`, `total_<unit>` and `<unit>_per_second`, results `<unit>`
    verb: str  # what has become of so many
    working: tuple[str, ...] = ()  # phases in which a tick is progress only if something has moved …
    moves: tuple[str, ...] = ()  # … in one of these fields; in all other phases a call is enough
    tick: type[wire.Tick] = wire.Tick
    summary: type[wire.Summary] = wire.Summary
    upstream: str = "data.from"  # the field by which it names the job it is made from
    references: Callable[[Any], Mapping[str, ModelRef]] = _no_references  # to pin before its first attempt, by name
    settle: Callable[[Any, Pinned], Pinned] = lambda job, pinned: pinned  # holds them to what the job wants of them
    sizes: Callable[[Any], Sequence[int]] = _bounds  # numbers of workers that will do, the largest first
    best: Callable[[Any], Best] = lambda job: BY_DISTANCE  # what a sweep over it chooses by
    places: tuple[str, ...] = ("output",)  # fields of the summary that say where something is
    sums: tuple[str, ...] = ()  # fields of a tick that tell of the time since the tick before
    series: tuple[Series, ...] = ()

    @property
    def name(self) -> str:
        return spec.kind_of(self.spec)

    @property
    def all_series(self) -> tuple[Series, ...]:
        """Return those that every kind has, and its own."""
        return (Series("job_progress_ratio", PROGRESS, series.share_done(self.unit)), *COMMON, *self.series)

    def read_tick(self, tick: Any) -> wire.Tick:
        """Return a posted tick, held to what the kind may tell. Raises pydantic.ValidationError."""
        is_preparing = isinstance(tick, Mapping) and tick.get("phase") == "preparing"
        return (wire.Preparing if is_preparing else self.tick).model_validate(tick)

    def load_driver(self) -> Driver:
        assert self.driver is not None, f"jobs of kind {self.name} are refused at admission"
        return importlib.import_module(self.driver)


PROGRESS = "Share of the job's work that is done"
COMMON = (
    Series("job_last_tick_timestamp_seconds", "When the job last told of itself", series.tick_time),
    Series("job_expected_end_timestamp_seconds", "When the job will be done at its present rate", series.expected_end),
)


def _whole_groups(job: TrainJob) -> Sequence[int]:
    """Return the sizes at which every worker owns the same number of whole groups."""
    sizes = job.resources.sizes
    return tuple(size for size in reversed(divisors(job.train.groups)) if sizes.min <= size <= sizes.max)


def _best_checkpoint(job: TrainJob) -> Best:
    best = job.train.checkpoint.best
    return ((best.metric,), best.mode) if best else BY_DISTANCE


def _model(job: GenerateJob) -> Mapping[str, ModelRef]:
    return {"model": job.model}


def _classes(job: GenerateJob, pinned: Pinned) -> Pinned:
    """Pin the classes that are asked for. Raises UnknownClass."""
    return {name: with_classes(job.sampling, model) for name, model in pinned.items()}


TRAIN = Kind(
    spec=TrainJob,
    driver="jobs.train",
    unit="examples",
    verb="shown",
    working=("training",),
    moves=("examples", "steps", "progress"),
    tick=wire.TrainTick,
    summary=wire.TrainSummary,
    sizes=_whole_groups,
    best=_best_checkpoint,
    places=("output", "model", "grid", "curves"),
    sums=("activity_seconds", "checkpoint_stall_seconds"),
    series=(
        Series("train_examples_total", "Real examples shown", series.field("examples")),
        Series("train_steps_total", "Training steps", series.field("steps")),
        Series("train_seconds_total", "Time by activity", series.table("activity_seconds"), ("activity",)),
        Series("train_loss", "Loss of a phase", series.stats("loss"), ("phase",)),
        Series("train_gradient_norm", "Norm of a network's gradient", series.stats("grad_norm"), ("network",)),
        Series("train_learning_rate", "Learning rate of a network", series.stats("lr"), ("network",)),
        Series("train_rollbacks_total", "Returns to a healthy state", series.field("rollbacks")),
        Series("health_finding_active", "1 while this is wrong with a training", series.findings, ("finding",)),
        Series(
            "checkpoint_last_commit_timestamp_seconds",
            "When the newest checkpoint was committed",
            series.field("checkpoint_committed_at"),
        ),
        Series("checkpoint_size_bytes", "Size of the newest checkpoint", series.field("checkpoint_size_bytes")),
        Series(
            "checkpoint_stall_seconds_total",
            "Time that training stood still for checkpoints",
            series.field("checkpoint_stall_seconds"),
        ),
    ),
)

GENERATE = Kind(
    spec=GenerateJob,
    driver="jobs.generate",
    unit="samples",
    verb="made",
    working=("generating",),
    moves=("samples", "written_bytes", "shards"),
    tick=wire.GenerateTick,
    summary=wire.GenerateSummary,
    upstream="model.from",
    references=_model,
    settle=_classes,
    places=("output", "data"),
    series=(
        Series("generate_samples_total", "Samples made", series.field("samples")),
        Series("generate_written_bytes_total", "Bytes of finished shards", series.field("written_bytes")),
        Series("generate_busy_seconds_total", "Time by stage", series.table("busy_seconds"), ("stage",)),
        Series("generate_shards", "Shards by state", series.table("shards", but="total"), ("state",)),
    ),
)

EVALUATE = Kind(spec=EvaluateJob, driver=None, unit="samples", verb="measured")

KINDS: dict[str, Kind] = {}


def register(kind: Kind) -> None:
    """Make a kind known, to this table and to the reader of specs."""
    KINDS[kind.name] = kind
    spec.KINDS[kind.name] = kind.spec


def unregister(kind: Kind) -> None:
    del KINDS[kind.name], spec.KINDS[kind.name]


for _kind in (TRAIN, GENERATE, EVALUATE):
    register(_kind)


def of(job: Job) -> Kind:
    return KINDS[job.kind]
