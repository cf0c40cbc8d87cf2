"""Spec files as a command gets them: several, folders of them, with values replaced from the command line."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli.errors import CliError
from orchestrator.cli.target import Target, is_local

if TYPE_CHECKING:
    from jobs.specs.spec import Plain

WHAT = "a YAML file, a folder of them, - for standard input, or the name of a shipped example"
File = Annotated[
    str, typer.Argument(metavar="FILE", help="a YAML file, - for standard input, or the name of a shipped example")
]
Files = Annotated[list[str], typer.Argument(metavar="FILE...", help=f"{WHAT}; several are one submission")]
Parameters = Annotated[list[str] | None, typer.Option("-p", metavar="NAME=VALUE", help="replace a value of `params`")]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="FIELD=VALUE", help="replace a field, such as train.batch_size=64"),
]


def documents(
    files: str | list[str],
    parameters: list[str] | None,
    overrides: list[str] | None = None,
    *,
    data_is_here: bool = False,
) -> "list[Plain]":
    """Return the jobs of spec files as plain documents. Raises CliError with every problem of every file.

    data_is_here: the jobs run on this machine, so that local data must be there.
    """
    from jobs.specs import load, spec
    from jobs.specs.errors import SpecError

    pairs, fields = _pairs("-p", parameters or []), _pairs("--set", overrides or [])
    found, problems = [], []
    for path in paths([files] if isinstance(files, str) else files):
        try:
            jobs = load.load_file(path, pairs, overrides=fields, data_is_here=data_is_here)
            found += [(path, spec.dump(job)) for job in jobs]
        except SpecError as error:
            problems.append(str(error))
    if problems := problems or _together(found):
        raise CliError("\n".join(problems))
    return [document for _, document in found]


def _together(found: "list[tuple[Path, Plain]]") -> list[str]:
    """Return what is wrong with jobs of all files together, as the server would say it, each with its file and line."""
    from jobs.specs import load
    from jobs.specs.errors import SpecError
    from orchestrator.admission.understand import understand

    try:
        understand([document for _, document in found])
    except SpecError as error:
        files = [path for path, _ in found]
        placed = []
        for problem in error.problems:
            path = files[problem.document]
            placed += load.located([replace(problem, document=problem.document - files.index(path))], path)
        return [str(problem) for problem in placed]
    return []


def paths(files: list[str]) -> list[Path]:
    """Return the files that are meant, those of a folder by name. Raises CliError."""
    from jobs.specs import load
    from jobs.specs.errors import SpecError

    found: list[Path] = []
    for file in files:
        if Path(file).is_dir():
            inside = sorted(path for path in Path(file).iterdir() if path.suffix in (".yaml", ".yml"))
            if not inside:
                raise CliError(f"{file}: is a folder without a .yaml file")
            found += inside
            continue
        try:
            found.append(load.find(file))
        except SpecError as error:
            raise CliError(str(error)) from None
    return found


def text(files: list[str]) -> str:
    """Return what stands in the files, as it was written; several follow each other, each under its name."""
    from jobs.specs import load

    found = paths(files)
    if len(found) == 1:
        return load.read_text(found[0])
    return "\n---\n".join(f"# {path.name}\n{load.read_text(path)}" for path in found)


def is_here(target: Target) -> bool:
    """Return whether the server is known, and on this machine."""
    try:
        return is_local(target.resolve()[0])
    except CliError:  # no server: a wrong file is told first
        return False


def refuse_local_paths(specs: "list[Plain]", target: Target) -> None:
    """Raise CliError where a path on this machine would be sent to a server elsewhere, to which it means nothing."""
    from jobs.specs.load import local_data

    local = [data["source"] for spec in specs for data in local_data(spec).values()]
    if local and not is_here(target):
        raise CliError(
            f"data.source: {local[0]} is a path on this machine, and the server is {target.resolve()[0]}; "
            "put the data in the object store and name it as s3://…"
        )


def _pairs(option: str, texts: list[str]) -> dict[str, str]:
    wrong = [text for text in texts if "=" not in text or text.startswith("=")]
    if wrong:
        raise CliError(f"{option} {wrong[0]}: NAME=VALUE is expected")
    return dict(text.split("=", 1) for text in texts)
