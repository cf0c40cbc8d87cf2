"""A `matrix:` made into jobs: one for each combination, and a parent that waits for them and names the best. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import Any

from jobs import series
from jobs.specs.errors import Problem
from jobs.specs.spec import Plain
from orchestrator.records import Attempt, Job, Tick
from orchestrator.states import Status

MOST = 500  # jobs of one matrix


@dataclass(frozen=True, kw_only=True)
class Child:
    """How one combination ended."""

    job: Job
    value: float | None  # of the metric; None: it tells none


def problem(document: Mapping[str, Any]) -> Problem | None:
    matrix = document.get("matrix")
    if matrix is None or matrix == {}:
        return None
    if not isinstance(matrix, dict) or not all(isinstance(path, str) for path in matrix):
        return Problem(path="matrix", message="fields with a list of values each are expected, as train.seed: [0, 1]")
    lists = [values for values in matrix.values() if isinstance(values, list)]
    if len(lists) < len(matrix) or not all(lists):
        return Problem(path="matrix", message="a list of values is expected for each field, such as train.seed: [0, 1]")
    if count(document) > MOST:
        return Problem(path="matrix", message=f"{count(document)} combinations; {MOST} are the most of one matrix")
    if document.get("schedule"):
        return Problem(path="matrix", message="not supported yet together with a schedule")
    fixed = [path for path in matrix if path.partition(".")[0] in ("name", "kind", "matrix", "schedule", "needs")]
    return Problem(path=f"matrix.{fixed[0]}", message="cannot vary in a matrix") if fixed else None


def count(document: Mapping[str, Any]) -> int:
    """Return the number of combinations of a matrix in which `problem` finds nothing."""
    return prod(map(len, document["matrix"].values()))


def children(document: Mapping[str, Any]) -> list[Plain]:
    """Return the documents of the combinations, the last field varying fastest; `sweep-0`, `sweep-1` …"""
    matrix = document["matrix"]
    plain = {name: value for name, value in document.items() if name != "matrix"}
    made = []
    for n, values in enumerate(product(*matrix.values())):
        child = plain | {"name": f"{document['name']}-{n}"}
        for path, value in zip(matrix, values, strict=True):
            child = _with(child, path.split("."), value)
        made.append(child)
    return made


def _with(value: Any, path: Sequence[str], new: Any) -> Plain:
    """Return the same mapping with one dotted field set."""
    here = dict(value) if isinstance(value, dict) else {}
    return here | {path[0]: _with(here.get(path[0]), path[1:], new) if len(path) > 1 else new}


def measured(names: Sequence[str], attempt: Attempt | None, tick: Tick | None) -> float | None:
    """Return the first of these metrics that a job tells of, in its result or in its last tick."""
    result = (attempt and attempt.result) or {}
    tables = (series.table_of(result, "metrics"), series.table_of(tick.data if tick else {}, "stats"))
    values = (series.number(told.get(name)) for name in names for told in tables)
    return next((value for value in values if value is not None), None)


def summarize(ended: Sequence[Child], mode: str) -> tuple[Job | None, str]:
    """Return the best of those that succeeded, and what to say of them all. Without any measure a lone success is the best."""
    done = [child for child in ended if child.job.status == Status.SUCCEEDED]
    told = [child for child in done if child.value is not None]
    said = f"{len(done)} of {len(ended)} succeeded"
    if told:
        sign = 1 if mode == "min" else -1
        best = min(told, key=lambda child: (sign * (child.value or 0.0), child.job.name))
        return best.job, f"{said}; the best is {best.job.name} ({best.value:g})"
    if len(done) == 1:
        return done[0].job, f"{said}: {done[0].job.name}"
    return None, f"{said}; none tells a metric to choose the best by"
