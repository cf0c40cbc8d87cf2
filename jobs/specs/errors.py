"""What is wrong with a spec, told so that its writer can mend it."""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass

MANY = 40  # choices that nobody wants to read


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One fault: where (file, line, dotted field) and why, with the value and the way out."""

    path: str  # dotted field such as model.family; "" for the document itself
    message: str
    file: str | None = None
    line: int | None = None
    document: int = 0  # index of the document in its file

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}: " if self.file and self.line else f"{self.file}: " if self.file else ""
        return f"{where}{self.path}: {self.message}" if self.path else f"{where}{self.message}"


class SpecError(ValueError):
    """A spec that cannot be used: every problem at once."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))


def did_you_mean(word: str, choices: Iterable[str]) -> str:
    """Return `; did you mean 'dcgan'?`, or the choices when nothing is near."""
    known = sorted(choices)
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    if near:
        return f"; did you mean {near[0]!r}?"
    if len(known) > MANY:
        return f"; there are {len(known)}, such as {', '.join(known[:: -(-len(known) // 5)])}"
    return f"; choices: {', '.join(known)}" if known else ""
