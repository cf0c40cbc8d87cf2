"""Is a training still one?"""

from collections.abc import Mapping
from math import isfinite


class Diverged(RuntimeError):
    """Weights or losses are no longer finite; raised on every rank at the tick that finds it."""

    def __init__(self, stats: Mapping[str, float], *, examples: int, steps: int) -> None:
        self.stats, self.examples, self.steps = dict(stats), examples, steps
        bad = ", ".join(f"{name} = {value}" for name, value in not_finite(stats).items())
        super().__init__(f"training diverged at or shortly before {examples} examples (step {steps}): {bad}")

    def __reduce__(self) -> tuple:
        return _rebuild, (self.stats, self.examples, self.steps)


def not_finite(stats: Mapping[str, float]) -> dict[str, float]:
    return {name: value for name, value in stats.items() if not isfinite(value)}


def _rebuild(stats: dict[str, float], examples: int, steps: int) -> Diverged:
    return Diverged(stats, examples=examples, steps=steps)
