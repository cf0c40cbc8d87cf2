"""May a waiting job go on? Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter

from orchestrator.records import Need
from orchestrator.states import ENDED, Status

WANTED: dict[str, frozenset[Status]] = {
    "succeeded": frozenset({Status.SUCCEEDED}),
    "failed": frozenset({Status.FAILED}),
    "finished": ENDED,
}


@dataclass(frozen=True)
class Met:
    """Everything needed has ended as wanted."""


@dataclass(frozen=True)
class Unmet:
    reason: str


@dataclass(frozen=True)
class Unsatisfiable:
    """Something ended otherwise than wanted: this job will never start."""

    reason: str


def assess(needs: Iterable[Need]) -> Met | Unmet | Unsatisfiable:
    needs = list(needs)
    for need in needs:
        if need.upstream_status in ENDED and need.upstream_status not in WANTED[need.when]:
            return Unsatisfiable(f"needs {need.upstream_name} {need.when}, and it {_became(need)}")
    unmet = [need.upstream_name for need in needs if need.upstream_status not in ENDED]
    return Unmet(f"waiting for {', '.join(unmet)}") if unmet else Met()


def _became(need: Need) -> str:
    became = need.upstream_status.lower()
    if need.upstream_status == Status.CANCELLED:
        became = "was cancelled"
    return f"{became} ({need.upstream_failure})" if need.upstream_failure else became


def cycle(needs: Mapping[str, Iterable[str]]) -> list[str] | None:
    """Return the names around a circle of needs, or None."""
    try:
        TopologicalSorter({name: set(needed) for name, needed in needs.items()}).prepare()
    except CycleError as error:
        return list(error.args[1])
    return None
