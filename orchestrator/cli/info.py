"""families, schema, grids, version: what there is to know."""

from pathlib import Path
from typing import Annotated

import typer

from orchestrator.cli.errors import CliError
from orchestrator.cli.output import Format, Output, dump, note, show
from orchestrator.cli.select import Job


def register(app: typer.Typer) -> None:
    for command in (families, schema, grids, version):
        app.command()(command)


def families(
    family: Annotated[str | None, typer.Argument(help="one family, with all its parameters")] = None,
    output: Output = Format.TABLE,
) -> None:
    """Show the kinds of GAN, their parameters and defaults."""
    from jobs.specs.check import families as known
    from jobs.specs.errors import did_you_mean

    if family is None:
        rows = [(name, about.get("summary"), about.get("paper")) for name, about in known().items()]
        return show(known(), output, ("family", "summary", "paper"), rows)
    if family not in known():
        raise CliError(f"unknown family {family!r}{did_you_mean(family, known())}")
    dump(known()[family], Format.YAML if output is Format.TABLE else output)


def schema(output: Output = Format.JSON) -> None:
    """Print the JSON Schema (draft 7) of a job, for editors."""
    from jobs.specs.spec import json_schema

    dump(json_schema(), Format.JSON if output is Format.TABLE else output)


def grids(
    context: typer.Context,
    job: Job,
    download: Annotated[Path | None, typer.Option("--to", help="save the pictures in this folder")] = None,
    output: Output = Format.TABLE,
) -> None:
    """List or save the pictures of fixed latents that a training job drew."""
    client = context.obj.client
    answer = client.get(f"/jobs/{job}/grids")
    if download is None:
        rows = [(grid["examples"], grid["file"]) for grid in answer["grids"]]
        return show(answer, output, ("examples", "file"), rows)
    download.mkdir(parents=True, exist_ok=True)
    for grid in answer["grids"]:
        (download / grid["file"]).write_bytes(client.get_bytes(f"/jobs/{job}/grids/{grid['file']}"))
    note(f"{len(answer['grids'])} pictures in {download}")


def version() -> None:
    """Print the version of this command line."""
    from orchestrator import __version__

    print(__version__)
