"""Answers on the terminal: tables for people, JSON or YAML for programs. Results go to stdout, all else to stderr."""

import io
import json
import os
import sys
import textwrap
import time
import unicodedata
from collections.abc import Iterable, Sequence
from contextlib import suppress
from enum import StrEnum
from typing import Annotated, Any, TextIO

import typer


class Format(StrEnum):
    TABLE = "table"
    JSON = "json"
    YAML = "yaml"
    WIDE = "wide"  # the table with every column
    NAME = "name"  # one a line, for scripts

    @property
    def is_table(self) -> bool:
        return self in (Format.TABLE, Format.WIDE)


Output = Annotated[Format, typer.Option("-o", "--output", help="how to print")]


def show(
    value: Any, output: Format, table: Sequence[str], rows: Iterable[Sequence[Any]], wide: Sequence[str] = ()
) -> None:
    """Print a value as JSON or YAML, its rows as a table with these headings, or what stands first in each row.

    wide: headings of columns that only a wide table has.
    """
    if output is Format.NAME:
        for row in rows:
            print(plain(str(row[0])))
    elif output.is_table:
        kept = [n for n, heading in enumerate(table) if output is Format.WIDE or heading not in wide]
        print_table([table[n] for n in kept], [[row[n] for n in kept] for row in rows])
    else:
        dump(value, output)


def dump(value: Any, output: Format, indent: int = 0) -> None:
    """Print a value as JSON or YAML, indented by so many spaces."""
    if output is Format.JSON:
        text = json.dumps(value, indent=2, ensure_ascii=False) + "\n"
    else:
        import yaml

        text = yaml.safe_dump(value, sort_keys=False, allow_unicode=True)
    print(textwrap.indent(text, " " * indent), end="")


def print_table(headings: Sequence[str], rows: Iterable[Sequence[Any]]) -> list[int]:
    """Print plain columns, nothing cut: an address in a cell can be copied. Return their widths."""
    cells = [[str(heading).upper() for heading in headings], *([_cell(cell) for cell in row] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(headings))]
    for row in cells:
        print_row(row, widths)
    return widths


def print_row(row: Sequence[Any], widths: Sequence[int]) -> None:
    """Print one more row of a table."""
    cells = [_cell(cell).ljust(width) for cell, width in zip(row, widths, strict=True)]
    print("  ".join(cells).rstrip(), flush=True)


def _cell(value: Any) -> str:
    return "-" if value is None or value == "" else plain(str(value).replace("\n", " "))


def plain(text: str) -> str:
    """Return a text that a terminal only shows: what would steer it stands as its code, such as \\x1b."""
    return "".join(character if _is_shown(character) else repr(character)[1:-1] for character in text)


def _is_shown(character: str) -> bool:
    return character in "\n\t" or unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Co")


def note(text: str) -> None:
    """Say it to whoever still listens: a terminal that was closed, or a reader that left, stops no command."""
    with suppress(OSError):
        print(plain(text), file=sys.stderr, flush=True)


def settle_streams() -> None:
    """Let a terminal of another encoding than UTF-8 show as its code what it cannot show: no name ends a command."""
    for number in range(3):  # one that is closed would be the number of the next file that is opened
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    sys.stdout, sys.stderr = (stream or open(os.devnull, "w") for stream in (sys.stdout, sys.stderr))  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.encoding.lower().replace("-", "") != "utf8":
            stream.reconfigure(errors="backslashreplace")


def close_streams() -> str | None:
    """Write what is left; return why it could not be written, if so: "" where the reader has left (`| head`)."""
    said: str | None = None
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BrokenPipeError:
            said = said or ""
            _redirect(stream)
        except OSError as error:
            said = said or f"the output cannot be written: {error.strerror}"
            _redirect(stream)
    return said


def _redirect(stream: TextIO) -> None:
    """Let it go nowhere: Python would try once more at its end, and end with a traceback."""
    with suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


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
