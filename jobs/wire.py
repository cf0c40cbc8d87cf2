"""What crosses between a driver, its ranks, the server and the command line: every message once, frozen and typed.

Names are those of the thing itself, all the way: a training's tick has the names of `trainers.hooks.Tick`. What JSON does
not have (NaN, infinity) becomes null here and nowhere else. Raise VERSION when a field is added, goes or changes its meaning.
"""

import math
import time
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    PlainSerializer,
    PlainValidator,
    ValidationError,
    model_validator,
)

from jobs.specs import spec
from jobs.specs.spec import Job

VERSION = 4
HEADER = "Ganworks-Wire"  # of every request of a driver: its version; a driver of version 1 sends none

Number = float | None  # null: it was not finite, or is not known
Table = dict[str, Number]  # label -> value


class Command(StrEnum):
    """What the server wants of a driver: the answer to all that it posts."""

    CONTINUE = "continue"
    CHECKPOINT_AND_STOP = "checkpoint_and_stop"
    CANCEL = "cancel"
    STALE = "stale"  # another attempt has its job: whatever it would publish is not wanted


class Mismatch(ValueError):
    """A message that this side does not understand."""


def mismatch(we: str, they: str, theirs: int, problems: Iterable[str] = ()) -> str:
    """Say which side speaks which version, what was not understood, and the way out."""
    said = f"this {we} speaks wire version {VERSION}, the {they} {theirs}"
    return "; ".join([said, *problems, "run the same version of ganworks on both"])


def problems_of(errors: Iterable[Any]) -> list[str]:
    """Name each field that a message should not have, lacks or has wrong; `errors` are pydantic's."""
    words = {"extra_forbidden": "unknown field", "missing": "missing field"}
    return [
        f"{words.get(each['type'], each['msg'])} {'.'.join(map(str, each['loc'])) or '(the whole)'}" for each in errors
    ]


def finite(value: Any) -> Any:
    """Return plain data with null for every number that JSON does not have."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [finite(inner) for inner in value]
    return value


class Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def without_nan(cls, value: Any) -> Any:
        return finite(value)

    def plain(self) -> dict[str, JsonValue]:
        """Return what is set, as JSON's own types."""
        return self.model_dump(mode="json", exclude_none=True)


# --- the claim: server to driver, once


class ClaimRequest(Message):
    claim: str = Field(repr=False)
    nonce: str = Field(min_length=8, max_length=200, repr=False)
    host: str | None = Field(default=None, max_length=200)
    pid: int | None = None


class StoreAccess(Message):
    uri: str
    env: dict[str, str] = Field(default={}, repr=False)  # AWS_*


class PinnedWeights(Message):
    """The weights of one network that samples are drawn with."""

    name: str  # of their file in a model folder
    file: str  # in the pinned folder: a checkpoint calls an averaged network otherwise
    sha256: str


class PinnedModel(Message):
    """What a reference to a model meant when its job was admitted."""

    uri: str  # its folder's key in the store
    config: str  # file in it
    weights: tuple[PinnedWeights, ...] = Field(min_length=1)
    examples: int | None = None  # that it was trained on
    class_names: tuple[str, ...] | None = None  # in the order of their numbers; null: none, or not looked up
    class_labels: tuple[int | str, ...] | None = None  # of each, as the data's source wrote it; null: not kept
    classes: tuple[int, ...] | None = None  # numbers of those that `sampling.classes` asks for; null: it names none

    @model_validator(mode="before")
    @classmethod
    def of_one_network(cls, value: Any) -> Any:
        """Read what jobs were pinned to when a model had one network: their rows may still wait."""
        if not (isinstance(value, Mapping) and isinstance(value.get("weights"), str)):
            return value
        own = {"name": "generator.safetensors", "file": value["weights"], "sha256": value.get("sha256")}
        return {key: each for key, each in value.items() if key != "sha256"} | {"weights": [own]}


Spec = Annotated[
    Job,
    PlainValidator(lambda value: value if isinstance(value, Job) else spec.parse(value), json_schema_input_type=dict),
    PlainSerializer(spec.dump, return_type=dict),
]


class Claim(Message):
    """All that a driver needs to know; its reply alone carries secrets."""

    version: int = VERSION
    attempt_id: str
    number: int  # of the attempt: the fencing token
    token: str = Field(repr=False)
    project: str
    job_id: str
    job_name: str
    kind: str
    spec: Spec
    references: dict[str, PinnedModel] = {}
    workers: int
    cpus_per_worker: float
    gpus_per_worker: float
    store: StoreAccess
    secrets: dict[str, str] = Field(default={}, repr=False)
    heartbeat_seconds: float
    url: str  # of the server
    accepted: str | None = None  # the digest of the manifest that an earlier attempt committed
    lineage: tuple["Recorded", ...] | None = None  # checkpoints to resume from, newest first; null: never recorded


class Recorded(Message):
    """A checkpoint as the database has it."""

    folder: str = Field(pattern=r"^\d{12}-a\d{1,9}(-r\d{1,9})?$")
    commit: str = Field(
        default="", pattern=r"^([0-9a-f]{64})?$"
    )  # digest of its COMMIT; empty: from before it was recorded


class Lineage(Message):
    """What may be resumed from now, newest first."""

    checkpoints: tuple[Recorded, ...] = Field(max_length=10_000)


def read_claim(answer: Any) -> Claim:
    """Return the server's answer as a claim. Raises Mismatch when it is of another version."""
    try:
        return Claim.model_validate(answer)
    except ValidationError as error:
        theirs = answer.get("version", 1) if isinstance(answer, dict) else 1
        raise Mismatch(mismatch("driver", "server", theirs, problems_of(error.errors()))) from None


# --- progress: driver and rank 0 to server, then to Prometheus and the command line


class Progress(Message):
    """How far something beside the work itself is: fetching, packing, uploading."""

    label: str
    done: int
    total: int | None = None
    unit: str = "pictures"  # bytes are shown in KiB and more


class Tick(Message):
    """One progress report of whatever kind of job; each kind adds its own fields (`jobs.kinds`)."""

    time: float = Field(default_factory=time.time)  # seconds since the epoch
    phase: str
    progress: Progress | None = None
    eta: Number = None  # seconds that are left, at the present rate


class Preparing(Tick):
    """Of any kind, before its work begins."""

    phase: Literal["preparing"] = "preparing"
    progress: Progress


class Finding(Message):
    name: str
    message: str = ""
    evidence: Table = {}


class TrainTick(Tick):
    """A tick of the training loop, and what was last committed."""

    phase: Literal["training", "uploading"] = "training"
    examples: int  # shown so far, over all ranks and attempts
    steps: int
    total_examples: int
    seconds: float  # since this attempt's loop began
    examples_per_second: Number  # since the tick before
    stats: Table = {}  # loss/<phase>, grad_norm/<network>, lr/<network> …
    activity_seconds: Table = {}  # since the tick before
    checkpoint_stall_seconds: float = 0.0  # since the tick before
    findings: tuple[Finding, ...] = ()
    checkpoint_examples: int | None = None  # of the newest committed checkpoint
    checkpoint_size_bytes: int | None = None
    checkpoint_committed_at: float | None = None  # seconds since the epoch


class Shards(Message):
    total: int
    done: int
    missing: int


class GenerateTick(Tick):
    phase: Literal["generating"] = "generating"
    samples: int  # made so far, over all attempts
    total_samples: int
    seconds: float  # since this attempt began to write
    samples_per_second: Number
    shards: Shards
    written_bytes: int  # in this attempt
    busy_seconds: Table = {}  # stage -> seconds over all workers, in this attempt


class Ticks(Message):
    """A batch; the server reads each as its job's kind says."""

    ticks: tuple[dict[str, JsonValue], ...] = Field(max_length=1000)


class Event(Message):
    type: str = Field(max_length=40)
    message: str = Field(max_length=4000)
    data: dict[str, JsonValue] | None = None


class Reply(Message):
    command: Command = Command.CONTINUE


# --- the end


class File(Message):
    """One published object; keys are relative to the job's prefix."""

    key: str
    size: int  # bytes
    sha256: str
    source: str | None = None  # where an attempt put it, to be copied to `key` after the commit; null: at `key` itself


class Receipt(Message):
    """Proof of a finished shard: what has none is made again."""

    shard: int
    start: int  # first sample index
    stop: int  # past the last
    count: int
    attempt: int
    files: tuple[File, ...]


class ShardEnd(Message):
    """What a worker tells its driver of a shard; `failure` is empty when its receipt is in the store."""

    shard: int
    failure: str = ""
    message: str = ""


class TrainEnd(Message):
    """What a rank tells its driver of the loop's end."""

    status: Literal["finished", "stopped", "cancelled"]
    examples: int
    steps: int
    examples_per_second: Number = None  # over the attempt, checkpoints and grids included
    data: dict[str, JsonValue] | None = None  # what became of the source's pictures


class Commit(Message):
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class Summary(Message):
    """What a result says of any kind of job. Places are URIs that a person can open."""

    output: str | None = None
    bytes: int | None = None
    metrics: Table | None = None  # what a sweep may choose by


class TrainSummary(Summary):
    model: str | None = None
    grid: str | None = None
    curves: str | None = None
    examples: int | None = None
    steps: int | None = None
    examples_per_second: Number = None


class GenerateSummary(Summary):
    data: str | None = None
    samples: int | None = None
    shards: int | None = None


Outcome = Literal["succeeded", "stopped", "cancelled", "failed"]


class Result(Message):
    """How an attempt ended; `exit_code` and `log` are for the rules of `retry`."""

    outcome: Outcome
    failure: str | None = Field(default=None, max_length=40)
    message: str = ""
    data: dict[str, JsonValue] = {}  # the kind's Summary
    exit_code: int | None = None
    log: str = Field(default="", max_length=100_000)  # its end


def result(outcome: Outcome, summary: Summary | None = None) -> Result:
    """Return the result of an attempt that did not fail."""
    return Result(outcome=outcome, data=summary.plain() if summary else {})
