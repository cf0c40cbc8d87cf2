"""Ticks tell some times since the tick before; Prometheus wants them since the beginning. Pure."""

from collections.abc import Iterable, Mapping
from typing import Any

TABLES = ("activity_seconds",)  # label -> seconds since the tick before
NUMBERS = ("checkpoint_stall_seconds",)


def added(before: Mapping[str, Any] | None, ticks: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The sums over a job's whole life, these ticks included."""
    sums = dict(before or {})
    for tick in ticks:
        for name in NUMBERS:
            sums[name] = sums.get(name, 0.0) + _number(tick.get(name))
        for name in TABLES:
            table = tick.get(name)
            for label, seconds in table.items() if isinstance(table, dict) else ():
                own = sums[name] = dict(sums.get(name, {}))
                own[label] = own.get(label, 0.0) + _number(seconds)
    return sums


def _number(value: Any) -> float:
    return max(float(value), 0.0) if isinstance(value, int | float) else 0.0  # a counter never falls
