"""What parses but is not acted on yet: refused by name, never silently ignored.

One row is one field. When a field comes to life, its row goes.
"""

from typing import Any

from jobs.specs.errors import Problem
from jobs.specs.spec import Job, Plain, dump

# Dotted field -> what to do instead; a field counts when it is set to something other than its default.
NOT_YET = {
    "code": "use a built-in family, or an installed plug-in",
    "environment": "install what the workers need in their image",
    "model.init_from": "leave it out",
    "data.from": "name a source",
    "data.a": "image-to-image families come later",
    "data.b": "image-to-image families come later",
    "data.paired": "image-to-image families come later",
    "train.checkpoint.best": "use checkpoint: latest",
    "train.evaluate": "leave it out",
    "ttl": "leave it out: records are kept",
    "gate": "leave it out",
}
# The same for one kind alone.
NOT_YET_OF_KIND = {"generate": {"data": "image-to-image families come later"}}

# Values that parse but are not acted on yet, by field.
NOT_YET_VALUES: dict[str, dict[Any, str]] = {
    "kind": {"evaluate": "train and generate work"},
    "model.checkpoint": {"best": "use latest, or a number of examples"},
    "output.format": dict.fromkeys(("parquet", "webp", "jpeg", "npz"), "use webdataset or png"),
}


def unsupported(spec: Job) -> list[Problem]:
    """Return every field of a spec that would be ignored."""
    document = dump(spec)
    problems = [
        Problem(path=path, message=f"not supported yet; {way_out}")
        for path, way_out in (NOT_YET | NOT_YET_OF_KIND.get(spec.kind, {})).items()
        if _get(document, path) not in (None, {}, [], ())
    ]
    for path, values in NOT_YET_VALUES.items():
        value = _get(document, path)
        if isinstance(value, str) and value in values:
            problems.append(Problem(path=path, message=f"{value!r} is not supported yet; {values[value]}"))
    return problems


def _get(document: Plain, path: str) -> Any:
    value: Any = document
    for step in path.split("."):
        value = value.get(step) if isinstance(value, dict) else None
    return value
