"""Which jobs a command is for: some by name or id, those with a label, or all that it can be done to."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestrator.cli.errors import CliError, Exit
from orchestrator.cli.output import note
from orchestrator.states import ENDED, Status

if TYPE_CHECKING:
    from orchestrator.api.answers import JobAnswer
    from orchestrator.cli.client import Client

MOST = 1000  # jobs of one answer
UNFINISHED = [status for status in Status if status not in ENDED]
MAY: dict[str, list[Status]] = {  # what `--all` means
    "cancel": UNFINISHED,
    "suspend": [status for status in UNFINISHED if status != Status.SUSPENDED],
    "resume": [Status.SUSPENDED],
    "retry": [Status.FAILED],
    "delete": list(ENDED),
}


def _names(context: typer.Context, incomplete: str) -> list[str]:
    """Return names of jobs for a shell that completes; none where no server answers."""
    try:
        target = context.find_root().obj
        if target is None:
            from orchestrator.cli.target import Target

            target = Target()
        jobs = target.client.get("/jobs", limit=MOST)["jobs"]
    except CliError:
        return []
    return sorted({job["name"] for job in jobs if job["name"].startswith(incomplete)})


Job = Annotated[
    str,
    typer.Argument(
        metavar="JOB", help="a job's name (its newest), its id or the beginning of it", autocompletion=_names
    ),
]
Jobs = Annotated[
    list[str] | None,
    typer.Argument(metavar="JOB...", help="names, ids or beginnings of ids", autocompletion=_names),
]
Labels = Annotated[
    list[str] | None, typer.Option("-l", "--label", metavar="NAME=VALUE", help="only jobs with this label")
]
All = Annotated[bool, typer.Option("--all", help="every job of the project to which it can be done")]


def act(
    client: "Client",
    verb: str,
    names: list[str] | None,
    labels: list[str] | None,
    every: bool,
    do: Callable[[str], str],
) -> None:
    """Do it to each of the chosen jobs and print what became of it. One that fails stops no other; the first failure
    is the exit code."""
    wanted = _chosen(client, verb, names, labels, every)
    failed = Exit.DONE
    for job in wanted:
        try:
            note(do(job))
        except CliError as error:
            if len(wanted) == 1 or error.code in (Exit.UNREACHABLE, Exit.REFUSED):
                raise
            note(f"error: {error}")
            failed = failed or error.code
    if failed:
        raise typer.Exit(failed)


def _chosen(client: "Client", verb: str, names: list[str] | None, labels: list[str] | None, every: bool) -> list[str]:
    if bool(names) == bool(every or labels):
        raise CliError(f"{verb}: name the jobs, or say --all or -l NAME=VALUE, and not both")
    if names:
        return names
    found = listed(client, labels, MAY[verb])
    if not found:
        note(f"there is no job to {verb}")
    if len(found) == MOST:
        note(f"{MOST} at a time; the same command goes on with the rest")
    return [job["id"] for job in found]


def listed(client: "Client", labels: list[str] | None, statuses: Iterable[str]) -> "list[JobAnswer]":
    """Return jobs in one of these states that have all these labels, newest first; MOST of them."""
    answer: Any = client.get("/jobs", limit=MOST, status=",".join(statuses), label=labels or None)
    return list(answer["jobs"])
