"""The file of GANWORKS_QUEUES: what the queues may have, and how the plan goes about it. YAML, or JSON:

half_life: 7d        # after which use counts half in fair shares
preemption: true     # lower priority is stopped with a checkpoint for higher
protected: 60s       # no attempt is preempted this soon after its start; twice as long after each stop of its job
grow_after: 5m       # capacity idle for this long goes to elastic jobs
queues:
  default: {}        # no guarantee and no limit
  research:
    guaranteed: {gpus: 8, cpus: 64}
    borrow: {gpus: 4}          # beyond it, while others leave them idle; left out: as many as there are
    weight: 2                  # of its fair share
    user: {gpus: 4, jobs: 2}   # that one user may have in it
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import Field, ValidationError

from jobs.specs.errors import did_you_mean
from jobs.specs.spec import Name, Part
from jobs.specs.units import Duration
from orchestrator.scheduler import Policy, QueuePolicy


class Amounts(Part):
    gpus: float | None = Field(default=None, ge=0)
    cpus: float | None = Field(default=None, ge=0)


class User(Part):
    gpus: float | None = Field(default=None, ge=0)
    jobs: int | None = Field(default=None, ge=1)


class Queue(Part):
    guaranteed: Amounts = Amounts()
    borrow: Amounts = Amounts()
    weight: float = Field(default=1.0, gt=0)
    user: User = User()

    @property
    def policy(self) -> QueuePolicy:
        return QueuePolicy(
            gpus=self.guaranteed.gpus,
            cpus=self.guaranteed.cpus,
            borrow_gpus=self.borrow.gpus,
            borrow_cpus=self.borrow.cpus,
            weight=self.weight,
            user_gpus=self.user.gpus,
            user_jobs=self.user.jobs,
        )


class File(Part):
    half_life: Duration = 7 * 86400.0
    preemption: bool = True
    protected: Duration = 60.0
    grow_after: Duration = 300.0
    queues: dict[Name, Queue] = Field(default={"default": Queue()}, min_length=1)


def read(path: str) -> Policy:
    """Read the policy. Raises ValueError that names the file, the field and the way out."""
    try:
        document = yaml.safe_load(Path(path).read_text("utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise ValueError(f"GANWORKS_QUEUES: {path} cannot be read: {error}") from None
    return parse(document if document is not None else {}, path)


def parse(document: Any, path: str = "GANWORKS_QUEUES") -> Policy:
    try:
        file = File.model_validate_json(json.dumps(document))
    except ValidationError as error:
        raise ValueError(f"{path}: {'; '.join(_explained(dict(each)) for each in error.errors())}") from None
    return Policy(
        queues={name: queue.policy for name, queue in file.queues.items()},
        half_life=file.half_life,
        preemption=file.preemption,
        protected=file.protected,
        grow_after=file.grow_after,
    )


_FIELDS = {*File.model_fields, *Queue.model_fields, *Amounts.model_fields, *User.model_fields}


def _explained(error: Mapping[str, Any]) -> str:
    where = ".".join(map(str, error["loc"])) or "the file"
    if error["type"] == "extra_forbidden":
        return f"{where}: unknown field{did_you_mean(str(error['loc'][-1]), _FIELDS)}"
    return f"{where}: {error['msg'].removeprefix('Value error, ')} (got {error.get('input')!r})"
