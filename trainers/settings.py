"""What one training is asked to do."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from trainers.data.inputs import Data, by_input
from trainers.devices import PRECISIONS
from trainers.gan.family import ExampleShape, Family
from trainers.gan.registry import build, get
from trainers.randomness.groups import BadSplit, check_split

DEVICES = ("cpu", "cuda")
POLICIES = ("warn", "rollback", "fail")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """ValueError (BadSplit where it is the batch) names the field, its value and the choices."""

    family: str  # a name, or module:Class
    params: Mapping[str, Any]  # of the family's Config
    examples: int  # real ones shown, over all ranks
    batch_size: int  # samples, over all ranks
    group: int  # samples whose batch statistics and draws go together
    seed: int
    precision: str  # auto | fp32 | bf16 | fp64
    checkpoint_every: int  # examples
    grid_every: int  # examples
    grid_count: int  # samples in a grid
    threads: int  # of this rank
    device: str  # cpu | cuda
    tick_seconds: float = 5.0  # longest time between two progress reports
    family_object: type[Family] | None = None  # instead of looking `family` up
    health: Mapping[str, str] = field(default_factory=dict)  # on_collapse, on_divergence: warn | rollback | fail

    def __post_init__(self) -> None:
        for name in ("examples", "batch_size", "group", "checkpoint_every", "grid_every", "grid_count", "threads"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it is at least 1")
        _check_choice("precision", self.precision, PRECISIONS)
        _check_choice("device", self.device, DEVICES)
        for name, policy in self.health.items():
            _check_choice("health", name, ("on_collapse", "on_divergence"))
            _check_choice(f"health.{name}", policy, POLICIES)
        if self.tick_seconds <= 0:
            raise ValueError(f"tick_seconds is {self.tick_seconds}; it is more than 0")
        if reason := check_split(self.batch_size, self.group):
            raise BadSplit(reason)

    @property
    def family_class(self) -> type[Family]:
        return self.family_object or get(self.family)

    def build_family(self, data: Data) -> Family:
        """Return the family for this data; InputsMissing, and what building it raises."""
        sets = by_input(self.family_class.inputs(), data)
        examples = {name: ExampleShape(shape=own.shape, classes=own.classes) for name, own in sets.items()}
        return build(self.family_class, self.params, examples=examples)


def _check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"{name} is {value!r}; it is one of {', '.join(choices)}")
