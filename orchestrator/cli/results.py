"""The end of a run: what was made, how fast, and where everything is."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from orchestrator.cli import progress
from orchestrator.cli.follow import why_failed
from orchestrator.cli.output import duration, note, print_table, size
from orchestrator.cli.progress import result_of

if TYPE_CHECKING:
    from orchestrator.api.answers import WholeJobAnswer


def print_results(jobs: "Sequence[WholeJobAnswer]") -> None:
    """Print a table of jobs, then the places of their outputs; failures with their reason."""
    print_table(
        ("job", "kind", "status", "done", "rate", "losses", "shards", "bytes", "took"), [_row(job) for job in jobs]
    )
    print()
    for job in jobs:
        for label, place in progress.places(job):
            print(f"{job['name']:<24} {label:<8} {place}")
    for job in jobs:
        if job["status"] not in ("SUCCEEDED", "CANCELLED"):
            note(why_failed(job))


def _row(job: "WholeJobAnswer") -> tuple[Any, ...]:
    told, result = progress.of(job), result_of(job)
    done = f"{told.done:,} {told.unit} {told.verb}" if told.done else None
    rate = f"{told.rate:,.0f} {told.unit}/s" if told.rate else None
    losses = ", ".join(f"{name} {value:.3f}" for name, value in told.losses.items()) or None
    took = (job.get("ended") or 0) - (job.get("started") or 0) if job.get("ended") and job.get("started") else None
    return (
        job["name"], job["kind"], job["status"], done, rate, losses,
        result.get("shards"), size(result.get("bytes")), duration(took),
    )  # fmt: skip
