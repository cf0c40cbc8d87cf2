"""One worker of a generation job: the generator stays loaded, a shard's descriptor comes in, its receipt goes out.

Encoding runs in threads beside the next forward pass (zlib releases the GIL), so that neither waits for the other.
"""

import json
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np

from jobs import digest, sinks
from jobs.driver.attempt import layout_of, store_of
from jobs.driver.failures import Failed
from jobs.driver.receipts import commit_shard
from jobs.sinks import Class, Record
from jobs.specs.spec import GenerateJob, Sampling
from jobs.storage.layout import CONFIG
from jobs.storage.shards import Shard
from jobs.store import Store, StoreError
from jobs.wire import Claim, PinnedModel, Receipt
from trainers.generation.sampling import Sampler

CHUNK = 512  # samples between two reports of progress

Report = Callable[[int, int, dict[str, float]], None]  # samples, bytes, busy seconds by stage


class ShardWriter:
    def __init__(self, claim: Claim, put_if_absent: bool, device: str, report: Report) -> None:
        spec = claim.spec
        assert isinstance(spec, GenerateJob)
        self.spec, self.attempt, self.put_if_absent, self.report = spec, claim.number, put_if_absent, report
        self.store, self.job = store_of(claim), layout_of(claim)
        self.sink = sinks.get(spec.output.format)
        self.model = claim.references["model"]
        threads = max(1, int(claim.cpus_per_worker))
        self.pool = ThreadPoolExecutor(threads, thread_name_prefix="encode")
        with tempfile.TemporaryDirectory(prefix="ganworks-model-") as folder:
            download_model(self.store, self.model, Path(folder))
            self.sampler = Sampler.load(Path(folder), device=device, threads=threads)

    def write(self, shard: Shard) -> Receipt:
        """Generate, encode and commit one shard; returns its receipt. Failed for what the format cannot hold."""
        if self.sampler.dtype() != np.uint8:
            raise Failed(
                "bad_data", f"the model makes vectors, and output.format {self.spec.output.format} is for pictures"
            )
        began = time.monotonic()
        encoded: list[Future[Record]] = []
        for start in range(shard.start, shard.stop, CHUNK):
            stop = min(start + CHUNK, shard.stop)
            encoded += self._chunk(start, stop)
        forward = time.monotonic() - began
        objects = self.sink.assemble(shard, [future.result() for future in encoded])
        encode = time.monotonic() - began - forward
        receipt = commit_shard(
            self.store, self.job, shard, objects, attempt=self.attempt, put_if_absent=self.put_if_absent
        )
        upload = time.monotonic() - began - forward - encode
        written = sum(file.size for file in receipt.files)
        self.report(0, written, {"forward": forward, "encode": encode, "upload": upload})
        return receipt

    def _chunk(self, start: int, stop: int) -> list[Future[Record]]:
        pictures, labels = self._samples(start, stop)
        self.report(stop - start, 0, {})
        return [
            self.pool.submit(
                self.sink.encode, start + i, picture, None if labels is None else self._class(int(labels[i]))
            )
            for i, picture in enumerate(pictures)
        ]

    def _class(self, number: int) -> Class:
        names = self.sampler.class_names
        return Class(number=number, name=names[number] if names else str(number))

    def _samples(self, start: int, stop: int) -> tuple[np.ndarray, np.ndarray | None]:
        sampling: Sampling = self.spec.sampling
        numbers = self.model.classes  # None: of a job that was pinned before they were looked up
        classes = list(numbers or sampling.classes) if isinstance(sampling.classes, tuple) else sampling.classes
        return self.sampler.samples(
            start, stop, seed=sampling.seed, truncation=sampling.truncation, classes=classes, total=self.spec.samples
        )


def download_model(store: Store, reference: PinnedModel, folder: Path) -> None:
    """Download the generator that the job's reference was pinned to, held to its sha256, as a model folder."""
    config = json.loads(store.get(reference.uri + reference.config))
    (folder / CONFIG).write_text(json.dumps(config.get("model", config)))  # a checkpoint keeps it inside its state
    for weights in reference.weights:
        store.get_file(reference.uri + weights.file, folder / weights.name)
        found = digest.of_file(folder / weights.name)
        if found != weights.sha256:
            key = store.locate(reference.uri + weights.file)
            raise StoreError(f"{key}: its content changed since the job was admitted (sha256 {found})")
