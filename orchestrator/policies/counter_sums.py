"""Ticks tell some times since the tick before; Prometheus wants them since the beginning. Pure."""

from collections.abc import Iterable, Mapping
from typing import Any

from jobs.series import number

Sums = dict[str, Any]  # field of a tick -> seconds, or label -> seconds


def added(before: Mapping[str, Any] | None, ticks: Iterable[Mapping[str, Any]], fields: Iterable[str]) -> Sums:
    """Return the sums of these fields over a job's whole life, these ticks included."""
    sums = dict(before or {})
    for tick in ticks:
        for name in fields:
            told = tick.get(name)
            if isinstance(told, Mapping):
                sums[name] = _added_up(sums.get(name, {}), told)
            elif told is not None:  # a tick of another phase tells nothing of it
                sums[name] = sums.get(name, 0.0) + _seconds(told)
    return sums


def _added_up(before: Mapping[str, float], told: Mapping[str, Any]) -> dict[str, float]:
    return {**before, **{label: before.get(label, 0.0) + _seconds(value) for label, value in told.items()}}


def _seconds(value: Any) -> float:
    return max(number(value) or 0.0, 0.0)  # a counter never falls
