"""Quantities as people write them in a spec: counts `50k`, durations `90s`, bytes `64MiB`."""

import math
import re
from typing import Annotated

from pydantic import BeforeValidator, Field, WithJsonSchema

COUNTS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9}
SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
BYTES = {
    "": 1,
    "B": 1,
    "kB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
    "KiB": 2**10,
    "MiB": 2**20,
    "GiB": 2**30,
    "TiB": 2**40,
}

_QUANTITY = re.compile(r"(\d+(?:\.\d+)?)\s*([A-Za-z]*)")


def _parse(value: object, units: dict[str, int] | dict[str, float], what: str, example: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError(f"{what} is expected, such as {example}")
    match = _QUANTITY.fullmatch(str(value).strip())
    if not match or match[2] not in units:
        raise ValueError(f"{what} is expected, such as {example} (units: {', '.join(unit for unit in units if unit)})")
    number = float(match[1]) * units[match[2]]
    if not math.isfinite(number):
        raise ValueError(f"{what} is expected, such as {example}; this number is too large")
    return number


def parse_count(value: object) -> int:
    """Parse a count: `50k` -> 50000. It must come out whole."""
    number = _parse(value, COUNTS, "a count", "50000, 50k or 2M")
    if number != int(number):
        raise ValueError("a whole number is expected, such as 50000, 50k or 2M")
    return int(number)


def parse_duration(value: object) -> float:
    """Parse a duration: `90s` -> 90.0 seconds; a bare number is seconds."""
    return _parse(value, {"": 1, **SECONDS}, "a duration", "90s, 10m, 2h or 7d")


def parse_bytes(value: object) -> int:
    return int(_parse(value, BYTES, "a size in bytes", "64MiB or 2GB"))


def _schema(pattern: str) -> WithJsonSchema:
    return WithJsonSchema({"anyOf": [{"type": "number", "minimum": 0}, {"type": "string", "pattern": pattern}]})


Count = Annotated[int, BeforeValidator(parse_count), Field(ge=1), _schema(r"^\d+(\.\d+)?\s*[kMG]?$")]
Duration = Annotated[float, BeforeValidator(parse_duration), Field(ge=0), _schema(r"^\d+(\.\d+)?\s*(ms|s|m|h|d|w)?$")]
Bytes = Annotated[int, BeforeValidator(parse_bytes), Field(ge=1), _schema(r"^\d+(\.\d+)?\s*([kMGT]?B|[KMGT]iB)?$")]
