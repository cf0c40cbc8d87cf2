"""A GenerateJob on Ray Data: a row is a shard's descriptor and comes back as a receipt; pixels never enter the object store.

One listing says what is missing; a pool of fixed size writes it; the manifest comes last.
"""

import re
import threading
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import ray
import ray.data

from jobs import sinks
from jobs.driver import receipts as receipt_files
from jobs.driver.failures import Failed, named
from jobs.driver.orchestrator_client import Claim, Line
from jobs.specs.spec import GenerateJob, Resources, parse
from jobs.storage import shards
from jobs.storage.layout import Layout
from jobs.storage.manifest import File, card, publish, published
from jobs.storage.shards import Shard
from jobs.store import Store, StoreError, open_store

POLL = 1.0  # seconds between two ticks
ROUNDS = 3  # of making what is missing: a receipt that was put may be found damaged
_WRITER = re.compile(r"data/a\d+-[0-9a-f]+/")  # the folder of one writer alone, see receipts


class Stopped(Exception):
    """The orchestrator asked the job to stop; finished shards stay."""


def _where(asked: Resources) -> dict[str, Any]:
    """What a worker insists on beside CPUs and GPUs, in Ray's words."""
    said = {
        "memory": asked.memory_per_worker,
        "accelerator_type": asked.accelerator,
        "label_selector": dict(asked.node_labels),
    }
    return {name: value for name, value in said.items() if value}


class Totals:
    """What all shard writers have done so far in this attempt."""

    def __init__(self) -> None:
        self.samples, self.bytes = 0, 0
        self.busy: dict[str, float] = {}

    def add(self, samples: int, written: int, busy: dict[str, float]) -> None:
        self.samples += samples
        self.bytes += written
        for stage, seconds in busy.items():
            self.busy[stage] = self.busy.get(stage, 0.0) + seconds

    def read(self) -> tuple[int, int, dict[str, float]]:
        return self.samples, self.bytes, self.busy


class _Worker:
    """The actor that Ray Data keeps: a ShardWriter behind rows."""

    def __init__(self, claim: Claim, put_if_absent: bool, device: str, totals: Any) -> None:
        from jobs.driver.shard_writer import ShardWriter

        def report(samples: int, written: int, busy: dict[str, float]) -> None:
            totals.add.remote(samples, written, busy)

        self.writer = ShardWriter(claim, put_if_absent, device, report)

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        # An exception would have Ray Data give up with a page of its own frames: a named failure comes back as a row.
        try:
            receipt = self.writer.write(Shard(**{key: int(row[key]) for key in ("number", "of", "start", "stop")}))
            return {"shard": receipt["shard"], "failure": "", "message": ""}
        except Exception as error:
            failed = named(error)
            return {"shard": int(row["number"]), "failure": failed.failure, "message": failed.message}


def run(claim: Claim, line: Line, home: Path) -> tuple[str, dict[str, Any]]:
    """One attempt; returns (outcome, data). Raises Failed, StoreError or Stale."""
    spec = parse(claim.spec)
    assert isinstance(spec, GenerateJob)
    assert spec.samples is not None
    store = open_store(claim.store["uri"], env=claim.store.get("env"))
    job = Layout(project=claim.project, job_name=claim.job_name, job_id=claim.job_id)
    if manifest := published(store, job, line, claim.accepted):
        return "succeeded", summary(store, job, manifest)
    planned = shards.plan(spec.samples, spec.output.samples_per_shard)
    try:
        receipts = _complete(claim, spec, store, job, line, planned)
    except Stopped:
        return ("cancelled" if line.command == "cancel" else "stopped"), {}
    return "succeeded", summary(store, job, _publish(claim, spec, store, job, line, receipts))


def _complete(
    claim: Claim, spec: GenerateJob, store: Store, job: Layout, line: Line, planned: list[Shard]
) -> list[dict[str, Any]]:
    """The receipt of every shard, those made that are missing. Raises Stopped."""
    done = receipt_files.read_all(store, job, planned, line.event)
    if done:
        line.event("restored", f"{len(done)} of {len(planned)} shards are there already")
    for _ in range(ROUNDS):
        if not (todo := shards.missing(planned, done)):
            return [done[shard.number] for shard in planned]
        _write(claim, spec, store, line, planned, todo)
        done = receipt_files.read_all(store, job, planned, line.event)
    raise StoreError(f"{store.locate(job.receipts_prefix)}: receipts that were put do not come back")


def _write(claim: Claim, spec: GenerateJob, store: Store, line: Line, planned: list[Shard], todo: list[Shard]) -> None:
    ray.data.DataContext.get_current().enable_progress_bars = False
    totals = ray.remote(num_cpus=0)(Totals).remote()
    gpus = claim.gpus_per_worker
    rows = ray.data.from_items([asdict(shard) for shard in todo], override_num_blocks=len(todo))
    receipts = rows.map(
        _Worker,
        fn_constructor_args=(claim, store.probe().put_if_absent, "cuda" if gpus else "cpu", totals),
        concurrency=claim.workers,  # a pool of fixed size: what plan() gave, no more and no less
        num_cpus=claim.cpus_per_worker,
        num_gpus=gpus or None,
        **_where(spec.resources),
    )
    ticker = _Ticker(spec, line, totals, planned, todo)
    try:
        for row in receipts.iter_rows():
            if row["failure"]:
                raise Failed(row["failure"], f"shard {row['shard']}: {row['message']}")
            ticker.shard_done()
            if line.command in ("checkpoint_and_stop", "cancel", "stale"):
                raise Stopped
    finally:
        ticker.stop()


class _Ticker(threading.Thread):
    """Posts progress once a second, whatever the main thread waits for."""

    def __init__(self, spec: GenerateJob, line: Line, totals: Any, planned: list[Shard], todo: list[Shard]) -> None:
        super().__init__(name="ticker", daemon=True)
        self.line, self.totals, self.total = line, totals, spec.samples or 0
        self.before = self.total - sum(shard.count for shard in todo)
        self.shards = {"total": len(planned), "done": len(planned) - len(todo)}
        self.began, self.over, self.last = time.monotonic(), threading.Event(), (-1, -1)
        self.start()

    def shard_done(self) -> None:
        self.shards["done"] += 1

    def stop(self) -> None:
        self.over.set()
        self.join()
        self._post()

    def run(self) -> None:
        while not self.over.wait(POLL):
            self._post()

    def _post(self) -> None:
        samples, written, busy = ray.get(self.totals.read.remote())
        if (samples, self.shards["done"]) == self.last:
            return  # a tick says that something moved: the watchdog relies on it
        self.last = (samples, self.shards["done"])
        seconds = time.monotonic() - self.began
        rate = samples / seconds
        done = min(self.before + samples, self.total)
        self.line.tick(
            {
                "phase": "generating",
                "samples": done,
                "total": self.total,
                "seconds": seconds,
                "rate": rate,
                "eta": (self.total - done) / rate if rate else None,
                "shards": {**self.shards, "missing": self.shards["total"] - self.shards["done"]},
                "written_bytes": written,
                "busy_seconds": busy,
            }
        )


def _publish(
    claim: Claim, spec: GenerateJob, store: Store, job: Layout, line: Line, receipts: list[dict[str, Any]]
) -> dict[str, Any]:
    files = receipt_files.files_of(receipts)
    model = claim.references["model"]
    about = {
        "kind": "generate",
        "samples": spec.samples,
        "shards": len(receipts),
        "format": spec.output.format,
        "samples_per_shard": spec.output.samples_per_shard,
        "sampling": spec.sampling.model_dump(mode="json"),
        "lineage": {"model": model},
    }
    readme = _readme(spec, job, model, _patterns(spec, files))
    return publish(store, job, line, attempt=claim.number, files=files, about=about, readme=readme)


def _patterns(spec: GenerateJob, files: list[File]) -> list[str]:
    """Where a reader of the folder finds the samples: exactly, also where late writers may leave something beside them."""
    everything = sinks.get(spec.output.format).data_files
    folders = {match[0] for file in files if (match := _WRITER.match(file.key))}
    plain = any(not _WRITER.match(file.key) for file in files)
    return [everything] if plain else [everything.replace("data/", folder, 1) for folder in sorted(folders)]


def _readme(spec: GenerateJob, job: Layout, model: dict[str, Any], patterns: list[str]) -> str:
    header = {
        "tags": ["synthetic", "gan"],
        "configs": [
            {
                "config_name": "default",
                "data_files": [{"split": "train", "path": patterns[0] if len(patterns) == 1 else patterns}],
            }
        ],
    }
    text = (
        f"{spec.samples:,} synthetic samples, made by ganworks with seed {spec.sampling.seed} from the generator "
        f"`{model['uri']}` (sha256 `{model['sha256']}`).\n\nSample i depends on the seed and i alone. "
        f"The files are `{sinks.get(spec.output.format).data_files}`; `MANIFEST.json` and `SHA256SUMS` have every file's digest.\n\n"
        f'```python\nfrom datasets import load_dataset\n\nload_dataset("path/to/this/folder")\n```'
    )
    return card(header, job.job_name, text)


def summary(store: Store, job: Layout, manifest: dict[str, Any]) -> dict[str, Any]:
    """What the job's result says."""
    return {
        "output": store.locate(job.prefix),
        "data": store.locate(job.data_prefix),
        "samples": manifest["samples"],
        "shards": manifest["shards"],
        "bytes": sum(file["size"] for file in manifest["files"]),
    }
