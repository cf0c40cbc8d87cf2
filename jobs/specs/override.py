"""`--set train.batch_size=64`: fields of a spec replaced from the command line."""

from collections.abc import Mapping, Sequence
from typing import Any

from jobs.specs import strict_yaml
from jobs.specs.errors import Problem, did_you_mean
from jobs.specs.strict_yaml import Document


def override(documents: Sequence[Document], fields: Mapping[str, str]) -> list[Problem]:
    """Put each value into the documents that have the first name of its path, or into the only one; return what is
    wrong. A value is read as an unquoted one of YAML would be; a step may be the number of an item of a list."""
    problems = []
    for path, text in fields.items():
        steps = path.split(".")
        fitting = [document.value for document in documents if isinstance(document.value, dict)]
        if len(fitting) > 1:
            fitting = [value for value in fitting if steps[0] in value]
        if not fitting:
            known = {name for document in documents if isinstance(document.value, dict) for name in document.value}
            message = f"--set {path}=…: no document has {steps[0]!r}{did_you_mean(steps[0], known)}"
            problems.append(Problem(path=path, message=message))
        for value in fitting:
            if wrong := _put(value, steps, strict_yaml.scalar(text)):
                problems.append(Problem(path=path, message=f"--set {path}=…: {wrong}"))
    return problems


def _put(value: Any, steps: list[str], new: Any) -> str | None:
    """Put a value at a path, mappings that are not there yet included; return why that cannot be done, or None."""
    step, *rest = steps
    if isinstance(value, list):
        if not step.isdecimal() or int(step) >= len(value):
            return f"{step!r} is no item of a list of {len(value)}"
        key: Any = int(step)
    elif isinstance(value, dict) and step:
        key = step
        if rest and not isinstance(value.get(step), dict | list):
            if value.get(step) is not None:
                return f"{step!r} is {value[step]!r}, not a mapping"
            value[step] = {}
    else:
        return "names are expected between the dots"
    if rest:
        return _put(value[key], rest, new)
    value[key] = new
    return None
