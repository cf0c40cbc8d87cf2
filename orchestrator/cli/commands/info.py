"""families, schema, grids, version: what there is to know."""

from pathlib import Path
from typing import Annotated

import typer

from orchestrator.cli.errors import CliError
from orchestrator.cli.output import Format, Output, dump, note, show
from orchestrator.cli.select import Job


def register(app: typer.Typer) -> None:
    for command in (families, schema, explain, grids, version):
        app.command()(command)


def families(
    family: Annotated[str | None, typer.Argument(help="one family, with all its parameters")] = None,
    output: Output = Format.TABLE,
) -> None:
    """Show the kinds of GAN, their parameters and defaults."""
    from jobs.specs.check import families as known
    from jobs.specs.errors import did_you_mean

    if family is None:
        rows = [(name, about.get("summary"), about.get("paper")) for name, about in sorted(known().items())]
        return show(dict(sorted(known().items())), output, ("family", "summary", "paper"), rows)
    if family not in known():
        raise CliError(f"unknown family {family!r}{did_you_mean(family, known())}")
    dump(known()[family], Format.YAML if output is Format.TABLE else output)


def schema(output: Output = Format.JSON) -> None:
    """Print the JSON Schema (draft 7) of a job, for editors."""
    from jobs.specs.schema import json_schema

    dump(json_schema(), Format.JSON if output is Format.TABLE else output)


def explain(
    field: Annotated[str, typer.Argument(metavar="FIELD", help="such as train.checkpoint or model.params.dcgan")] = "",
    kind: Annotated[str | None, typer.Option(help="of this kind of job alone")] = None,
) -> None:
    """Say what a field of a spec is, what it may be, and which fields are within it."""
    from jobs.specs.explain import explain as find

    try:
        found = find(field, kind)
    except LookupError as error:
        raise CliError(str(error.args[0])) from None
    for n, each in enumerate(found):
        print("\n" * (n > 0) + (each.path or "a job"), f"({each.type})")
        for text in (each.text, f"default: {each.default}" if each.default is not None else ""):
            if text:
                print(f"  {text}")
        width = max(map(len, each.fields), default=0)
        for name, line in each.fields.items():
            print(f"    {name:<{width}}  {line}")


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
