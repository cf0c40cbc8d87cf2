"""cron: schedules, their coming and past firings."""

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from orchestrator.cli.errors import CliError
from orchestrator.cli.files import documents
from orchestrator.cli.output import Format, Output, clock, duration, note, show

Name = Annotated[str, typer.Argument(metavar="SCHEDULE", help="a schedule's name: that of its job")]
cron = typer.Typer(
    name="cron", help="Schedules. `ganworks submit` of a job with `schedule:` makes one.", no_args_is_help=True
)


def register(app: typer.Typer) -> None:
    app.add_typer(cron)


@cron.command("list")
def list_schedules(context: typer.Context, output: Output = Format.TABLE) -> None:
    """List all schedules."""
    answer = context.obj.client.get("/schedules")
    rows = [
        (s["name"], s["cron"], s["time_zone"], s["concurrency"], "suspended" if s["suspended"] else _in(s["next_at"]),
         s["version"], ", ".join(s["jobs"]), s["reason"])
        for s in answer["schedules"]
    ]  # fmt: skip
    show(answer, output, ("name", "cron", "time zone", "concurrency", "next", "version", "jobs", "reason"), rows)


def _in(moment: float | None) -> str:
    return "never" if moment is None else f"in {duration(max(moment - time.time(), 0))}"


@cron.command("next")
def coming(
    context: typer.Context,
    name: Annotated[
        str, typer.Argument(metavar="SCHEDULE|FILE", help="a schedule's name, or a file not submitted yet")
    ],
    count: Annotated[int, typer.Option("-n", "--count", min=1, max=1000)] = 5,
    output: Output = Format.TABLE,
) -> None:
    """Show the coming firings, in the schedule's own time zone."""
    if Path(name).is_file():
        answer = {"firings": _of_file(name, count)}
    else:
        answer = context.obj.client.get(f"/schedules/{name}/next", count=count)
    rows = [
        (firing["text"], duration(firing["at"] - firing["scheduled_time"]), _in(firing["at"]))
        for firing in answer["firings"]
    ]
    show(answer, output, ("scheduled", "jitter", "comes"), rows)


def _of_file(file: str, count: int) -> list[dict[str, Any]]:
    """Return what the schedules of a file would fire at, the soonest first."""
    from jobs.specs.spec import parse
    from orchestrator.policies import cron as policy

    found: list[dict[str, Any]] = []
    for document in documents(file, None):
        schedule = parse(document).schedule
        if schedule is None:
            continue
        found += [
            {"scheduled_time": each.scheduled, "at": each.at, "text": policy.text(schedule, each.scheduled)}
            for each in policy.coming(document["name"], schedule, time.time(), count)
        ]
    if not found:
        raise CliError(f"{file}: no job of it has a schedule, or none that comes again")
    return sorted(found, key=lambda firing: firing["at"])[:count]


@cron.command()
def history(
    context: typer.Context,
    name: Name,
    all: Annotated[bool, typer.Option("--all", help="beyond the schedule's history limits")] = False,
    output: Output = Format.TABLE,
) -> None:
    """List past firings and what became of them."""
    answer = context.obj.client.get(f"/schedules/{name}/history", all=all)
    rows = [
        (clock(t["scheduled_time"]), t["outcome"], t["status"], t["job_id"], t["version"], t["reason"] or t["failure"])
        for t in answer["firings"]
    ]
    show(answer, output, ("scheduled", "outcome", "status", "job", "version", "reason"), rows)


@cron.command()
def trigger(context: typer.Context, name: Name) -> None:
    """Fire once more, now."""
    job = context.obj.client.post(f"/schedules/{name}/trigger")
    note(f"{job['name']}: {job['id']} {job['status']}")


@cron.command()
def suspend(context: typer.Context, name: Name) -> None:
    """Do not fire until `resume`; what runs goes on."""
    context.obj.client.post(f"/schedules/{name}/suspend")
    note(f"{name}: suspended")


@cron.command()
def resume(context: typer.Context, name: Name) -> None:
    """Fire again, from now on."""
    schedule = context.obj.client.post(f"/schedules/{name}/resume")
    note(f"{name}: next {_in(schedule['next_at'])}")


@cron.command()
def delete(context: typer.Context, name: Name) -> None:
    """Fire no more; jobs and data stay."""
    context.obj.client.delete(f"/schedules/{name}")
    note(f"{name}: deleted; its jobs and data stay")
