"""Commit a finished shard: its objects first, its receipt last. A receipt proves a shard; what has none is made again.

Two writers of one shard (a stale attempt, one's own timed-out try) write the same bytes on the same kind of
hardware. Where they differ, the first writer's stay and the receipt describes them.
"""

import json
import secrets
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from jobs import digest
from jobs.sinks import Written
from jobs.storage.layout import Layout, parse_receipt_key
from jobs.storage.shards import Shard
from jobs.store import AlreadyExists, NotFound, Store
from jobs.wire import File, Receipt

THREADS = 8


def commit_shard(
    store: Store, job: Layout, shard: Shard, objects: list[Written], *, attempt: int, put_if_absent: bool
) -> Receipt:
    """Put a shard's objects and its receipt; returns the receipt.

    Where the store does not honour put-if-absent, every key carries a name that this call alone uses: neither an
    earlier attempt nor another worker of this one can write over it.
    """
    writer = None if put_if_absent else f"a{attempt}-{secrets.token_hex(4)}"
    folder = f"{job.data_prefix}{writer}/" if writer else job.data_prefix
    with ThreadPoolExecutor(THREADS) as pool:
        files = tuple(pool.map(lambda item: _put(store, job, folder + item.key, item.content, put_if_absent), objects))
    receipt = Receipt(
        shard=shard.number, start=shard.start, stop=shard.stop, count=shard.count, attempt=attempt, files=files
    )
    body = json.dumps(receipt.plain(), sort_keys=True).encode()
    with suppress(AlreadyExists):  # another attempt's, of the same objects: it stays
        store.put(job.receipt(shard.number, writer), body, if_absent=put_if_absent)
    return receipt


def _put(store: Store, job: Layout, key: str, content: bytes, if_absent: bool) -> File:
    sha256, size = digest.of_bytes(content), len(content)
    try:
        store.put(key, content, if_absent=if_absent)
    except AlreadyExists:
        info = store.head(key)
        sha256, size = store.sha256(key), info.size if info else size
    return File(key=key[len(job.prefix) :], size=size, sha256=sha256)


def read_all(
    store: Store, job: Layout, shards: Sequence[Shard], report: Callable[[str, str], None]
) -> dict[int, Receipt]:
    """Return the receipt of each shard that has one; of several the newest attempt's.

    What is no receipt of these shards is reported and moved out of the way: its shard is made again.
    """
    keys = [info.key for info in store.list(job.receipts_prefix)]
    with ThreadPoolExecutor(THREADS) as pool:
        read = list(pool.map(lambda key: _read(store, key, shards), keys))
    for key, receipt in zip(keys, read, strict=True):
        if isinstance(receipt, str):
            _quarantine(store, job, key, receipt, report)
    good = [(key, receipt) for key, receipt in zip(keys, read, strict=True) if isinstance(receipt, Receipt)]
    return {receipt.shard: receipt for _, receipt in sorted(good, key=lambda each: (each[1].attempt, each[0]))}


def _read(store: Store, key: str, shards: Sequence[Shard]) -> Receipt | str | None:
    """Return the receipt, or why the object is none; None when it has gone meanwhile."""
    named = parse_receipt_key(key)
    if named is None or named[0] >= len(shards):
        return "not the name of a receipt of this data set"
    try:
        receipt = Receipt.model_validate_json(store.get(key))
    except NotFound:
        return None
    except ValueError as error:
        return f"not readable as a receipt ({str(error).splitlines()[0]})"
    shard = shards[named[0]]
    found, expected = (receipt.shard, receipt.start, receipt.stop), (shard.number, shard.start, shard.stop)
    return receipt if found == expected else f"shard, start and stop are {found}, not {expected}"


def _quarantine(store: Store, job: Layout, key: str, why: str, report: Callable[[str, str], None]) -> None:
    """Keep it for whoever wants to know, where nobody reads it."""
    aside = job.quarantine_prefix + key.removeprefix(job.prefix)
    with suppress(NotFound):  # another attempt moved it
        store.copy(key, aside)
    store.delete(key)
    report("receipt_damaged", f"{store.locate(key)}: {why}; moved to {store.locate(aside)}, its shard is made again")


def files_of(receipts: Iterable[Receipt]) -> list[File]:
    """Return the objects that receipts prove."""
    return [file for receipt in receipts for file in receipt.files]
