"""What a user calls the classes of a model -> their numbers in it."""

from collections.abc import Mapping, Sequence
from typing import Any

from jobs.specs.spec import Sampling
from jobs.wire import PinnedModel

SHOWN = 30  # names of an error


class UnknownClass(ValueError):
    """Classes that the model does not have; the message lists those it has."""


def of_config(config: Mapping[str, Any]) -> tuple[tuple[str, ...] | None, tuple[int | str, ...] | None]:
    """Return names and labels, as the data's source wrote them, of the classes of a config.json; None where it has none."""
    names, labels = config.get("class_names"), config.get("class_labels")
    return names and tuple(names), labels and tuple(labels)


def with_classes(sampling: Sampling, model: PinnedModel) -> PinnedModel:
    """Return the model with the numbers of the classes that are asked for. Raises UnknownClass."""
    if sampling.classes is None:
        return model
    if not model.class_names:
        raise UnknownClass("sampling.classes: the model was trained without classes; leave it out")
    if sampling.classes == "balanced":
        return model
    return model.model_copy(update={"classes": tuple(_number(each, model) for each in sampling.classes)})


def _number(wanted: int | str, model: PinnedModel) -> int:
    """Take a word for a class's name, a number for its label as the source wrote it."""
    names, labels = model.class_names or (), model.class_labels
    if isinstance(wanted, int) and labels and wanted in labels:
        return labels.index(wanted)
    if str(wanted) in names:
        return names.index(str(wanted))
    is_old = labels is None and not any(name.isdecimal() for name in names)  # from before labels were kept
    if isinstance(wanted, int) and is_old and wanted < len(names):
        return wanted
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    told = ", ".join(_told(name, label) for name, label in _pairs(names, labels)[:SHOWN])
    raise UnknownClass(f"sampling.classes: no class {wanted!r}; there are {told}{more}")


def _pairs(names: Sequence[str], labels: Sequence[int | str] | None) -> list[tuple[str, int | str]]:
    return list(zip(names, labels or names, strict=True))


def _told(name: str, label: int | str) -> str:
    return f"{name!r}" if str(label) == name else f"{name!r} ({label})"
