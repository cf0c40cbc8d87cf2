"""queue and usage: who waits and why, who used how much."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestrator.cli.output import Format, Output, ago, duration, note, print_table, show

if TYPE_CHECKING:
    from orchestrator.api.answers import UsageRow


def register(app: typer.Typer) -> None:
    for command in (queue, usage):
        app.command()(command)


def queue(context: typer.Context, output: Output = Format.TABLE) -> None:
    """Show the queues, and every waiting job with its reason."""
    answer = context.obj.client.get("/queues")
    rows = [
        (q["name"], _of(q["used_gpus"], q["gpus"], q["borrow_gpus"]), _of(q["used_cpus"], q["cpus"], q["borrow_cpus"]),
         q["weight"], q["running"], q["waiting"])
        for q in answer["queues"]
    ]  # fmt: skip
    show(answer, output, ("queue", "GPUs", "CPUs", "weight", "running", "waiting"), rows)
    if output is Format.TABLE and answer["waiting"]:
        print()
        waiting = [
            (job["name"], job["queue"], job["priority"], job["status"], ago(job["submitted"]), job["reason"])
            for job in answer["waiting"]
        ]
        print_table(("job", "queue", "priority", "status", "submitted", "waits"), waiting)


def _of(used: float, guaranteed: float | None, borrow: float | None) -> str:
    if guaranteed is None:
        return f"{used:g}"
    return f"{used:g} of {guaranteed:g}" + ("+" if borrow is None else f"+{borrow:g}" if borrow else "")


def usage(
    context: typer.Context,
    by: Annotated[str, typer.Option(help="user, queue or job")] = "user",
    days: Annotated[float, typer.Option(min=0.001, help="how far back")] = 30,
    output: Output = Format.TABLE,
) -> None:
    """Show GPU and CPU time, useful and wasted (lost with its attempt)."""
    answer = context.obj.client.get("/usage", by=by, days=days)
    rows = [_row(row) for row in answer["usage"]]
    show(answer, output, (by, "GPU useful", "GPU wasted", "CPU useful", "CPU wasted"), rows)
    if output is Format.TABLE and not rows:
        note(f"nothing ran in the last {days:g} days")


def _row(row: "UsageRow") -> tuple[Any, ...]:
    gpu = (row["gpu_seconds_useful"], row["gpu_seconds_wasted"])
    cpu = (row["cpu_seconds_useful"], row["cpu_seconds_wasted"])
    return (row["name"], *map(duration, gpu + cpu))
