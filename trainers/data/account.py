"""What became of a source's pictures when they were packed: used, left out and why, and how their sizes were fitted."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

FIRST = 5  # names that are told of each reason
NAMED_CLASSES = 12  # of the line
PLAIN_CLASSES = 1000
REASONS = 20  # told one by one


@dataclass(frozen=True, kw_only=True)
class LeftOut:
    reason: str
    count: int
    first: tuple[str, ...]  # names, up to FIRST


@dataclass(frozen=True, kw_only=True)
class Account:
    source: str
    used: int
    by_class: dict[str, int] | None  # None: without labels
    left_out: tuple[LeftOut, ...]  # the most frequent reason first
    fitted: dict[str, int]  # kept, padded, cropped or stretched -> pictures

    @classmethod
    def of_meta(cls, meta: Mapping[str, Any]) -> Self:
        """Return that of a packed data set's meta.json."""
        counts = meta.get("class_counts")
        skipped = [(entry["name"], entry["reason"]) for entry in meta.get("skipped", ())]
        return cls(
            source=str(meta.get("source", "")),
            used=int(meta["count"]),
            by_class=None if counts is None else dict(zip(meta["class_names"], counts, strict=True)),
            left_out=_grouped(skipped),
            fitted=dict(meta.get("fitted", {})),
        )

    @property
    def line(self) -> str:
        """Say it in one line."""
        parts = [f"{self.source}: {self.used:,} pictures used{self._classes()}"]
        parts += [f"{each.count:,} left out: {each.reason} ({_some(each)})" for each in self.left_out]
        changed = [f"{count:,} {how}" for how, count in self.fitted.items() if how != "kept"]
        return "; ".join(parts + changed)

    def plain(self) -> dict[str, Any]:
        """Return it as JSON's own types, with `line`; of more than PLAIN_CLASSES classes, the first."""
        by_class = None if self.by_class is None else dict(list(self.by_class.items())[:PLAIN_CLASSES])
        left_out = [{**asdict(each), "first": list(each.first)} for each in self.left_out]
        return {**asdict(self), "by_class": by_class, "left_out": left_out, "line": self.line}

    def _classes(self) -> str:
        if self.by_class is None:
            return ", without labels"
        shown = [f"{name} {count:,}" for name, count in list(self.by_class.items())[:NAMED_CLASSES]]
        more = len(self.by_class) - len(shown)
        noun = "class" if len(self.by_class) == 1 else "classes"
        return f" of {len(self.by_class)} {noun} ({', '.join([*shown, f'{more} more'] if more else shown)})"


def _grouped(skipped: Iterable[tuple[str, str]]) -> tuple[LeftOut, ...]:
    names: dict[str, list[str]] = {}
    for name, reason in skipped:
        names.setdefault(reason, []).append(name)
    groups = sorted(names.items(), key=lambda group: -len(group[1]))
    told = [LeftOut(reason=reason, count=len(of), first=tuple(of[:FIRST])) for reason, of in groups[:REASONS]]
    others = [name for _, of in groups[REASONS:] for name in of]
    if others:
        told.append(LeftOut(reason="other reasons", count=len(others), first=tuple(others[:FIRST])))
    return tuple(told)


def _some(group: LeftOut) -> str:
    return ", ".join(group.first) + (" …" if group.count > len(group.first) else "")


def fitted_counts(hows: Counter[str]) -> dict[str, int]:
    """Return how many pictures were fitted in which way, in a fixed order."""
    return {how: hows[how] for how in ("kept", "padded", "cropped", "stretched") if hows[how]}
