"""data inspect: what a job would train on."""

import importlib
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from orchestrator.cli.errors import CliError
from orchestrator.cli.output import Format, Output, dump
from orchestrator.cli.target import home

WIDTH = 40  # of the histogram's longest bar
BARS = 50  # classes shown


def register(app: typer.Typer) -> None:
    group = typer.Typer(help="data sets, before a job is submitted", no_args_is_help=True)
    group.command("inspect")(inspect)
    group.callback()(lambda: None)  # keeps `inspect` a command of its own, though it is the only one
    app.add_typer(group, name="data")


def inspect(
    source: Annotated[str, typer.Argument(help="a built-in name, a path, or s3://…")],
    resolution: Annotated[int | None, typer.Option(help="pixels; without it, as the source is")] = None,
    channels: Annotated[int | None, typer.Option(help="1 or 3")] = None,
    split: Annotated[str | None, typer.Option(help="train, test or validation")] = None,
    labels: Annotated[str, typer.Option(help="auto, none or required")] = "auto",
    label: Annotated[str | None, typer.Option(help="column of the labels, or `folder`")] = None,
    kind: Annotated[str | None, typer.Option("--format", help="pictures, parquet, webdataset or idx")] = None,
    fit: Annotated[str | None, typer.Option(help="crop, pad or stretch")] = None,
    max_corrupt: Annotated[float, typer.Option(help="share of unreadable files that is tolerated")] = 0.0,
    sheet: Annotated[Path | None, typer.Option(help="where the contact sheet goes")] = None,
    output: Output = Format.TABLE,
) -> None:
    """Show what of SOURCE a job would train on: pictures by class, what is left out and why, and a contact sheet."""
    from pydantic import ValidationError

    from jobs.specs.spec import Data

    options: dict[str, Any] = {
        "resolution": resolution,
        "channels": channels,
        "split": split,
        "labels": labels,
        "label": label,
    }
    options |= {"format": kind, "fit": fit, "max_corrupt": max_corrupt}
    where = os.path.abspath(source) if os.path.exists(source) and not _is_known(source) else source
    try:
        data = Data.model_validate({"source": where, **options})
        about = importlib.import_module("jobs.datasets.inspect").inspect(data, home(), sheet or _sheet(source), _tell)
    except ValidationError as error:
        first = error.errors()[0]
        raise CliError(f"--{'.'.join(map(str, first['loc'])) or 'source'}: {first['msg']}".replace("_", "-")) from None
    except ValueError as error:  # BadData, whose class the command line does not know
        raise CliError(str(error)) from None
    if output is Format.TABLE:
        _print(about)
    else:
        dump(about, output)


def _is_known(source: str) -> bool:
    return source in importlib.import_module("jobs.datasets.builtin").NAMES


def _sheet(source: str) -> Path:
    name = source.rstrip("/").rpartition("/")[2] or "data"
    return home() / "data" / "sheets" / f"{name}.png"


def _tell(label: str, done: int, total: int | None) -> None:
    if sys.stderr.isatty():
        print(f"\r{label}: {done:,} of {total:,}" if total else f"\r{label}: {done:,}", end="", file=sys.stderr)


def _print(about: dict[str, Any]) -> None:
    print(f"{about['source']}: {about['used']:,} pictures of {about['width']}x{about['height']}", end="")
    print(f", {about['channels']} channel{'s' * (about['channels'] > 1)}, {about['dtype']}")
    for line in histogram(about["by_class"]):
        print(line)
    print("sizes: " + (", ".join(f"{count:,} {how}" for how, count in about["fitted"].items()) or "-"))
    for each in about["left_out"]:
        more = " …" if each["count"] > len(each["first"]) else ""
        print(f"left out: {each['count']:,} {each['reason']}: {', '.join(each['first'])}{more}")
    print(f"contact sheet: {about['contact_sheet']}")


def histogram(by_class: dict[str, int] | None) -> list[str]:
    """Return a bar for each class, the longest WIDTH wide."""
    if not by_class:
        return ["no labels"]
    shown = dict(list(by_class.items())[:BARS])
    most, names = max(shown.values()), max(map(len, shown))
    lines = [
        f"  {name:{names}}  {'#' * max(1, count * WIDTH // most):{WIDTH}}  {count:,}" for name, count in shown.items()
    ]
    return lines if len(shown) == len(by_class) else [*lines, f"  … and {len(by_class) - len(shown):,} more classes"]
