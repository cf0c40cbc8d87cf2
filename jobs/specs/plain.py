"""Plain data as it may come from anywhere: what JSON can hold and a database or an object store cannot is refused."""

import json
import math
from typing import Any

from jobs.specs import bounds

DEEPEST = 32  # levels of nesting: those of YAML, and what a request puts around them


def check(document: Any) -> None:
    """Refuse numbers that are not finite or do not fit 64 bits, text that is none, and what is too large.

    Raises ValueError, which names the field.
    """
    check_values(document)
    size = len(json.dumps(document))
    if size > bounds.LARGEST:
        raise ValueError(f"one document is at most {bounds.LARGEST >> 20} MiB as JSON; this one has {size} bytes")


def check_values(value: Any, longest: int = bounds.LONGEST_TEXT) -> None:
    """Refuse what no JSON document and no database can hold, at any depth. Raises ValueError, which names the place."""
    _check(value, (), 0, longest)


def _check(value: Any, path: tuple[Any, ...], depth: int, longest: int) -> None:
    if depth > DEEPEST:
        raise ValueError(f"{_shown(path)}: nested deeper than {DEEPEST} levels")
    if isinstance(value, dict):
        for key, inner in value.items():
            _check(key, (*path, "…"), depth + 1, longest)
            _check(inner, (*path, key), depth + 1, longest)
    elif isinstance(value, list | tuple):
        for n, inner in enumerate(value):
            _check(inner, (*path, n), depth + 1, longest)
    elif wrong := wrong_scalar(value, longest):
        raise ValueError(f"{_shown(path)}: {wrong}")


def _shown(path: tuple[Any, ...]) -> str:
    return ".".join(str(step).encode("ascii", "backslashreplace").decode()[:50] for step in path) or "the document"


def wrong_scalar(value: Any, longest: int) -> str | None:
    """Say why a string or a number cannot be kept, or None."""
    if isinstance(value, float) and not math.isfinite(value):
        return f"a finite number is expected (got {value})"
    if isinstance(value, int) and not bounds.BOUNDS["params"].least <= value <= bounds.BOUNDS["params"].most:
        return "a whole number of 64 bits is expected"
    if isinstance(value, str):
        if len(value) > longest:
            return f"a text of at most {longest} characters is expected (got {len(value)})"
        if "\0" in value or any("\ud800" <= character <= "\udfff" for character in value):
            return "text without NUL and lone surrogates is expected"
    return None


def no_key(key: str) -> str | None:
    """Say why this cannot be the key of an object, or None."""
    parts = key.strip("/").split("/")
    if "\\" in key or any(ord(character) < 32 for character in key):
        return "it has a backslash or a control character"
    if any(part in ("", ".", "..") for part in parts):
        return "it has an empty part, `.` or `..`"
    return f"it is longer than 1024 bytes: {len(key)}" if len(key.encode("utf-8", "replace")) > 1024 else None
