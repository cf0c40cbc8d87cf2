"""A GenerateJob on Ray Data: a row is a shard's descriptor and comes back as a receipt; pixels never enter the object store.

One listing says what is missing; a pool of fixed size writes it; the manifest comes last.
"""

import re
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import ray
import ray.data
from pydantic import JsonValue

from jobs import sinks, wire
from jobs.driver import ray_session
from jobs.driver import receipts as receipt_files
from jobs.driver.attempt import layout_of, store_of
from jobs.driver.failures import Failed, named
from jobs.driver.orchestrator_client import OrchestratorClient
from jobs.specs.spec import GenerateJob, Resources
from jobs.storage import shards
from jobs.storage.layout import MANIFEST, Layout
from jobs.storage.manifest import Manifest, card, head, publish, published
from jobs.storage.shards import Shard
from jobs.store import Store, StoreError
from jobs.wire import Claim, Command, File, GenerateSummary, GenerateTick, PinnedModel, Receipt, ShardEnd, Shards

POLL = 1.0  # seconds between two ticks
ROUNDS = 3  # of making what is missing: a receipt that was put may be found damaged
NAMED = 100  # classes of the card
_WRITER = re.compile(r"data/a\d+-[0-9a-f]+/")  # the folder of one writer alone, see receipts


class Lineage(wire.Message):
    """What a data set was made from."""

    model: PinnedModel


class GenerateManifest(Manifest):
    kind: Literal["generate"] = "generate"
    samples: int
    shards: int
    format: str
    samples_per_shard: int
    sampling: dict[str, JsonValue]
    class_names: tuple[str, ...] | None = None  # by the numbers that the records have; null: none
    lineage: Lineage


class Stopped(Exception):
    """The orchestrator asked the job to stop; finished shards stay."""


def _where(asked: Resources) -> dict[str, Any]:
    """Return what a worker insists on beside CPUs and GPUs, in Ray's words."""
    said = {
        "memory": asked.memory_per_worker,
        "accelerator_type": asked.accelerator,
        "label_selector": dict(asked.node_labels),
    }
    return {name: value for name, value in said.items() if value}


class CounterSums:
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

    def __init__(self, claim: Claim, put_if_absent: bool, device: str, sums: Any) -> None:
        from jobs.driver.shard_writer import ShardWriter

        def report(samples: int, written: int, busy: dict[str, float]) -> None:
            sums.add.remote(samples, written, busy)

        # An exception would have Ray Data give up with a page of its own frames: a named failure comes back as a row.
        self.writer: ShardWriter | None = None
        try:
            self.writer = ShardWriter(claim, put_if_absent, device, report)
        except Exception as error:
            self.failed = named(error)

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        try:
            if self.writer is None:
                raise self.failed
            receipt = self.writer.write(Shard(**{key: int(row[key]) for key in ("number", "of", "start", "stop")}))
            end = ShardEnd(shard=receipt.shard)
        except Exception as error:
            failed = named(error)
            end = ShardEnd(shard=int(row["number"]), failure=failed.failure, message=failed.message)
        return end.model_dump()


def run(claim: Claim, client: OrchestratorClient, home: Path) -> wire.Result:
    """Run one attempt. Raises Failed, StoreError or Stale."""
    ray_session.join(client)
    spec = claim.spec
    assert isinstance(spec, GenerateJob)
    assert spec.samples is not None
    store, job = store_of(claim), layout_of(claim)
    if manifest := published(store, job, client, GenerateManifest, claim.accepted):
        return wire.result("succeeded", summary(store, job, manifest))
    planned = shards.plan(spec.samples, spec.output.samples_per_shard)
    try:
        receipts = _complete(claim, spec, store, job, client, planned)
    except Stopped:
        return wire.result("cancelled" if client.command == Command.CANCEL else "stopped")
    manifest = _publish(claim, spec, store, job, client, receipts)
    return wire.result("succeeded", summary(store, job, manifest))


def _complete(
    claim: Claim, spec: GenerateJob, store: Store, job: Layout, client: OrchestratorClient, planned: Sequence[Shard]
) -> list[Receipt]:
    """Return the receipt of every shard, those made that are missing. Raises Stopped."""
    done = receipt_files.read_all(store, job, planned, client.event)
    if done:
        client.event("restored", f"{len(done)} of {len(planned)} shards are there already")
    for _ in range(ROUNDS):
        if not (todo := shards.missing(planned, done)):
            return [done[shard.number] for shard in planned]
        _write(claim, spec, store, client, planned, todo)
        done = receipt_files.read_all(store, job, planned, client.event)
    raise StoreError(f"{store.locate(job.receipts_prefix)}: receipts that were put do not come back")


def _write(
    claim: Claim,
    spec: GenerateJob,
    store: Store,
    client: OrchestratorClient,
    planned: Sequence[Shard],
    todo: list[Shard],
) -> None:
    ray.data.DataContext.get_current().enable_progress_bars = False
    sums = ray.remote(num_cpus=0)(CounterSums).remote()
    gpus = claim.gpus_per_worker
    rows = ray.data.from_items([asdict(shard) for shard in todo], override_num_blocks=len(todo))
    receipts = rows.map(
        _Worker,
        fn_constructor_args=(claim, store.probe().put_if_absent, "cuda" if gpus else "cpu", sums),
        concurrency=claim.workers,  # a pool of fixed size: what plan() gave, no more and no less
        num_cpus=claim.cpus_per_worker,
        num_gpus=gpus or None,
        **_where(spec.resources),
    )
    ticker = _Ticker(spec, client, sums, planned, todo)
    try:
        for row in receipts.iter_rows():
            end = ShardEnd.model_validate(row)
            if end.failure:
                raise Failed(end.failure, f"shard {end.shard}: {end.message}")
            ticker.shard_done()
            if client.command != Command.CONTINUE:
                raise Stopped
    finally:
        ticker.stop()


class _Ticker(threading.Thread):
    """Posts progress once a second, whatever the main thread waits for."""

    def __init__(
        self, spec: GenerateJob, client: OrchestratorClient, sums: Any, planned: Sequence[Shard], todo: list[Shard]
    ) -> None:
        super().__init__(name="ticker", daemon=True)
        self.client, self.sums, self.total = client, sums, spec.samples or 0
        self.before = self.total - sum(shard.count for shard in todo)
        self.planned, self.done = len(planned), len(planned) - len(todo)
        self.began, self.over, self.last = time.monotonic(), threading.Event(), (-1, -1)
        self.start()

    def shard_done(self) -> None:
        self.done += 1

    def stop(self) -> None:
        self.over.set()
        self.join()
        self._post()

    def run(self) -> None:
        while not self.over.wait(POLL):
            self._post()

    def _post(self) -> None:
        samples, written, busy = ray.get(self.sums.read.remote())
        if (samples, self.done) == self.last:
            return  # a tick says that something moved: the watchdog relies on it
        self.last = (samples, self.done)
        seconds = time.monotonic() - self.began
        rate = samples / seconds
        done = min(self.before + samples, self.total)
        self.client.tick(
            GenerateTick(
                samples=done,
                total_samples=self.total,
                seconds=seconds,
                samples_per_second=rate,
                eta=(self.total - done) / rate if rate else None,
                shards=Shards(total=self.planned, done=self.done, missing=self.planned - self.done),
                written_bytes=written,
                busy_seconds=busy,
            )
        )


def _publish(
    claim: Claim, spec: GenerateJob, store: Store, job: Layout, client: OrchestratorClient, receipts: list[Receipt]
) -> GenerateManifest:
    files = receipt_files.files_of(receipts)
    model = claim.references["model"]
    manifest = GenerateManifest(
        **head(job, files),
        samples=spec.samples or 0,
        shards=len(receipts),
        format=spec.output.format,
        samples_per_shard=spec.output.samples_per_shard,
        sampling=spec.sampling.model_dump(mode="json"),
        class_names=model.class_names,
        lineage=Lineage(model=model),
    )
    return publish(store, job, client, manifest, _readme(spec, job, model, _patterns(spec, files)), claim.number)


def _patterns(spec: GenerateJob, files: list[File]) -> list[str]:
    """Return where a reader of the folder finds the samples: exactly, also where late writers may leave more beside them."""
    everything = sinks.get(spec.output.format).data_files
    folders = {match[0] for file in files if (match := _WRITER.match(file.key))}
    plain = any(not _WRITER.match(file.key) for file in files)
    return [everything] if plain else [everything.replace("data/", folder, 1) for folder in sorted(folders)]


def _readme(spec: GenerateJob, job: Layout, model: PinnedModel, patterns: list[str]) -> str:
    files = {"split": "train", "path": patterns[0] if len(patterns) == 1 else patterns}
    header = {"tags": ["synthetic", "gan"], "configs": [{"config_name": "default", "data_files": [files]}]}
    text = (
        f"{spec.samples:,} synthetic samples, made by ganworks with seed {spec.sampling.seed} from the generator "
        f"`{model.uri}` (sha256 {', '.join(f'`{weights.sha256}`' for weights in model.weights)}).\n\nSample i depends on the seed and i alone. The files are "
        f"`{sinks.get(spec.output.format).data_files}`; `{MANIFEST}` and `SHA256SUMS` have every file's digest.\n\n{_classes(spec, model)}"
        f'```python\nfrom datasets import load_dataset\n\nload_dataset("path/to/this/folder")\n```'
    )
    return card(header, job.job_name, text)


def _classes(spec: GenerateJob, model: PinnedModel) -> str:
    """Return what the card says of them: numbers and names."""
    if not model.class_names:
        return ""
    numbers = range(len(model.class_names)) if model.classes is None else model.classes
    told = ", ".join(f"{number} `{model.class_names[number]}`" for number in list(numbers)[:NAMED])
    more = f" and {len(numbers) - NAMED} more" if len(numbers) > NAMED else ""
    share = "equally often" if spec.sampling.classes else "drawn by chance"
    return f"Classes, {share}: {told}{more}.\n\n"


def summary(store: Store, job: Layout, manifest: GenerateManifest) -> GenerateSummary:
    """Return what the job's result says."""
    return GenerateSummary(
        output=store.locate(job.prefix),
        data=store.locate(job.data_prefix),
        samples=manifest.samples,
        shards=manifest.shards,
        bytes=manifest.bytes,
    )
