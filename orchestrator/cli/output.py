"""Answers on the terminal: tables for people, JSON or YAML for programs. Results go to stdout, all else to stderr."""

import json
import sys
import time
from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Annotated, Any

import typer


class Format(StrEnum):
    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


Output = Annotated[Format, typer.Option("-o", "--output", help="how to print")]


def show(value: Any, output: Format, table: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Print a value as JSON or YAML, or its rows as a table with these headings."""
    if output is Format.TABLE:
        print_table(table, rows)
    else:
        dump(value, output)


def dump(value: Any, output: Format) -> None:
    if output is Format.JSON:
        print(json.dumps(value, indent=2, ensure_ascii=False))
    else:
        import yaml

        print(yaml.safe_dump(value, sort_keys=False, allow_unicode=True), end="")


def print_table(headings: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Print plain columns, nothing cut: an address in a cell can be copied."""
    cells = [[str(heading).upper() for heading in headings], *([_cell(cell) for cell in row] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(headings))]
    for row in cells:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _cell(value: Any) -> str:
    return "-" if value is None or value == "" else str(value).replace("\n", " ")


def note(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def ago(moment: float | None) -> str:
    return "-" if moment is None else f"{duration(time.time() - moment)} ago"


def duration(seconds: float | None) -> str:
    """Return seconds for people: `75` -> `1m15s`."""
    if seconds is None:
        return "-"
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds}s"
    if seconds < 3600:
        return f"{seconds // 60}m{seconds % 60:02d}s"
    if seconds < 86400:
        return f"{seconds // 3600}h{seconds % 3600 // 60:02d}m"
    return f"{seconds // 86400}d{seconds % 86400 // 3600:02d}h"


def size(number: float | None) -> str:
    """Return bytes for people, in units of 1024."""
    if number is None:
        return "-"
    for unit in ("B", "KiB", "MiB", "GiB"):
        if number < 1024:
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1024
    return f"{number:.1f} TiB"


def clock(moment: float | None) -> str:
    return "-" if moment is None else time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(moment))
