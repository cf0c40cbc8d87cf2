"""What Prometheus sees of a job, as data: a series names the fields of the newest tick that it reads. No client library here."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

Tick = Mapping[str, Any]  # as it is stored: its kind's fields, and `time`
Values = Iterable[tuple[tuple[str, ...], float]]  # labels beside the job's, value
Reader = Callable[[Tick], Values]


@dataclass(frozen=True)
class Series:
    name: str  # without the prefix; `_total` at its end makes it a counter
    help: str
    read: Reader
    labels: tuple[str, ...] = ()

    @property
    def is_counter(self) -> bool:
        return self.name.endswith("_total")


def field(name: str) -> Reader:
    """Read one number, of the tick or of its stats."""

    def read(tick: Tick) -> Values:
        value = number(tick.get(name, table_of(tick, "stats").get(name)))
        return [] if value is None else [((), value)]

    return read


def stats(prefix: str) -> Reader:
    """Read every stat `<prefix>/<label>`."""

    def read(tick: Tick) -> Values:
        for name, raw in table_of(tick, "stats").items():
            value = number(raw)
            if name.startswith(f"{prefix}/") and value is not None:
                yield (name.removeprefix(f"{prefix}/"),), value

    return read


def table(name: str, but: str | None = None) -> Reader:
    """Read every entry of a mapping in the tick but one."""

    def read(tick: Tick) -> Values:
        for label, raw in table_of(tick, name).items():
            value = number(raw)
            if value is not None and label != but:
                yield (label,), value

    return read


def findings(tick: Tick) -> Values:
    names = {str(finding.get("name")) for finding in tick.get("findings") or () if isinstance(finding, dict)}
    return [((name,), 1.0) for name in sorted(names)]


def tick_time(tick: Tick) -> Values:
    return [((), tick["time"])]


def expected_end(tick: Tick) -> Values:
    left = number(tick.get("eta"))
    return [] if left is None else [((), tick["time"] + left)]


def share_done(unit: str) -> Reader:
    """Read the share that is done of what a kind counts in."""

    def read(tick: Tick) -> Values:
        done, total = number(tick.get(unit)), number(tick.get(f"total_{unit}"))
        return [] if done is None or not total else [((), min(done / total, 1.0))]

    return read


def table_of(tick: Tick, name: str) -> Mapping[str, Any]:
    found = tick.get(name)
    return found if isinstance(found, dict) else {}


def number(value: Any) -> float | None:
    """Return a stored value as a number; None for what is missing or none."""
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
