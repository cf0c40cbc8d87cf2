"""Everything wrong with a spec that can be known without a cluster, at once."""

import json
from functools import cache, singledispatch
from importlib import resources
from importlib.metadata import entry_points
from typing import Any

from jsonschema import Draft202012Validator

from jobs.divisors import divisors
from jobs.specs.errors import Problem, did_you_mean
from jobs.specs.not_yet import unsupported
from jobs.specs.sources import DATA_NAMES, is_local
from jobs.specs.spec import GenerateJob, Job, TrainJob

__all__ = ["Problem", "families", "problems"]


@cache
def families() -> dict[str, dict[str, Any]]:
    """Return the families known to this installation, by name: schema, defaults, summary (made by trainers.gan.describe)."""
    return {**_plugins(), **_described("jobs")}


def _plugins() -> dict[str, dict[str, Any]]:
    """Return those that installed packages bring. A plug-in that does not describe its family has its parameters checked by the worker."""
    found = {}
    for point in entry_points(group="ganworks.families"):
        plain = {"summary": f"from {point.value}, which describes no parameters", "schema": {}}
        found[point.name] = _described(point.module.partition(".")[0]).get(point.name, plain)
    return found


def _described(package: str) -> dict[str, dict[str, Any]]:
    """Return what a package's folder `families` holds: NAME.json for each family."""
    folder = resources.files(package).joinpath("families")
    files = [file for file in folder.iterdir() if file.name.endswith(".json")] if folder.is_dir() else []
    return {file.name.removesuffix(".json"): json.loads(file.read_text("utf-8")) for file in files}


def problems(spec: Job) -> list[Problem]:
    """Return what is wrong: unsupported fields, unknown families and parameters, gangs that would split a group."""
    return unsupported(spec) + own_problems(spec)


@singledispatch
def own_problems(spec: Job) -> list[Problem]:
    """Return what is wrong with a spec of one kind; `@own_problems.register` adds a kind's."""
    return []


@own_problems.register
def _(spec: TrainJob) -> list[Problem]:
    return _family(spec) + _size(spec) + _source(spec) + _split(spec)


def _family(spec: TrainJob) -> list[Problem]:
    name = spec.model.family
    if ":" in name:
        return [Problem(path="model.family", message=f"{name!r}: families from `code` are not supported yet")]
    if name not in families():
        return [Problem(path="model.family", message=f"unknown {name!r}{did_you_mean(name, families())}")]
    validator = Draft202012Validator(families()[name]["schema"])
    errors = sorted(validator.iter_errors(spec.model.params), key=lambda error: list(map(str, error.absolute_path)))
    return [problem for error in errors for problem in _schema_problems(error)]


def _schema_problems(error: Any) -> list[Problem]:
    path = ".".join(["model.params", *map(str, error.absolute_path)])
    if error.validator == "additionalProperties":
        known = error.schema.get("properties", {})
        unknown = sorted(set(error.instance) - set(known))
        return [Problem(path=f"{path}.{name}", message=f"unknown field{did_you_mean(name, known)}") for name in unknown]
    if error.validator == "enum":
        choices = ", ".join(map(str, error.validator_value))
        return [Problem(path=path, message=f"unknown {error.instance!r}; choices: {choices}")]
    if error.validator in ("anyOf", "oneOf"):
        return [Problem(path=path, message=f"does not fit (got {error.instance!r}); {_choices(error)}")]
    return [Problem(path=path, message=error.message)]


def _choices(error: Any) -> str:
    return " or ".join(sorted({context.message for context in error.context or ()}))


def _size(spec: TrainJob) -> list[Problem]:
    """Name a size that the family cannot make: known here, it costs no packing of a whole data set."""
    family, asked = families().get(spec.model.family, {}), spec.data.resolution
    sizes = family.get("resolutions")
    if asked is None or not sizes or family.get("any_size", True) or asked in sizes:
        return []
    message = f"{spec.model.family} makes pictures of {', '.join(map(str, sizes))} pixels a side (got {asked})"
    return [Problem(path="data.resolution", message=message)]


def _source(spec: TrainJob) -> list[Problem]:
    """Refuse an unknown source: a name is that of a built-in data set; a path begins with ./ or /."""
    source = spec.data.source
    if source is None or source in DATA_NAMES or is_local(source) or source.startswith("s3://"):
        return []
    suggested = did_you_mean(source, DATA_NAMES)
    return [Problem(path="data.source", message=f"unknown {source!r}; a path begins with ./ or /{suggested}")]


def _split(spec: TrainJob) -> list[Problem]:
    """Refuse gangs in which a rank would own part of a group: otherwise two workers would not compute what one does."""
    groups = spec.train.groups
    sizes = spec.resources.sizes
    fitting = divisors(groups)
    if any(sizes.min <= workers <= sizes.max for workers in fitting):
        return []
    workers = f"{sizes.min}" if sizes.min == sizes.max else f"{sizes.min} to {sizes.max}"
    message = (
        f"{workers} workers cannot share {groups} groups of {spec.train.group_size} evenly; "
        f"workers that can: {_some(fitting)}, or change train.batch_size or train.group"
    )
    return [Problem(path="resources.workers", message=message)]


def _some(numbers: tuple[int, ...]) -> str:
    few = 16
    return ", ".join(map(str, numbers[:few])) + (f" and {len(numbers) - few} more" if len(numbers) > few else "")


@own_problems.register
def _(spec: GenerateJob) -> list[Problem]:
    classes = spec.sampling.classes
    if not isinstance(classes, tuple):
        return []
    negative = any(isinstance(each, int) and each < 0 for each in classes)
    if not classes or negative:
        message = f"names of classes, or labels from 0, are expected (got {list(classes)})"
        return [Problem(path="sampling.classes", message=message)]
    if twice := [each for each in dict.fromkeys(classes) if classes.count(each) > 1]:
        return [Problem(path="sampling.classes", message=f"{twice[0]!r} is there twice; each class once is expected")]
    return []
