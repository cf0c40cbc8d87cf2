"""describe: all that is known of one job, on one page."""

import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import typer

from orchestrator.cli import progress
from orchestrator.cli.errors import CliError
from orchestrator.cli.output import Format, Output, clock, dump, duration, plain, print_table, size
from orchestrator.cli.progress import result_of
from orchestrator.cli.select import Job

if TYPE_CHECKING:
    from orchestrator.api.answers import AttemptAnswer, EventAnswer, WholeJobAnswer

NEWEST = 15  # events

Fact = tuple[str, Any]


def register(app: typer.Typer) -> None:
    app.command()(describe)


def describe(context: typer.Context, job: Job, output: Output = Format.TABLE) -> None:
    """Show one job with its progress, attempts, outputs, spec and newest events."""
    client = context.obj.client
    found = client.get(f"/jobs/{job}")
    events = client.get(f"/jobs/{found['id']}/events")["events"]
    if output is Format.NAME:
        return print(plain(found["name"]))
    if not output.is_table:
        return dump({**found, "events": events}, output)
    for label, value in (*_facts(found), *_progress(found), *_grid(client, found), *_wanted(found), *_results(found)):
        if value not in (None, "-", ""):
            print(f"{label + ':':<15}{plain(str(value))}")
    _print_findings(events)
    print("\nattempts")
    print_table(
        ("number", "status", "workers", "gpus each", "started", "ran", "failure", "message"),
        [_attempt_row(attempt) for attempt in found["attempts"]],
    )
    print("\nspec")
    dump(found["spec"], Format.YAML, indent=2)
    print("\nevents")
    for event in events[-NEWEST:]:
        print(plain(f"{clock(event['time'])}  {event['type']:<18} {event['message']}"))


def _facts(job: "WholeJobAnswer") -> Iterable[Fact]:
    yield from ((name, job[name]) for name in ("name", "id", "kind", "status", "reason", "failure"))
    yield "owner", job["owner"]
    yield "queue", f"{job['queue']}, priority {job['priority']}"
    yield "labels", ", ".join(f"{name}={value}" for name, value in sorted(job["labels"].items()))
    yield "needs", ", ".join(f"{need['name']} ({need['when']}: {need['status']})" for need in job["needs"])
    yield from ((name, clock(job[name])) for name in ("submitted", "started", "ended"))
    if job["not_before"] and not job["ended"]:
        yield "not before", clock(job["not_before"])


def _progress(job: "WholeJobAnswer") -> Iterable[Fact]:
    told = progress.of(job)
    if told.done is not None and told.total:
        yield "progress", f"{told.done:,.0f} of {told.total:,.0f} {told.unit} ({100 * told.done / told.total:.0f}%)"
    if not job["ended"]:
        yield "doing", told.step.get("label") or told.phase
    if told.rate:
        yield "rate", f"{told.rate:,.1f} {told.unit}/s"
    if told.eta is not None and not job["ended"]:
        yield "time left", duration(told.eta)
    yield "losses", ", ".join(f"{name} {value:.4f}" for name, value in told.losses.items())
    tick: Any = job["tick"] or {}
    if tick.get("checkpoint_examples"):
        when = clock(tick.get("checkpoint_committed_at"))
        yield (
            "checkpoint",
            f"at {tick['checkpoint_examples']:,} examples, {when}, {size(tick.get('checkpoint_size_bytes'))}",
        )


def _grid(client: Any, job: "WholeJobAnswer") -> Iterable[Fact]:
    """Yield where the newest pictures are; nothing where the store does not say."""
    try:
        grids = client.get(f"/jobs/{job['id']}/grids")["grids"]
    except CliError:
        return
    if grids:
        yield "newest grid", grids[-1]["location"]


def _wanted(job: "WholeJobAnswer") -> Iterable[Fact]:
    resources: Any = job["spec"].get("resources") or {}
    yield (
        "resources",
        ", ".join(f"{name} {_short(value)}" for name, value in resources.items() if value not in (None, {})),
    )
    yield "output", job["output"]


def _short(value: Any) -> str:
    if isinstance(value, Mapping):
        return "/".join(f"{name} {each}" for name, each in value.items())
    return str(value)


def _results(job: "WholeJobAnswer") -> Iterable[Fact]:
    for name, value in result_of(job).items():
        if name != "output":
            yield name, size(value) if name == "bytes" else value


def _print_findings(events: "list[EventAnswer]") -> None:
    found = [event for event in events if event["type"] == "finding"]
    if found:
        print("\nfindings")
        for event in found[-5:]:
            print(plain(f"{clock(event['time'])}  {event['message']}"))


def _attempt_row(attempt: "AttemptAnswer") -> tuple[Any, ...]:
    return (
        attempt["number"], attempt["status"], attempt["workers"], attempt["gpus_per_worker"],
        clock(attempt.get("started")), duration(_ran(attempt)), attempt.get("failure"), attempt.get("message"),
    )  # fmt: skip


def _ran(attempt: "AttemptAnswer") -> float | None:
    started = attempt["started"]
    return (attempt["ended"] or time.time()) - started if started else None
