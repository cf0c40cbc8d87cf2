"""Follow jobs to their end: a bar for each on a terminal, plain lines elsewhere."""

import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from orchestrator.cli import progress
from orchestrator.cli.client import Client
from orchestrator.cli.errors import Exit, exit_of
from orchestrator.cli.output import duration, note, plain, size
from orchestrator.cli.patient import POLL, Patient
from orchestrator.states import ENDED

if TYPE_CHECKING:
    from rich.progress import TaskID

    from orchestrator.api.answers import WholeJobAnswer

LINE_EVERY = 10.0  # seconds between two plain lines of one job


def follow(client: Client, ids: list[str], *, alive: Callable[[], None] = lambda: None) -> "list[WholeJobAnswer]":
    """Show progress until every job has ended; returns them. `alive` may raise to give up."""
    view: Bars | Lines = Bars() if sys.stderr.isatty() else Lines()
    seen, told, server = dict.fromkeys(ids, 0), set[str](), Patient(client, say=view.say, alive=alive)
    with view:
        while True:
            jobs = [server.get(f"/jobs/{one}") for one in ids]
            for job in jobs:
                seen[job["id"]] = _new_events(server, view, job, seen[job["id"]])
                view.show(job)
            if all(job["status"] in ENDED for job in jobs):
                return jobs
            for job in jobs:  # of the last one to end the summary tells, which comes at once
                if job["status"] == "FAILED" and job["id"] not in told:
                    told.add(job["id"])
                    view.say(why_failed(job))
            time.sleep(POLL)


LOUD = ("restored", "checkpoint_damaged", "store_trouble", "finding", "retrying", "killed", "adopted")


def _new_events(server: Patient, view: "Bars | Lines", job: "WholeJobAnswer", after: int) -> int:
    for event in server.get(f"/jobs/{job['id']}/events", after=after)["events"]:
        after = max(after, event["seq"])
        if event["type"] in LOUD:
            view.say(f"{job['name']}: {event['type']}: {event['message']}")
    return after


def why_failed(job: "WholeJobAnswer") -> str:
    """Return a job's failure and its reason in a line."""
    return f"{job['name']}: {job.get('failure') or job['status'].lower()}: {job.get('reason') or ''}".rstrip(": ")


def worst(jobs: "Sequence[WholeJobAnswer]") -> Exit:
    """Return the exit code of several jobs: the first that did not succeed decides."""
    return next((code for job in jobs if (code := exit_of(job["status"], job["failure"]))), Exit.DONE)


def position(job: "WholeJobAnswer") -> tuple[str, float, float | None]:
    """Return (what it does, done, total) from the newest tick."""
    told = progress.of(job)
    if job["status"] == "SUCCEEDED":
        total = told.total or 1
        return "done", total, total
    if job["status"] in ENDED:
        return job["status"].lower(), 0, None
    if job["status"] not in ("RUNNING", "STOPPING"):
        return (job.get("reason") or job["status"].lower()), 0, None
    if told.phase is None or told.step:
        return told.step.get("label") or "starting workers", told.step.get("done", 0), told.step.get("total")
    return told.phase, told.done or 0, told.total


def count(job: "WholeJobAnswer", done: float, total: float | None) -> str:
    """Return `1,024/4,000`, or `12.0 MiB/80.0 MiB`."""
    if not total:
        return ""
    is_bytes = progress.of(job).step.get("unit") == "bytes" and job["status"] == "RUNNING"
    return f"{size(done)}/{size(total)}" if is_bytes else f"{done:,.0f}/{total:,.0f}"


def measures(job: "WholeJobAnswer") -> str:
    """Return rate and losses, as a short text."""
    told = progress.of(job)
    if job["status"] != "RUNNING" or not told.rate:
        return ""
    losses = [f"{name} {value:.2f}" for name, value in told.losses.items()]
    return "  ".join([f"{told.rate:,.0f}/s", *losses])


class Bars:
    """One live bar a job."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        self.progress = Progress(
            TextColumn("{task.fields[name]}", style="bold"),
            TextColumn("{task.description}"),
            BarColumn(bar_width=28),
            TextColumn("{task.fields[count]}"),
            TextColumn("{task.fields[measures]}"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[eta]}"),
            console=Console(stderr=True),
        )
        self.tasks: dict[str, TaskID] = {}

    def __enter__(self) -> "Bars":
        self.progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):  # of a terminal that was closed
            self.progress.stop()

    def say(self, text: str) -> None:
        self.progress.console.print(plain(text), highlight=False, markup=False)

    def show(self, job: "WholeJobAnswer") -> None:
        what, done, total = position(job)
        if job["id"] not in self.tasks:
            self.tasks[job["id"]] = self.progress.add_task(what, name=job["name"], count="", measures="", eta="")
        eta = progress.of(job).eta if job["status"] == "RUNNING" else None
        self.progress.update(
            self.tasks[job["id"]],
            description=plain(what)[:60],
            completed=done,
            total=total,
            count=count(job, done, total),
            measures=measures(job),
            eta=f"{duration(eta)} left" if eta is not None else "",
        )


class Lines:
    """Plain lines for logs and pipes: every change of what a job does, and its position now and then."""

    def __init__(self) -> None:
        self.last: dict[str, tuple[str, float]] = {}

    def __enter__(self) -> "Lines":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def say(self, text: str) -> None:
        note(text)

    def show(self, job: "WholeJobAnswer") -> None:
        what, done, total = position(job)
        before, when = self.last.get(job["id"], ("", 0.0))
        if what == before and (time.monotonic() - when < LINE_EVERY or not total or job["status"] in ENDED):
            return
        self.last[job["id"]] = (what, time.monotonic())
        eta = progress.of(job).eta if job["status"] == "RUNNING" else None
        left = f"  {duration(eta)} left" if eta else ""
        note(f"{job['name']}: {what} {count(job, done, total)}  {measures(job)}{left}".rstrip())
