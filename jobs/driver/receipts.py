"""Commit a finished shard: its objects first, its receipt last. A receipt proves a shard; what has none is made again.

Two writers of one shard (a stale attempt, one's own timed-out try) write the same bytes on the same kind of
hardware. Where they differ, the first writer's stay and the receipt describes them.
"""

import json
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

from jobs import digest
from jobs.sinks import Written
from jobs.storage.layout import Layout
from jobs.storage.shards import Shard
from jobs.store import AlreadyExists, Store
from jobs.wire import File, Receipt

THREADS = 8


def commit_shard(
    store: Store, job: Layout, shard: Shard, objects: list[Written], *, attempt: int, put_if_absent: bool
) -> Receipt:
    """Put a shard's objects and its receipt; returns the receipt.

    Where the store does not honour put-if-absent, keys carry the attempt, and the receipt (which the
    newest attempt writes) says which of them count.
    """
    folder = job.data_prefix if put_if_absent else f"{job.data_prefix}a{attempt}/"
    with ThreadPoolExecutor(THREADS) as pool:
        files = tuple(pool.map(lambda item: _put(store, job, folder + item.key, item.content, put_if_absent), objects))
    receipt = Receipt(
        shard=shard.number, start=shard.start, stop=shard.stop, count=shard.count, attempt=attempt, files=files
    )
    store.put(job.receipt(shard.number), json.dumps(receipt.plain(), sort_keys=True).encode())
    return receipt


def _put(store: Store, job: Layout, key: str, content: bytes, if_absent: bool) -> File:
    sha256, size = digest.of_bytes(content), len(content)
    try:
        store.put(key, content, if_absent=if_absent)
    except AlreadyExists:
        info = store.head(key)
        sha256, size = store.sha256(key), info.size if info else size
    return File(key=key[len(job.prefix) :], size=size, sha256=sha256)


def read_all(store: Store, keys: Iterable[str]) -> list[Receipt]:
    """Return every receipt, by shard number."""
    with ThreadPoolExecutor(THREADS) as pool:
        receipts = list(pool.map(lambda key: Receipt.model_validate_json(store.get(key)), keys))
    return sorted(receipts, key=lambda receipt: receipt.shard)


def check_complete(receipts: Sequence[Receipt], shards: Sequence[Shard]) -> None:
    """Assert that receipts cover every sample once, no gap and no double: only our own mistake breaks it."""
    ranges = [(receipt.shard, receipt.start, receipt.stop) for receipt in receipts]
    assert ranges == [(shard.number, shard.start, shard.stop) for shard in shards], "receipts do not cover the data set"


def files_of(receipts: Iterable[Receipt]) -> list[File]:
    return [file for receipt in receipts for file in receipt.files]
