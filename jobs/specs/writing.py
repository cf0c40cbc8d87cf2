"""What people write into a spec file without seeing it, or in another tool's way: what to write instead."""

import re
import unicodedata
from collections.abc import Iterator, Mapping
from typing import Any

from jobs.specs.errors import Problem

DURATIONS = ("timeout", "queue_timeout", "ttl", "retry.backoff", "schedule.starting_deadline", "schedule.jitter")
NICKNAMES = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
_UNQUOTED = re.compile(r"^(\s*(?:- )?[\w.-]+:|.*\{.*?:)\s+([*@&%`].*?)\s*(?:#.*)?$")


def not_utf8(content: bytes) -> tuple[int, str]:
    """Return the line of a file at which it is no UTF-8 text, and what to do."""
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return 1, "is UTF-16 text; save it as UTF-8"
    try:
        content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        return line, f"byte 0x{content[error.start]:02x} is no UTF-8 text; save the file as UTF-8"
    raise ValueError("it is UTF-8")


def hint_for(line: str) -> str:
    """Return what may be wrong with a line that is not YAML: a value to quote, a character that looks like a space."""
    if found := _UNQUOTED.match(line):
        return f"; a value that begins with {found[2][0]!r} goes in quotes: '{found[2].rstrip('}').strip()}'"
    if "\t" in line[: len(line) - len(line.lstrip())]:
        return "; indent with spaces"
    if strange := next(_strange(line), None):
        return f"; the line has {strange}"
    return ""


def strange_keys(value: Any, path: str = "") -> Iterator[Problem]:
    """Yield the names of fields that no field can have: letters that look like others, spaces that are none."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            at = f"{path}.{key}" if path else str(key)
            if strange := next(_strange(str(key), letters=True), None):
                yield Problem(path=at, message=f"the field's name has {strange}; was it copied from elsewhere?")
            elif key not in ("labels", "params", "node_labels"):  # names of the user's own
                yield from strange_keys(inner, at)
    elif isinstance(value, list):
        for n, inner in enumerate(value):
            yield from strange_keys(inner, f"{path}.{n}")


def _strange(text: str, letters: bool = False) -> Iterator[str]:
    """Yield, with its code point, each character that is not what it looks like. letters: also those beyond ASCII."""
    for character in text:
        category = unicodedata.category(character)
        if (category in ("Cf", "Cc", "Zl", "Zp") and character not in "\t\n") or (
            category == "Zs" and character != " "
        ):
            yield f"an invisible character, U+{ord(character):04X} ({_name(character)})"
        elif letters and not character.isascii():
            yield f"the letter {character!r}, U+{ord(character):04X} ({_name(character)})"


def _name(character: str) -> str:
    return unicodedata.name(character, "no name").lower()


def bare_durations(document: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield the durations of a file that have no unit: minutes to one reader, seconds to another."""
    for path in DURATIONS:
        value: Any = document
        for step in path.split("."):
            value = value.get(step) if isinstance(value, Mapping) else None
        if isinstance(value, int | float) and not isinstance(value, bool) and value > 0:
            yield Problem(
                path=path, message=f"a duration has a unit: {value:g}s, {value:g}m or {value:g}h (got {value!r})"
            )


def unclosed(value: Any, path: str = "") -> Iterator[Problem]:
    """Yield the texts in which a reference was begun and not ended."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from unclosed(inner, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list):
        for n, inner in enumerate(value):
            yield from unclosed(inner, f"{path}.{n}")
    elif isinstance(value, str) and re.search(r"\$\{[^}]*$", value):
        yield Problem(path=path, message=f"a reference ends with }}: ${{params.NAME}} (got {value!r})")
