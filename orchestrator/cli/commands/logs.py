"""logs: what a job's driver and workers printed."""

import sys
import time
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli.errors import CliError, Exit, exit_of
from orchestrator.cli.output import note, plain
from orchestrator.cli.patient import Patient
from orchestrator.cli.select import Job
from orchestrator.states import ENDED

if TYPE_CHECKING:
    from orchestrator.cli.client import Client

POLL = 1.0


def register(app: typer.Typer) -> None:
    app.command()(logs)


def logs(
    context: typer.Context,
    job: Job,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="go on until the job ends")] = False,
    attempt: Annotated[int | None, typer.Option(help="which attempt; the newest by default")] = None,
) -> None:
    """Print a job's log."""
    client = context.obj.client
    found = client.get(f"/jobs/{job}")
    offset, shown = 0, found["attempt"] if attempt is None else attempt
    if not shown and not follow:
        return note(f"{found['name']} has had no attempt yet: {found['status']}, {found.get('reason') or 'no reason'}")
    server = Patient(client)
    try:
        while True:
            found = server.get(f"/jobs/{found['id']}")
            if attempt is None and found["attempt"] != shown:
                offset, shown = 0, found["attempt"]
                note(f"--- attempt {shown} ---")
            try:
                while shown and (after := _print_part(client, found["id"], shown, offset)) != offset:
                    offset = after
            except CliError as error:
                # The server, the store or Ray is away for a while; what they have is not lost.
                if not follow or error.code != Exit.UNREACHABLE:
                    raise
            if not follow:
                return
            if found["status"] in ENDED:
                raise typer.Exit(exit_of(found["status"], found["failure"]))
            time.sleep(POLL)
    except KeyboardInterrupt:
        raise typer.Exit(Exit.INTERRUPTED) from None


def _print_part(client: "Client", job_id: str, attempt: int, offset: int) -> int:
    """Print what comes after `offset`, as much as one answer has; returns where it ends."""
    answer = client.get(f"/jobs/{job_id}/logs", attempt=attempt, offset=offset)
    sys.stdout.write(_shown(answer["text"]))
    sys.stdout.flush()
    return int(answer["offset"])


def _shown(text: str) -> str:
    """Return a log as it is, or for a terminal without what would steer it; bars that redraw a line may."""
    if not sys.stdout.isatty():
        return text
    return "\r".join(map(plain, text.split("\r")))
