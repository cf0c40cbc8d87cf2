"""The job spec, whole: what every Job has, then TrainJob, GenerateJob, EvaluateJob.

Every planned field parses here; what is not acted on yet is refused by `jobs.specs.not_yet`,
never ignored. Models are frozen; durations are seconds, counts and bytes whole numbers.
"""

import json
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

from jobs.specs import patterns, plain
from jobs.specs.bounds import BOUNDS, SHARDS
from jobs.specs.units import Bytes, Count, Duration

NAME_PATTERN = r"^[a-z0-9-]{1,50}$"


class Part(BaseModel):
    # The text below a field is what the schema and `ganworks explain` say of it.
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)


Name = Annotated[str, Field(pattern=NAME_PATTERN)]
Scalar = str | int | float | bool | None
Plain = dict[str, Any]  # a job as plain data, as YAML and JSON have it: not checked yet, or dumped


class SecretRef(Part):
    secret: str = Field(description="name of a secret that the server holds")


class Environment(Part):
    pip: tuple[str, ...] = ()
    """packages to install for this job's processes"""
    env: dict[str, str | SecretRef] = {}
    """environment variables of this job's processes"""


class TrainModel(Part):
    family: str = Field(description="a built-in family, an installed plug-in, or module:Class from `code`")
    params: dict[str, Any] = Field(default={}, description="the family's own Config")
    init_from: str | None = Field(default=None, description="a checkpoint or safetensors to fine-tune from")


class Data(Part):
    """Where real examples come from: `source`, or `from` a generated data set, or the pair `a` and `b`."""

    source: str | None = Field(default=None, description="a built-in name, a path, or s3://…")
    from_: str | None = Field(default=None, alias="from", description="a generated data set, by job name")
    split: str | None = Field(default=None, description="train or test where the source has both; null: train")
    resolution: Annotated[int, BOUNDS["data.resolution"]] | None = Field(
        default=None, description="pixels; null: as the source is"
    )
    channels: Annotated[int, BOUNDS["data.channels"]] | None = None
    """1 grey, 3 colour, 2 and 4 with alpha; null: as the source is"""
    labels: Literal["auto", "none", "required"] = "auto"
    """none: do without; required: refuse a source that has none"""
    label: str | None = Field(
        default=None, description="column of the labels; `folder`: the folders, though there is a column"
    )
    format: Literal["pictures", "parquet", "webdataset", "idx"] | None = Field(
        default=None, description="what to read of a folder that holds several"
    )
    fit: Literal["crop", "pad", "stretch"] | None = Field(
        default=None, description="how pictures come to the resolution; null: a little smaller pad, others crop"
    )
    max_corrupt: Annotated[float, BOUNDS["data.max_corrupt"]] = Field(
        default=0.0, description="share of unreadable files that is tolerated"
    )
    a: "Data | None" = None
    """one of two sets, for families that translate"""
    b: "Data | None" = None
    """the other of two sets"""
    paired: bool | None = None
    """whether number i of a belongs to number i of b"""

    @model_validator(mode="after")
    def one_origin(self) -> "Data":
        origins = [self.source is not None, self.from_ is not None, self.a is not None or self.b is not None]
        if sum(origins) != 1:
            raise ValueError("exactly one of source, from, or the pair a and b is expected")
        if (self.a is None) != (self.b is None):
            raise ValueError("a and b come together")
        return self


class Best(Part):
    metric: str
    """which quality decides, such as kid"""
    mode: Literal["min", "max"] = "min"
    """whether a smaller or a larger value is better"""


class CheckpointPolicy(Part):
    every: Annotated[Count, BOUNDS["train.checkpoint.every"]] | None = Field(
        default=None, description="examples; null: a tenth of the run"
    )
    keep: Annotated[int, BOUNDS["train.checkpoint.keep"]] = 3
    """how many stay, the newest"""
    best: Best | None = None
    """also keep the best by a metric of `evaluate`"""


class Grids(Part):
    every: Annotated[Count, BOUNDS["train.grids.every"]] | None = Field(
        default=None, description="examples; null: a tenth of the run"
    )
    count: Annotated[int, BOUNDS["train.grids.count"]] = 64
    """pictures in a grid, of the same latents each time"""


class Evaluation(Part):
    every: Annotated[Count, BOUNDS["train.evaluate.every"]]
    """examples between two evaluations"""
    metrics: tuple[str, ...] = ("kid",)
    """what is measured"""
    samples: Annotated[Count, BOUNDS["train.evaluate.samples"]] = 10_000
    """how many are drawn for it"""
    features: str = "inception-v3"
    """the network whose features are compared"""
    reference: Data
    """real data that samples are compared with"""


Reaction = Literal["warn", "rollback", "fail"]


class Health(Part):
    on_collapse: Reaction | None = None
    """what to do when samples look alike; null: warn"""
    on_divergence: Reaction | None = None
    """what to do when a loss is no number any more; null: fail"""


class Training(Part):
    examples: Annotated[Count, BOUNDS["train.examples"]] = Field(
        default=1_000_000, description="real examples shown, over all workers"
    )
    batch_size: Annotated[int, BOUNDS["train.batch_size"]] = Field(default=128, description="global")
    group: Annotated[int, BOUNDS["train.group"]] | None = Field(
        default=None, description="null: 32, or the batch if smaller"
    )
    seed: Annotated[int, BOUNDS["train.seed"]] = 0
    """of initial weights, order and draws"""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """of the forward pass; auto: bf16 on a GPU that has it"""
    checkpoint: CheckpointPolicy = CheckpointPolicy()
    """when one is taken and which are kept"""
    grids: Grids = Grids()
    """when pictures are drawn"""
    evaluate: Evaluation | None = None
    """measure quality on the way"""
    health: Health = Health()
    """what happens when the training goes wrong"""

    @property
    def group_size(self) -> int:
        return self.group or min(32, self.batch_size)

    @property
    def groups(self) -> int:
        """Return how many a batch has; a worker owns whole ones."""
        return self.batch_size // self.group_size

    @model_validator(mode="after")
    def whole_groups(self) -> "Training":
        if self.batch_size % self.group_size:
            raise ValueError(f"batch_size {self.batch_size} is not a multiple of group {self.group_size}")
        return self


class Elastic(Part):
    min: Annotated[int, BOUNDS["resources.workers"]]
    """fewest workers that will do"""
    max: Annotated[int, BOUNDS["resources.workers"]]
    """most workers that are of use"""

    @model_validator(mode="after")
    def ordered(self) -> "Elastic":
        if self.min > self.max:
            raise ValueError(f"min {self.min} is above max {self.max}")
        return self


class Resources(Part):
    workers: Annotated[int, BOUNDS["resources.workers"]] | Elastic = 1
    """processes that work together; {min, max}: as many as there is room for"""
    cpus_per_worker: Annotated[float, BOUNDS["resources.cpus_per_worker"]] = 1
    """CPUs of each"""
    gpus_per_worker: Literal["auto"] | Annotated[float, BOUNDS["resources.gpus_per_worker"]] = "auto"
    """GPUs of each; auto: one where the cluster has as many"""
    memory_per_worker: Annotated[Bytes, BOUNDS["resources.memory_per_worker"]] | None = None
    """kept free on the node for each"""
    accelerator: str | None = None
    """kind of GPU, as the cluster names it"""
    node_labels: dict[str, str] = {}
    """labels that a node must have"""

    @property
    def sizes(self) -> Elastic:
        return self.workers if isinstance(self.workers, Elastic) else Elastic(min=self.workers, max=self.workers)


class Rule(Part):
    failure: str | None = None
    """name of a failure, such as user_code"""
    exit_code: Annotated[int, BOUNDS["retry.rules.exit_code"]] | None = None
    """with which a worker ended"""
    log: str | None = Field(default=None, max_length=patterns.LONGEST, description="a regular expression of RE2")
    action: Literal["retry", "fail", "ignore"] = Field(description="ignore: again, and it costs no budget")

    @model_validator(mode="after")
    def some_condition(self) -> "Rule":
        if self.failure is None and self.exit_code is None and self.log is None:
            raise ValueError("failure, exit_code or log is expected")
        if self.log is not None:
            patterns.compiled(self.log)
        return self


class Retry(Part):
    limit: Annotated[int, BOUNDS["retry.limit"]] = Field(default=3, description="further attempts after the first")
    backoff: Annotated[Duration, BOUNDS["retry.backoff"]] = 10.0
    """wait before the second attempt; it doubles with each"""
    rules: tuple[Rule, ...] = Field(default=(), max_length=20, description="each is looked for in the log's end")


class Need(Part):
    name: Name
    """the job that is needed"""
    when: Literal["succeeded", "failed", "finished"] = "succeeded"
    """how it must have ended"""


class History(Part):
    succeeded: Annotated[int, BOUNDS["schedule.history.succeeded"]] = 3
    """how many that succeeded are shown"""
    failed: Annotated[int, BOUNDS["schedule.history.failed"]] = 1
    """how many others are shown"""


class Schedule(Part):
    cron: str
    """minute, hour, day of month, month, day of week"""
    time_zone: str = "UTC"
    """whose clock it goes by, such as Europe/Berlin"""
    concurrency: Literal["allow", "forbid", "replace"] = "forbid"
    """what a firing does while a job of an earlier one runs"""
    starting_deadline: Annotated[Duration, BOUNDS["schedule.starting_deadline"]] | None = None
    """a firing that is later than this is left out"""
    catch_up: Literal["none", "latest", "all"] = "latest"
    """which firings of an outage run afterwards"""
    jitter: Annotated[Duration, BOUNDS["schedule.jitter"]] = 0.0
    """firings are spread over this time"""
    suspend: bool = False
    """make the schedule, and do not fire yet"""
    history: History = History()
    """how many past firings are shown"""


class Job(Part):
    """What every kind of job has."""

    version: Literal[1] = 1
    """of this format"""
    kind: str
    """what the job does"""
    name: Name
    """by which it is found; one unfinished job has it"""
    labels: dict[str, str] = {}
    """words of your own, to find jobs by"""
    queue: Name = "default"
    """whose quota it uses"""
    priority: Annotated[int, BOUNDS["priority"]] = 50
    """higher goes first within its queue"""
    params: dict[str, Scalar] = {}
    """values for ${params.NAME}, which -p replaces"""
    code: str | None = None
    """a folder or archive with modules of your own"""
    environment: Environment = Environment()
    """of the job's processes"""
    resources: Resources = Resources()
    """what each of its attempts holds"""
    retry: Retry = Retry()
    """what happens after a failure"""
    timeout: Annotated[Duration, BOUNDS["timeout"]] | None = Field(
        default=None, description="running time over all attempts"
    )
    queue_timeout: Annotated[Duration, BOUNDS["queue_timeout"]] | None = None
    """longest wait for a place; then it has failed"""
    ttl: Annotated[Duration, BOUNDS["ttl"]] | None = None
    """its record is deleted so long after its end"""
    needs: tuple[Need, ...] = ()
    """jobs that must have ended before"""
    matrix: dict[str, tuple[Scalar, ...]] = {}
    """values by field: a job for each combination"""
    schedule: Schedule | None = None
    """when a new job of it runs"""

    @property
    def from_jobs(self) -> tuple[str, ...]:
        """Return the names of the jobs that this one is made from."""
        return ()


class TrainJob(Job):
    kind: Literal["train"]
    model: TrainModel
    """what is trained"""
    data: Data
    """on which examples"""
    train: Training = Training()
    """for how long, and how"""

    @property
    def from_jobs(self) -> tuple[str, ...]:
        return (self.data.from_,) if self.data.from_ else ()


class ModelRef(Part):
    from_: Name | None = Field(default=None, alias="from")
    """a job that trains it, by name: its newest model"""
    checkpoint: Literal["latest", "best"] | Annotated[Count, BOUNDS["model.checkpoint"]] = "latest"
    """of that job, instead of its last weights: latest, best, or the examples it was taken at"""
    uri: str | None = None
    """a model in the object store"""

    @model_validator(mode="after")
    def one_origin(self) -> "ModelRef":
        if (self.from_ is None) == (self.uri is None):
            raise ValueError("exactly one of from and uri is expected")
        if self.uri is not None and (wrong := plain.no_key(self.uri.partition("://")[2] or self.uri)):
            raise ValueError(f"uri: {self.uri!r} names no object: {wrong}")
        return self


class Sampling(Part):
    seed: Annotated[int, BOUNDS["sampling.seed"]] = 0
    """sample i of a seed is the same, always"""
    truncation: Annotated[float, BOUNDS["sampling.truncation"]] | None = None
    """below 1: more usual samples, and less variety"""
    classes: Literal["balanced"] | tuple[Annotated[int, BOUNDS["sampling.classes"]] | str, ...] | None = Field(
        default=None, description="names, or labels as the data's source wrote them; null: each sample draws its class"
    )


class Output(Part):
    format: Literal["webdataset", "parquet", "png", "webp", "jpeg", "npz"] = "webdataset"
    """of the shards"""
    samples_per_shard: Annotated[Count, BOUNDS["output.samples_per_shard"]] = 10_000
    """samples in one file"""


class Bound(Part):
    min: Annotated[float, BOUNDS["gate.require"]] | None = None
    """the least that passes"""
    max: Annotated[float, BOUNDS["gate.require"]] | None = None
    """the most that passes"""


class Gate(Part):
    reference: Data
    """real data that the generated are compared with"""
    samples: Annotated[Count, BOUNDS["gate.samples"]] = 10_000
    """how many are compared"""
    features: str = "inception-v3"
    """the network whose features are compared"""
    require: dict[str, Bound]
    """bounds by metric; data outside are held back"""


class GenerateJob(Job):
    kind: Literal["generate"]
    model: ModelRef
    """which generator"""
    samples: Annotated[Count, BOUNDS["samples"]] | None = None
    """how many are made"""
    data: Data | None = None
    """inputs, of which one sample each is made"""
    sampling: Sampling = Sampling()
    """how samples are drawn"""
    output: Output = Output()
    """how samples are written"""
    gate: Gate | None = None
    """a quality that the data must have to be published"""

    @model_validator(mode="after")
    def something_to_make(self) -> "GenerateJob":
        if (self.samples is None) == (self.data is None):
            raise ValueError("exactly one of samples and data is expected")
        if self.samples is not None and -(-self.samples // self.output.samples_per_shard) > SHARDS:
            raise ValueError(
                f"{self.samples} samples in shards of {self.output.samples_per_shard} are more than {SHARDS} shards; "
                "their names have five digits: set output.samples_per_shard higher"
            )
        return self

    @property
    def from_jobs(self) -> tuple[str, ...]:
        return (self.model.from_,) if self.model.from_ else ()


class EvaluateJob(Job):
    kind: Literal["evaluate"]
    data: Data
    """what is measured"""
    reference: Data
    """real data that it is compared with"""
    metrics: tuple[str, ...] = ("fid", "kid")
    """what is measured"""
    samples: Annotated[Count, BOUNDS["samples"]] | None = None
    """how many are compared; null: all"""
    features: str = "inception-v3"
    """the network whose features are compared"""

    @property
    def from_jobs(self) -> tuple[str, ...]:
        return (self.data.from_,) if self.data.from_ else ()


def kind_of(cls: type[Job]) -> str:
    """Return the word that `kind` must be in specs of this class."""
    return get_args(cls.model_fields["kind"].annotation)[0]


# Spec class by kind; `jobs.kinds.register` adds those that come later.
KINDS: dict[str, type[Job]] = {kind_of(cls): cls for cls in (TrainJob, GenerateJob, EvaluateJob)}


def dump(spec: Job) -> Plain:
    """Return a spec as plain JSON; `parse` reads it back to an equal one."""
    return spec.model_dump(mode="json", by_alias=True, exclude_defaults=True) | {"kind": spec.kind, "name": spec.name}


def parse(document: Plain) -> Job:
    """Return a job from plain JSON. Raises pydantic.ValidationError, or ValueError for an unknown kind."""
    plain.check(document)
    kind = document.get("kind")
    if not isinstance(kind, str) or kind not in KINDS:
        raise ValueError(f"kind: unknown {kind!r}; choices: {', '.join(KINDS)}")
    if isinstance(needs := document.get("needs"), list):  # `needs: [a]` is short for `needs: [{name: a}]`
        document = {**document, "needs": [{"name": n} if isinstance(n, str) else n for n in needs]}
    # Through JSON: strict there still takes lists for tuples, and refuses "64" or true for a number.
    return KINDS[kind].model_validate_json(json.dumps(document), strict=True)


def upstream(spec: Job) -> tuple[Need, ...]:
    """Return every job that must have ended before this one starts: `needs`, and what `from` implies."""
    named = {need.name for need in spec.needs}
    implied = tuple(Need(name=name) for name in spec.from_jobs if name not in named)
    return spec.needs + implied
