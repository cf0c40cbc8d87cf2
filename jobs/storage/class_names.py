"""What a user calls the classes of a model -> their numbers in it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

SHOWN = 30  # names of an error


class UnknownClass(ValueError):
    """A class that the model does not have; the message lists those it has."""


@dataclass(frozen=True, kw_only=True)
class ClassNames:
    names: tuple[str, ...]
    labels: tuple[int | str, ...] | None = None  # of each, as the data's source wrote it; None: not kept

    def number(self, wanted: int | str) -> int:
        """Return the number of a class: a word is its name, a number its label as the source wrote it. Raises UnknownClass."""
        if isinstance(wanted, int) and self.labels and wanted in self.labels:
            return self.labels.index(wanted)
        if str(wanted) in self.names:
            return self.names.index(str(wanted))
        if isinstance(wanted, int) and self.labels is None and self._are_words and 0 <= wanted < len(self.names):
            return wanted  # a model from before labels were kept
        shown = [self._told(number) for number in range(min(SHOWN, len(self.names)))]
        more = f" and {len(self.names) - SHOWN} more" if len(self.names) > SHOWN else ""
        raise UnknownClass(f"no class {wanted!r}; there are {', '.join(shown)}{more}")

    @property
    def _are_words(self) -> bool:
        return not any(name.isdecimal() for name in self.names)

    def _told(self, number: int) -> str:
        label = self.labels[number] if self.labels else None
        return (
            f"{self.names[number]!r}"
            if label is None or str(label) == self.names[number]
            else (f"{self.names[number]!r} ({label})")
        )


def of_config(config: Mapping[str, Any]) -> ClassNames | None:
    """Return those of a model's config.json; None where it has no classes."""
    names, labels = config.get("class_names"), config.get("class_labels")
    return ClassNames(names=tuple(names), labels=tuple(labels) if labels else None) if names else None
