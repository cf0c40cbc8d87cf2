"""cluster: what the Ray cluster has."""

import typer

from orchestrator.cli.output import Format, Output, note, show


def register(app: typer.Typer) -> None:
    app.command()(cluster)


def cluster(context: typer.Context, output: Output = Format.TABLE) -> None:
    """Show the nodes, and what is free."""
    answer = context.obj.client.get("/cluster")
    rows = [(node["id"][:12], node["cpus"], node["gpus"]) for node in answer["nodes"]]
    show(answer, output, ("node", "cpus", "gpus"), rows)
    if output is Format.TABLE:
        note(f"held by jobs: {answer['cpus']['held']:g} CPUs, {answer['gpus']['held']:g} GPUs")
