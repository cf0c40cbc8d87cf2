"""Logs of any size: read by ranges, and of a long one its beginning and its end, with a line that says what lies between.

Offsets are bytes of the log as it was written, while its driver runs and also once it is in the bucket, so that whoever
follows it notices nothing. For that, secrets are masked in place: as many bytes as before.
"""

import codecs
import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain

from jobs.store import Store
from orchestrator.cluster import LogPart
from orchestrator.observability.redact import Redactor

HEAD = 2 << 20  # bytes that are kept of the beginning …
TAIL = 6 << 20  # … and of the end
BLOCK = 1 << 20  # bytes that are held at once while a log is copied or unpacked
_CUT = re.compile(rb"\n\[ganworks: bytes (\d+) to (\d+) of this log are left out\]\n")

Read = Callable[[int, int], LogPart | None]  # the bytes [start, stop); None: there is no such log


@dataclass(frozen=True, kw_only=True)
class Shown:
    text: str
    offset: int  # of the first byte after it
    size: int  # of the whole, so far


def left_out(start: int, stop: int) -> str:
    return f"\n[ganworks: bytes {start} to {stop} of this log are left out]\n"


def shown(read: Read, offset: int, limit: int, redactor: Redactor, is_growing: bool) -> Shown | None:
    """Return some of a log from `offset` on, at most `limit` bytes of it, whatever its size; None: there is none.

    Between the beginning and the end it goes on with the end, and says so. Of a log that grows, the last line comes when
    it is whole: half a secret would not be known as one.
    """
    limit = max(limit, 4)  # a whole character
    got = _masked(read, offset, offset + limit, redactor)
    if got is None:
        return None
    said, size = "", got.size
    if size > HEAD + TAIL and offset < HEAD < offset + limit:
        got = LogPart(data=got.data[: HEAD - offset], size=size)
    elif offset >= HEAD and size - offset > TAIL:
        said, offset = left_out(offset, size - TAIL), size - TAIL
        got = _masked(read, offset, offset + limit, redactor) or got
    data = got.data
    if is_growing and offset + len(data) >= size:
        data = data[: data.rfind(b"\n") + 1]
    text, used = _characters(data, is_end=not is_growing and offset + len(data) >= size)
    return Shown(text=said + text, offset=offset + used, size=size)


def _characters(data: bytes, is_end: bool) -> tuple[str, int]:
    """Return whole characters and how many bytes they were; what is none is replaced."""
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    text = decoder.decode(data, final=is_end)
    return text, len(data) - len(decoder.getstate()[0])


def _masked(read: Read, start: int, stop: int, redactor: Redactor) -> LogPart | None:
    """Read a range with what may belong to a secret on either side of it."""
    before = min(redactor.longest, start)
    got = read(start - before, stop + redactor.longest)
    if got is None:
        return None
    return LogPart(data=redactor.in_place(got.data)[before : before + stop - start], size=got.size)


def kept(read: Read, redactor: Redactor) -> Iterator[bytes]:
    """Return what is worth keeping of a log that has ended, block by block, without its secrets."""
    first = read(0, 1)
    size = first.size if first else 0
    if size <= HEAD + TAIL:
        yield from _blocks(read, 0, size, redactor)
        return
    yield from _blocks(read, 0, HEAD, redactor)
    yield left_out(HEAD, size - TAIL).encode()
    yield from _blocks(read, size - TAIL, size, redactor)


def _blocks(read: Read, start: int, stop: int, redactor: Redactor) -> Iterator[bytes]:
    for begin in range(start, stop, BLOCK):
        got = _masked(read, begin, min(begin + BLOCK, stop), redactor)
        yield got.data if got else b""


def archived(store: Store, key: str) -> Read:
    """Return how to read a kept log by the offsets of the log as it was written. It raises NotFound."""

    def read(start: int, stop: int) -> LogPart:
        data, end = bytearray(), 0
        for at, block in _placed(_unpacked(store, key)):
            data += bytes(max(min(at, stop) - max(end, start), 0))  # of what was left out nothing is known
            data += block[max(start - at, 0) : max(stop - at, 0)]
            end = at + len(block)
        return LogPart(data=bytes(data), size=end)

    return read


def _unpacked(store: Store, key: str) -> Iterator[bytes]:
    """Yield what a compressed object holds, block by block."""
    unpacker, position = zlib.decompressobj(wbits=31), 0
    while not unpacker.eof and (packed := store.get(key, start=position, stop=position + BLOCK)):
        position += len(packed)
        while packed and not unpacker.eof:
            yield unpacker.decompress(packed, BLOCK)
            packed = unpacker.unconsumed_tail


def _placed(blocks: Iterator[bytes]) -> Iterator[tuple[int, bytes]]:
    """Yield (offset in the log as it was written, bytes). After HEAD it may say what was left out there."""
    first = bytearray()
    for block in blocks:
        first += block
        if len(first) > HEAD + 200:
            break
    cut = _CUT.match(first, HEAD)
    is_cut = cut is not None and int(cut[1]) == HEAD
    yield 0, bytes(first[:HEAD])
    at = int(cut[2]) if cut and is_cut else min(len(first), HEAD)
    for block in chain([bytes(first[cut.end() if cut and is_cut else HEAD :])], blocks):
        yield at, block
        at += len(block)
