"""cluster: what the Ray cluster has."""

import typer

from orchestrator.cli.output import Format, Output, show


def register(app: typer.Typer) -> None:
    app.command()(cluster)


def cluster(context: typer.Context, output: Output = Format.TABLE) -> None:
    """The nodes, and what is free."""
    answer = context.obj.client.get("/cluster")
    rows = [(n["id"][:12], n["cpus"], n.get("free_cpus"), n["gpus"], n.get("free_gpus")) for n in answer["nodes"]]
    show(answer, output, ("node", "cpus", "free", "gpus", "free gpus"), rows)
