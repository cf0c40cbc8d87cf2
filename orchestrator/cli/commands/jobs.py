"""submit, validate, list, get, describe, watch, cancel, retry, suspend, resume, events."""

import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestrator.cli import progress
from orchestrator.cli.errors import CliError, Exit
from orchestrator.cli.files import Files, Overrides, Parameters, documents, is_here, refuse_local_paths, text
from orchestrator.cli.output import Format, Output, ago, clock, note, print_row, print_table, show
from orchestrator.cli.patient import POLL, Patient
from orchestrator.cli.select import All, Job, Jobs, Labels, act
from orchestrator.cli.target import Target
from orchestrator.states import ENDED, Status

if TYPE_CHECKING:
    from orchestrator.api.answers import JobAnswer


def register(app: typer.Typer) -> None:
    for command in (submit, validate, get, watch, cancel, retry, suspend, resume, delete, events):
        app.command()(command)
    app.command("list")(list_jobs)


def submit(
    context: typer.Context,
    files: Files,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="stay, show progress, end with the job's exit code")
    ] = False,
    wait: Annotated[
        bool, typer.Option("--wait", "-w", help="stay without a word until the end, with the job's exit code")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="check everything, start nothing")] = False,
    parameter: Parameters = None,
    override: Overrides = None,
    key: Annotated[str | None, typer.Option(help="submitting twice with the same key makes one job")] = None,
    output: Output = Format.TABLE,
) -> None:
    """Hand the jobs of files to the server, all or none."""
    target: Target = context.obj
    specs = documents(files, parameter, override, data_is_here=is_here(target))
    refuse_local_paths(specs, target)
    answer = target.client.submit(specs, key=key, dry_run=dry_run, source=text(files))
    jobs = answer["jobs"]
    if dry_run:
        note(f"{len(specs)} job{'s' if len(specs) > 1 else ''} would be accepted; nothing was started")
        if not output.is_table:
            show(answer, output, ("name",), [(job["name"],) for job in jobs])
        return
    rows = [(job["name"], job["id"], job["status"]) for job in jobs]
    rows += [(each["name"], f"schedule, version {each['version']}", "SCHEDULED") for each in answer["schedules"]]
    show(answer, output, ("name", "id", "status"), rows)
    if jobs and follow:
        _follow(target, [job["id"] for job in jobs])
    elif jobs and wait:
        _wait(target, [job["id"] for job in jobs])


def _wait(target: Target, ids: list[str]) -> None:
    """Stay until these jobs have ended; exit as the first that did not succeed."""
    from orchestrator.cli.follow import worst

    server, ended = Patient(target.client), []
    for id in ids:
        while (job := server.get(f"/jobs/{id}"))["status"] not in ENDED:
            time.sleep(POLL)
        ended.append(job)
        if job["status"] != Status.SUCCEEDED:
            note(
                f"{job['name']} ({id}): {job['status']}: {job.get('failure') or ''} {job.get('reason') or ''}".rstrip(
                    ": "
                )
            )
    raise typer.Exit(worst(ended))


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


def validate(
    files: Files, parameter: Parameters = None, override: Overrides = None, output: Output = Format.TABLE
) -> None:
    """Check files without a server."""
    specs = documents(files, parameter, override)
    show(specs, output, ("name", "kind"), [(spec["name"], spec["kind"]) for spec in specs])


COLUMNS = ("name", "kind", "status", "progress", "submitted", "id", "queue", "priority", "owner", "attempt", "labels",
           "output", "reason")  # fmt: skip
WIDE = ("queue", "priority", "owner", "attempt", "labels", "output")


def list_jobs(
    context: typer.Context,
    status: Annotated[str | None, typer.Option(help="such as RUNNING, or FAILED,CANCELLED")] = None,
    kind: Annotated[str | None, typer.Option(help="such as train")] = None,
    name: Annotated[str | None, typer.Option(help="only jobs of this name")] = None,
    label: Labels = None,
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 50,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="stay, and show each job again that changes")] = False,
    output: Output = Format.TABLE,
) -> None:
    """List the newest jobs."""
    wanted = {"status": status, "kind": kind, "name": name, "label": label, "limit": limit}
    if watch:
        return _watch_list(context.obj, wanted, output)
    answer = context.obj.client.get("/jobs", **wanted)
    show(answer, output, COLUMNS, [_row(job) for job in answer["jobs"]], wide=WIDE)


def _row(job: "JobAnswer") -> tuple[Any, ...]:
    labels = ",".join(f"{name}={value}" for name, value in sorted(job["labels"].items()))
    return (
        job["name"], job["kind"], job["status"], progress_text(job), ago(job["submitted"]), job["id"], job["queue"],
        job["priority"], job["owner"], job["attempt"], labels, job["output"], job.get("reason"),
    )  # fmt: skip


def _watch_list(target: Target, wanted: dict[str, Any], output: Format) -> None:
    """Print a row whenever one has changed, until Ctrl-C."""
    if not output.is_table:
        raise CliError("--watch shows a table; -o json and -o name tell what there is now")
    kept = [n for n, heading in enumerate(COLUMNS) if output is Format.WIDE or heading not in WIDE]
    server, seen, widths = Patient(target.client), dict[str, Any](), list[int]()
    try:
        while True:
            rows = {job["id"]: _row(job) for job in server.get("/jobs", **wanted)["jobs"]}
            changed = [row for id, row in rows.items() if _steady(row) != seen.get(id)]
            seen = {id: _steady(row) for id, row in rows.items()}
            cells = [[row[n] for n in kept] for row in changed]
            if not widths:
                widths = print_table([COLUMNS[n] for n in kept], cells)
            else:
                for row in cells:
                    print_row(row, widths)
            time.sleep(POLL)
    except KeyboardInterrupt:
        raise typer.Exit(Exit.INTERRUPTED) from None


def _steady(row: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return a row without what changes by itself: how long ago."""
    return tuple(cell for cell, heading in zip(row, COLUMNS, strict=True) if heading != "submitted")


def progress_text(job: "JobAnswer") -> str | None:
    told = progress.of(job)
    return f"{100 * told.done / told.total:.0f}%" if told.done is not None and told.total else None


def get(context: typer.Context, job: Job, output: Output = Format.TABLE) -> None:
    """Show one job in a line."""
    found = context.obj.client.get(f"/jobs/{job}")
    show(found, output, COLUMNS, [_row(found)], wide=WIDE)


def watch(context: typer.Context, job: Job) -> None:
    """Show progress bars until the job ends; Ctrl-C detaches."""
    target: Target = context.obj
    _follow(target, [target.client.get(f"/jobs/{job}")["id"]])


def cancel(context: typer.Context, jobs: Jobs = None, label: Labels = None, all: All = False) -> None:
    """Stop jobs; a training run takes a checkpoint first."""
    _post_to_each(context, "cancel", jobs, label, all)


def retry(context: typer.Context, jobs: Jobs = None, label: Labels = None, all: All = False) -> None:
    """Let jobs that failed or were cancelled go on from their newest checkpoint."""
    _post_to_each(context, "retry", jobs, label, all)


def suspend(context: typer.Context, jobs: Jobs = None, label: Labels = None, all: All = False) -> None:
    """Stop jobs with a checkpoint, to go on later."""
    _post_to_each(context, "suspend", jobs, label, all)


def resume(context: typer.Context, jobs: Jobs = None, label: Labels = None, all: All = False) -> None:
    """Let suspended jobs go on."""
    _post_to_each(context, "resume", jobs, label, all)


def delete(context: typer.Context, jobs: Jobs = None, label: Labels = None, all: All = False) -> None:
    """Forget jobs that have ended; their data stay."""
    client = context.obj.client

    def forget(job: str) -> str:
        found = client.delete(f"/jobs/{job}")
        return f"{found['name']} ({found['id']}): record deleted; data stay at {found['output']}"

    act(client, "delete", jobs, label, all, forget)


def _post_to_each(
    context: typer.Context, verb: str, jobs: list[str] | None, labels: list[str] | None, every: bool
) -> None:
    client = context.obj.client

    def post(job: str) -> str:
        found = client.post(f"/jobs/{job}/{verb}")
        comes = ", will be cancelled" if verb == "cancel" and not found["ended"] else ""
        return f"{found['name']} ({found['id']}): {found['status']}{comes}"

    act(client, verb, jobs, labels, every, post)


def events(context: typer.Context, job: Job, output: Output = Format.TABLE) -> None:
    """Show what happened to a job, and why."""
    answer = context.obj.client.get(f"/jobs/{job}/events")
    rows = [(clock(event["time"]), event["type"], event.get("attempt"), event["message"]) for event in answer["events"]]
    show(answer, output, ("time", "type", "attempt", "message"), rows)
