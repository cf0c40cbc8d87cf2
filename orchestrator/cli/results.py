"""The end of a run: what was made, how fast, and where everything is."""

from typing import Any

from orchestrator.cli.output import duration, note, print_table, size


def print_results(jobs: list[dict[str, Any]]) -> None:
    """A table of jobs, then the places of their outputs; failures with their reason."""
    print_table(
        ("job", "kind", "status", "done", "rate", "losses", "shards", "bytes", "took"), [_row(job) for job in jobs]
    )
    print()
    for job in jobs:
        for label, place in _places(job):
            print(f"{job['name']:<24} {label:<8} {place}")
    for job in jobs:
        if job["status"] not in ("SUCCEEDED", "CANCELLED"):
            note(f"{job['name']}: {job.get('failure') or job['status'].lower()}: {job.get('reason') or ''}".rstrip())


def _row(job: dict[str, Any]) -> tuple[Any, ...]:
    tick, result = job.get("tick") or {}, result_of(job)
    unit = "examples" if job["kind"] == "train" else "samples"
    done = result.get(unit, tick.get(unit))
    per_second = result.get("rate") or tick.get("rate")
    rate = f"{per_second:,.0f} {unit}/s" if per_second else None
    took = (job.get("ended") or 0) - (job.get("started") or 0) if job.get("ended") and job.get("started") else None
    return (
        job["name"], job["kind"], job["status"], f"{done:,} {unit}" if done else None, rate, _losses(tick),
        result.get("shards"), size(result.get("bytes")), duration(took),
    )  # fmt: skip


def _losses(tick: dict[str, Any]) -> str | None:
    losses = {k.removeprefix("loss/"): v for k, v in (tick.get("stats") or {}).items() if k.startswith("loss/")}
    return ", ".join(f"{name} {value:.3f}" for name, value in losses.items()) or None


def _places(job: dict[str, Any]) -> list[tuple[str, str]]:
    result = result_of(job)
    return [(label, result[label]) for label in ("output", "model", "grid", "curves", "data") if result.get(label)]


def result_of(job: dict[str, Any]) -> dict[str, Any]:
    """What the attempt that ended the job said of it."""
    results = [attempt.get("result") or {} for attempt in job.get("attempts", ())]
    return results[-1] if results else {}
