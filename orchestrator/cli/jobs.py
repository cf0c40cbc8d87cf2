"""submit, validate, list, get, describe, watch, cancel, retry, suspend, resume, events."""

import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestrator.cli import progress
from orchestrator.cli.errors import CliError, Exit
from orchestrator.cli.output import Format, Output, ago, clock, dump, duration, note, print_table, show, size
from orchestrator.cli.progress import result_of
from orchestrator.cli.target import Target

if TYPE_CHECKING:
    from jobs.specs.spec import Plain
    from orchestrator.api.answers import AttemptAnswer, JobAnswer, WholeJobAnswer

File = Annotated[str, typer.Argument(metavar="FILE", help="a YAML file, or the name of a shipped example")]
Parameters = Annotated[list[str] | None, typer.Option("-p", metavar="NAME=VALUE", help="replace a value of `params`")]
Job = Annotated[str, typer.Argument(metavar="JOB", help="a job's name (its newest) or id")]


def register(app: typer.Typer) -> None:
    for command in (submit, validate, get, describe, watch, cancel, retry, suspend, resume, delete, events):
        app.command()(command)
    app.command("list")(list_jobs)


def documents(file: str, parameters: list[str] | None, *, data_is_here: bool = False) -> "list[Plain]":
    """Read a spec file as plain documents. Raises CliError with every problem of the file.

    data_is_here: the jobs run on this machine, so that local data must be there.
    """
    from jobs.specs import load, spec
    from jobs.specs.errors import SpecError

    pairs = _pairs(parameters or [])
    try:
        return [spec.dump(job) for job in load.load_file(load.find(file), pairs, data_is_here=data_is_here)]
    except SpecError as error:
        raise CliError(str(error)) from None


def _pairs(parameters: list[str]) -> dict[str, str]:
    wrong = [text for text in parameters if "=" not in text]
    if wrong:
        raise CliError(f"-p {wrong[0]}: NAME=VALUE is expected")
    return dict(text.split("=", 1) for text in parameters)


def submit(
    context: typer.Context,
    file: File,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="stay, show progress, end with the job's exit code")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="check everything, start nothing")] = False,
    parameter: Parameters = None,
    key: Annotated[str | None, typer.Option(help="submitting twice with the same key makes one job")] = None,
    output: Output = Format.TABLE,
) -> None:
    """Hand a file's jobs to the server."""
    target: Target = context.obj
    specs = documents(file, parameter, data_is_here=_is_here(target))
    _refuse_local_paths(specs, target)
    answer = target.client.submit(specs, key=key, dry_run=dry_run, source=_text(file))
    jobs = answer["jobs"]
    if dry_run:
        note(f"{len(specs)} job{'s' if len(specs) > 1 else ''} would be accepted; nothing was started")
        if output is not Format.TABLE:
            dump(answer, output)
        return
    rows = [(job["name"], job["id"], job["status"]) for job in jobs]
    rows += [(each["name"], f"schedule, version {each['version']}", "SCHEDULED") for each in answer["schedules"]]
    show(answer, output, ("name", "id", "status"), rows)
    if follow and jobs:
        _follow(target, [job["id"] for job in jobs])


def _text(file: str) -> str:
    from jobs.specs import load

    return load.find(file).read_text()


def _is_here(target: Target) -> bool:
    """Return whether the server is known, and on this machine."""
    from urllib.parse import urlparse

    try:
        return urlparse(target.resolve()[0]).hostname in ("127.0.0.1", "localhost", "::1")
    except CliError:  # no server: a wrong file is told first
        return False


def _refuse_local_paths(specs: "list[Plain]", target: Target) -> None:
    """Refuse a path on this machine for a server elsewhere: it means nothing there."""
    from jobs.specs.load import local_data

    paths = [data["source"] for spec in specs for data in local_data(spec).values()]
    if paths and not _is_here(target):
        raise CliError(
            f"data.source: {paths[0]} is a path on this machine, and the server is {target.resolve()[0]}; "
            "put the data in the object store and name it as s3://…"
        )


def _follow(target: Target, ids: list[str]) -> None:
    from orchestrator.cli import follow
    from orchestrator.cli.results import print_results

    try:
        jobs = follow.follow(target.client, ids)
    except KeyboardInterrupt:
        note(f"detached; the job goes on (ganworks watch {ids[-1]})")
        raise typer.Exit(Exit.INTERRUPTED) from None
    print_results(jobs)
    raise typer.Exit(follow.worst(jobs))


def validate(file: File, parameter: Parameters = None, output: Output = Format.TABLE) -> None:
    """Check a file without a server."""
    specs = documents(file, parameter)
    if output is Format.TABLE:
        print_table(("name", "kind"), [(spec["name"], spec["kind"]) for spec in specs])
    else:
        dump(specs, output)


def list_jobs(
    context: typer.Context,
    status: Annotated[str | None, typer.Option(help="such as RUNNING")] = None,
    kind: Annotated[str | None, typer.Option(help="such as train")] = None,
    name: Annotated[str | None, typer.Option(help="only jobs of this name")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 50,
    output: Output = Format.TABLE,
) -> None:
    """List the newest jobs."""
    answer = context.obj.client.get("/jobs", status=status, kind=kind, name=name, limit=limit)
    rows = [
        (
            job["name"],
            job["kind"],
            job["status"],
            progress_text(job),
            ago(job["submitted"]),
            job["id"],
            job.get("reason"),
        )
        for job in answer["jobs"]
    ]
    show(answer, output, ("name", "kind", "status", "progress", "submitted", "id", "reason"), rows)


def progress_text(job: "JobAnswer") -> str | None:
    told = progress.of(job)
    return f"{100 * told.done / told.total:.0f}%" if told.done is not None and told.total else None


def get(context: typer.Context, job: Job, output: Output = Format.TABLE) -> None:
    """Show one job in a line."""
    found = context.obj.client.get(f"/jobs/{job}")
    row = (found["name"], found["kind"], found["status"], progress_text(found), found["id"], found.get("reason"))
    show(found, output, ("name", "kind", "status", "progress", "id", "reason"), [row])


def describe(context: typer.Context, job: Job, output: Output = Format.TABLE) -> None:
    """Show one job with its attempts, progress, outputs and newest events."""
    client = context.obj.client
    found = client.get(f"/jobs/{job}")
    if output is not Format.TABLE:
        return dump(found, output)
    for label, value in _facts(found):
        print(f"{label + ':':<12}{value}")
    print("\nattempts")
    print_table(
        ("number", "status", "workers", "gpus each", "started", "ran", "failure", "message"),
        [_attempt_row(attempt) for attempt in found["attempts"]],
    )
    print("\nevents")
    for event in client.get(f"/jobs/{found['id']}/events")["events"][-15:]:
        print(f"{clock(event['time'])}  {event['type']:<18} {event['message']}")


def _facts(job: "WholeJobAnswer") -> list[tuple[str, Any]]:
    result = result_of(job)
    facts = [
        ("name", job["name"]), ("id", job["id"]), ("kind", job["kind"]), ("status", job["status"]),
        ("reason", job.get("reason")), ("failure", job.get("failure")), ("progress", progress_text(job)),
        ("submitted", clock(job["submitted"])), ("started", clock(job.get("started"))), ("ended", clock(job.get("ended"))),
        ("output", job["output"]),
    ]  # fmt: skip
    extra = [(key, size(value) if key == "bytes" else value) for key, value in result.items() if key != "output"]
    return [(label, value) for label, value in [*facts, *extra] if value not in (None, "-", "")]


def _attempt_row(attempt: "AttemptAnswer") -> tuple[Any, ...]:
    return (
        attempt["number"], attempt["status"], attempt["workers"], attempt["gpus_per_worker"],
        clock(attempt.get("started")), duration(_ran(attempt)), attempt.get("failure"), attempt.get("message"),
    )  # fmt: skip


def _ran(attempt: "AttemptAnswer") -> float | None:
    started = attempt["started"]
    return (attempt["ended"] or time.time()) - started if started else None


def watch(context: typer.Context, job: Job) -> None:
    """Show progress bars until the job ends; Ctrl-C detaches."""
    target: Target = context.obj
    _follow(target, [target.client.get(f"/jobs/{job}")["id"]])


def cancel(context: typer.Context, job: Job) -> None:
    """Stop a job; a training run takes a checkpoint first."""
    found = context.obj.client.post(f"/jobs/{job}/cancel")
    note(
        f"{found['name']} ({found['id']}): {found['status']}, will be cancelled"
        if not found["ended"]
        else f"{found['name']} ({found['id']}): {found['status']}"
    )


def retry(context: typer.Context, job: Job) -> None:
    """Let a job that failed or was cancelled go on from its newest checkpoint."""
    found = context.obj.client.post(f"/jobs/{job}/retry")
    note(f"{found['name']} ({found['id']}): {found['status']}")


def suspend(context: typer.Context, job: Job) -> None:
    """Stop a job with a checkpoint, to go on later."""
    found = context.obj.client.post(f"/jobs/{job}/suspend")
    note(f"{found['name']} ({found['id']}): {found['status']}")


def resume(context: typer.Context, job: Job) -> None:
    """Let a suspended job go on."""
    found = context.obj.client.post(f"/jobs/{job}/resume")
    note(f"{found['name']} ({found['id']}): {found['status']}")


def delete(context: typer.Context, job: Job) -> None:
    """Forget a job that has ended; its data stay."""
    found = context.obj.client.delete(f"/jobs/{job}")
    note(f"{found['name']}: record deleted; data stay at {found['output']}")


def events(context: typer.Context, job: Job, output: Output = Format.TABLE) -> None:
    """Show what happened to a job, and why."""
    answer = context.obj.client.get(f"/jobs/{job}/events")
    rows = [(clock(event["time"]), event["type"], event.get("attempt"), event["message"]) for event in answer["events"]]
    show(answer, output, ("time", "type", "attempt", "message"), rows)
