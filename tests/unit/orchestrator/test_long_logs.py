"""A log of any size costs a reader what it reads, and the server never the whole: its beginning and its end are kept."""

import gzip
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from server_bench import TOKEN, Bench, Clock, client, make_server, train

from jobs.store import Store, open_store
from orchestrator.cluster import LogPart
from orchestrator.cluster.memory import MemoryCluster
from orchestrator.observability import long_logs
from orchestrator.observability.long_logs import BLOCK, HEAD, TAIL, left_out, shown
from orchestrator.observability.redact import Redactor

LINE = 64  # bytes
HUGE = 300_000_000 // LINE * LINE
SECRET = "canary-bird-0123456789"
NONE = Redactor([])


@dataclass
class Log:
    """A log of numbered lines that is nowhere: each range is made when it is read, and counted. `planted`: text by offset."""

    size: int
    planted: dict[int, bytes] = field(default_factory=dict)
    read: int = 0  # bytes

    def __call__(self, start: int, stop: int) -> LogPart:
        start, stop = min(start, self.size), min(stop, self.size)
        lines = range(start // LINE, -(-stop // LINE))
        data = bytearray(b"".join(b"%0*d\n" % (LINE - 1, n) for n in lines))
        for at, text in self.planted.items():
            for n, byte in enumerate(text):
                if lines.start * LINE <= at + n < lines.stop * LINE:
                    data[at + n - lines.start * LINE] = byte
        part = bytes(data[start - lines.start * LINE :][: stop - start])
        self.read += len(part)
        return LogPart(data=part, size=self.size)


def whole(read: Callable[[int, int], LogPart | None], is_growing: bool = False, **options: Any) -> str:
    """Read from the beginning, as `ganworks logs` does."""
    text, offset = "", 0
    while True:
        part = shown(read, offset, options.get("limit", 1 << 18), options.get("redactor", NONE), is_growing)
        assert part is not None
        text += part.text
        if part.offset == offset:
            return text
        offset = part.offset


def bytes_of(log: Log, start: int, stop: int) -> str:
    return replace(log)(start, stop).data.decode()


@pytest.mark.parametrize("size", [0, 1, LINE, HEAD, HEAD + TAIL - 1, HEAD + TAIL])
def test_what_is_not_too_long_is_shown_whole(size: int) -> None:
    assert whole(Log(size)) == bytes_of(Log(size), 0, size)


@pytest.mark.parametrize("size", [HEAD + TAIL + 1, HUGE])
def test_of_a_long_one_the_beginning_and_the_end_are_shown_and_the_cut_is_said(size: int) -> None:
    log = Log(size)
    expected = bytes_of(log, 0, HEAD) + left_out(HEAD, size - TAIL) + bytes_of(log, size - TAIL, size)
    assert whole(log) == expected
    assert log.read <= HEAD + TAIL + (1 << 18) + (1 << 20)


def test_a_poll_reads_what_it_shows() -> None:
    log = Log(HUGE)
    for offset in (0, HEAD, HUGE // 2, HUGE - 1000, HUGE):
        log.read = 0
        shown(log, offset, 1 << 16, Redactor([SECRET]), is_growing=True)
        assert log.read <= 2 * ((1 << 16) + 2 * len(SECRET))


def test_who_keeps_up_misses_nothing_and_who_does_not_is_told() -> None:
    log, seen, offset = Log(LINE), "", 0
    while log.size < HEAD + 2 * TAIL:
        log.size += TAIL // 4
        while (part := shown(log, offset, 1 << 20, NONE, is_growing=True)) and part.offset != offset:
            seen, offset = seen + part.text, part.offset
    assert seen == bytes_of(log, 0, log.size)
    log.size += TAIL + LINE
    late = shown(log, offset, 1 << 20, NONE, is_growing=True)
    assert late is not None
    assert late.text.startswith(left_out(offset, offset + LINE))


def test_a_line_is_shown_when_it_is_whole_or_the_log_has_ended() -> None:
    log = Log(LINE + 10)
    growing, ended = (shown(log, 0, 1000, NONE, is_growing) for is_growing in (True, False))
    assert growing is not None
    assert ended is not None
    assert (growing.offset, ended.offset) == (LINE, LINE + 10)


@pytest.mark.parametrize("limit", [4, 7, 23, LINE, 1000])
def test_no_secret_comes_through_wherever_it_is_cut(limit: int) -> None:
    log = Log(10 * LINE, {at: SECRET.encode() for at in (0, 100, 211, 10 * LINE - len(SECRET))})
    text = whole(log, limit=limit, redactor=Redactor([SECRET]))
    assert text.count("[redacted]************") == 4
    assert len(text) == log.size
    assert not any(SECRET[n : n + 8] in text for n in range(len(SECRET) - 8))
    for offset in range(len(SECRET)):  # nor from the middle of it
        part = shown(log, 100 + offset, limit, Redactor([SECRET]), is_growing=False)
        assert part is not None
        assert not {*part.text[: len(SECRET) - offset]} & {*"nybi"}


@pytest.mark.parametrize("limit", [1, 4, 5, 1000])
def test_characters_of_several_bytes_are_not_torn(limit: int) -> None:
    text = "träge Füße — 雪 — 🐢\n" * 3

    def read(start: int, stop: int) -> LogPart:
        return LogPart(data=text.encode()[start:stop], size=len(text.encode()))

    assert whole(read, limit=limit) == text
    assert whole(read, limit=limit, is_growing=True) == text


def test_what_is_no_text_is_shown_as_such_and_holds_nobody_up() -> None:
    def read(start: int, stop: int) -> LogPart:
        return LogPart(data=(b"\xff\xfe" * 50 + b"\xf0\x9f")[start:stop], size=102)

    assert set(whole(read, limit=10)) == {"\ufffd"}


# --- the bucket's copy


def store_with(folder: Path, content: bytes) -> Store:
    store = open_store(str(folder))
    store.put("log", gzip.compress(content))
    return store


@pytest.mark.parametrize("size", [0, LINE, HEAD - 1, HEAD, HEAD + TAIL, HEAD + TAIL + 1, HUGE])
def test_a_kept_log_reads_as_the_log_did(tmp_path: Path, size: int) -> None:
    log = Log(size)
    read = long_logs.archived(store_with(tmp_path, b"".join(long_logs.kept(log, NONE))), "log")
    assert read(0, 1).size == size  # type: ignore[union-attr]
    assert whole(read, limit=4 << 20) == whole(log, limit=4 << 20)
    for offset in (0, HEAD - 5, size - TAIL, size - 100):
        if offset >= 0:
            assert shown(read, offset, 99, NONE, False) == shown(log, offset, 99, NONE, False)


def test_a_log_kept_whole_by_an_earlier_version_is_read_by_ranges_too(tmp_path: Path) -> None:
    log = Log(HEAD + TAIL + 24 * BLOCK)
    read = long_logs.archived(store_with(tmp_path, log(0, log.size).data), "log")
    tracemalloc.start()
    part = read(HEAD + 100, HEAD + 200)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert part == log(HEAD + 100, HEAD + 200)
    assert peak < HEAD + TAIL + 4 * BLOCK


def test_a_log_that_tells_of_a_cut_itself_is_not_believed_elsewhere(tmp_path: Path) -> None:
    said = left_out(100, 10**9).encode()
    content = said + b"x" * (HEAD - len(said)) + left_out(5, 10**12).encode()
    read = long_logs.archived(store_with(tmp_path, content), "log")
    assert read(0, len(content)) == LogPart(data=content, size=len(content))


def test_what_broke_off_is_shown_as_far_as_it_goes(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    store.put("log", gzip.compress(b"a line\n" * 100_000)[:-50])
    text = whole(long_logs.archived(store, "log"), limit=1 << 20)
    assert text.startswith("a line\n")


# --- through the server


@pytest.fixture
def running(bench: Bench, monkeypatch: Any) -> tuple[Bench, str, Log]:
    (job,) = bench.submit(train())
    bench.step()
    bench.driver(f"{job}-1")
    log = Log(HUGE, {n: SECRET.encode() for n in (10, HEAD - 5, HUGE - 1000)})
    monkeypatch.setattr(bench.cluster, "read_log", lambda _, start, stop: log(start, stop))
    monkeypatch.setattr(bench.server, "redactor", Redactor([SECRET]))
    monkeypatch.setattr(bench.server.archiver, "redactor", Redactor([SECRET]))
    return bench, job, log


def followed(bench: Bench, job: str, offset: int = 0) -> tuple[str, int, bool]:
    text = ""
    while True:
        answer = bench.get(f"/api/v1/jobs/{job}/logs?offset={offset}&limit={4 << 20}").json()
        text += answer["text"]
        if answer["offset"] == offset:
            return text, offset, answer["complete"]
        offset = answer["offset"]


def test_a_poll_of_a_huge_log_fetches_a_part_of_it(running: tuple[Bench, str, Log]) -> None:
    bench, job, log = running
    answer = bench.get(f"/api/v1/jobs/{job}/logs?offset={HUGE - (1 << 18)}").json()
    assert answer["offset"] == HUGE
    assert not answer["complete"]
    assert log.read < 1 << 19


def test_a_huge_log_is_kept_without_being_held(running: tuple[Bench, str, Log]) -> None:
    bench, job, log = running
    before, offset, complete = followed(bench, job)
    assert not complete
    bench.driver(f"{job}-1").result("failed", failure="data")
    log.read = 0
    tracemalloc.start()
    bench.step(6)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert bench.attempts(job)[0].archived
    assert log.read < HEAD + TAIL + BLOCK
    assert peak < HEAD + TAIL + 4 * BLOCK
    assert followed(bench, job, offset) == ("", HUGE, True)
    assert followed(bench, job) == (before, HUGE, True)
    assert "canary" not in before
    assert before.count("[reda") == 3  # one of them is cut short
    assert left_out(HEAD, HUGE - TAIL) in before


def test_a_follower_goes_on_in_the_buckets_copy_where_it_was(running: tuple[Bench, str, Log]) -> None:
    bench, job, log = running
    _, offset, _ = followed(bench, job)
    bench.driver(f"{job}-1").result("failed", failure="data")
    log.size += 10 * LINE
    bench.step(6)
    assert followed(bench, job, offset) == (bytes_of(log, HUGE, log.size), log.size, True)


def test_a_log_that_was_lost_with_ray_is_said_to_be(bench: Bench) -> None:
    (job,) = bench.submit(train())
    bench.step()
    bench.driver(f"{job}-1")
    bench.cluster.forget()
    bench.sleep(200)
    assert bench.attempts(job)[0].archived
    answer = bench.get(f"/api/v1/jobs/{job}/logs?attempt=1").json()
    assert "head was gone" in answer["text"]
    assert answer["complete"]


def test_ray_away_is_told_to_who_asks_for_a_log(bench: Bench) -> None:
    (job,) = bench.submit(train())
    bench.step()
    bench.driver(f"{job}-1")
    bench.cluster.reachable = False
    answer = bench.get(f"/api/v1/jobs/{job}/logs")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert "\n" not in answer.json()["error"]["message"]


def test_the_server_masks_with_its_own_secrets(tmp_path: Path) -> None:
    server = make_server(tmp_path, MemoryCluster(), Clock(), store_env={"AWS_SECRET_ACCESS_KEY": SECRET})
    bench = Bench(server, server.cluster, server.clock, client(server))  # type: ignore[arg-type]
    (job,) = bench.submit(train())
    bench.step()
    bench.driver(f"{job}-1")
    bench.cluster.entries[f"{job}-1"].log = f"key {SECRET} token {TOKEN}\n"
    text = bench.get(f"/api/v1/jobs/{job}/logs").json()["text"]
    assert text == f"key {'[redacted]'.ljust(len(SECRET), '*')} token {'[redacted]'.ljust(len(TOKEN), '*')}\n"
    bench.close()


def test_partial_applications_of_readers_are_plain_functions() -> None:
    cluster = MemoryCluster()
    cluster.submit("a-1", "true", {}, {})
    cluster.entries["a-1"].log = "one\ntwo\n"
    part = shown(partial(cluster.read_log, "a-1"), 4, 100, NONE, is_growing=True)
    assert part == long_logs.Shown(text="two\n", offset=8, size=8)
    assert shown(partial(cluster.read_log, "b-1"), 0, 100, NONE, is_growing=True) is None
