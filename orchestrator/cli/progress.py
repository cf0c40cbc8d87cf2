"""What a job's newest tick and its result say, in the words of its kind (`jobs.kinds`)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from orchestrator.api.answers import JobAnswer, WholeJobAnswer


@dataclass(frozen=True, kw_only=True)
class Progress:
    unit: str = ""  # what the kind counts: examples, samples; empty: this command line does not know the kind
    verb: str = ""  # shown, made
    phase: str | None = None  # None: no tick yet
    done: float | None = None
    total: float | None = None
    rate: float | None = None  # a second
    eta: float | None = None  # seconds
    losses: Mapping[str, float] = field(default_factory=dict)
    step: Mapping[str, Any] = field(default_factory=dict)  # of preparing or uploading: label, done, total, unit


def of(job: "JobAnswer | WholeJobAnswer") -> Progress:
    """Return what a job of the API's answers tells; its result goes before its last tick."""
    from jobs import kinds

    tick: Mapping[str, Any] = job.get("tick") or {}
    kind, result = kinds.KINDS.get(job["kind"]), result_of(job)
    if kind is None:
        return Progress(phase=tick.get("phase"))
    unit, stats = kind.unit, tick.get("stats") or {}
    return Progress(
        unit=unit,
        verb=kind.verb,
        phase=tick.get("phase"),
        done=result.get(unit, tick.get(unit)),
        total=tick.get(f"total_{unit}"),
        rate=result.get(f"{unit}_per_second") or tick.get(f"{unit}_per_second"),
        eta=tick.get("eta"),
        losses={
            name.removeprefix("loss/"): value
            for name, value in stats.items()
            if name.startswith("loss/") and value is not None
        },
        step=tick.get("progress") or {},
    )


def places(job: "JobAnswer | WholeJobAnswer") -> list[tuple[str, str]]:
    """Return where the parts of a job's output are: label, URI."""
    from jobs import kinds

    kind, result = kinds.KINDS.get(job["kind"]), result_of(job)
    names = kind.places if kind else ("output",)
    return [(name, result[name]) for name in names if result.get(name)]


def result_of(job: "JobAnswer | WholeJobAnswer") -> Mapping[str, Any]:
    """Return what the attempt that ended the job said of it."""
    attempts = cast("WholeJobAnswer", job).get("attempts", [])  # a list of jobs does not tell them
    results = [attempt.get("result") or {} for attempt in attempts]
    return results[-1] if results else {}
