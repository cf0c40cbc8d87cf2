"""What every store promises: the same checks over a directory and over a real S3 server."""

import errno
import hashlib
import os
import threading
from pathlib import Path

import pytest

from jobs.store import AlreadyExists, NotFound, Store, StoreError, open_store
from jobs.store.directory import DirectoryStore
from tests.support import weed


@pytest.fixture(params=["directory", "directory without hard links", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    if "without" in request.param:  # FAT, some network and container file systems
        monkeypatch.setattr(os, "link", _no_link)
    if "directory" in request.param:
        return open_store(str(tmp_path / "store"))
    server: weed.S3Server = request.getfixturevalue("s3_server")
    return open_store(f"s3://{weed.BUCKET}/contract/{tmp_path.name}", env=server.env)


def _no_link(source: Path, target: Path) -> None:
    raise PermissionError(errno.EPERM, "Operation not permitted", str(source))


def keys(store: Store, prefix: str) -> list[str]:
    return [info.key for info in store.list(prefix)]


def test_what_is_put_comes_back(store: Store) -> None:
    store.put("a/b.txt", b"hello")
    assert store.get("a/b.txt") == b"hello"
    store.put("a/b.txt", b"other")
    assert store.get("a/b.txt") == b"other"
    assert store.sha256("a/b.txt") == hashlib.sha256(b"other").hexdigest()


def test_an_empty_object_is_an_object(store: Store) -> None:
    store.put("empty", b"")
    info = store.head("empty")
    assert store.get("empty") == b""
    assert info
    assert info.size == 0


def test_a_range_is_the_bytes_asked_for(store: Store) -> None:
    store.put("r", b"0123456789")
    assert store.get("r", start=3) == b"3456789"
    assert store.get("r", start=3, stop=5) == b"34"
    assert store.get("r", start=8, stop=99) == b"89"
    assert store.get("r", start=10) == b""
    assert store.get("r", start=4, stop=4) == b""


def test_what_is_not_there_is_not_found(store: Store) -> None:
    assert store.head("nothing") is None
    for read in (store.get, store.sha256):
        with pytest.raises(NotFound, match="nothing"):
            read("nothing")
    store.delete("nothing")


def test_a_missing_object_is_no_file(store: Store, tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        store.get_file("nothing", tmp_path / "file")
    assert [path for path in tmp_path.iterdir() if "file" in path.name] == []


def test_the_first_writer_wins_and_the_same_bytes_are_fine(store: Store) -> None:
    store.put("once", b"first", if_absent=True)
    store.put("once", b"first", if_absent=True)
    with pytest.raises(AlreadyExists, match="once"):
        store.put("once", b"second", if_absent=True)
    assert store.get("once") == b"first"


def test_of_many_racing_writers_one_wins(store: Store) -> None:
    lost: list[int] = []

    def write(number: int) -> None:
        try:
            store.put("race", str(number).encode(), if_absent=True)
        except AlreadyExists:
            lost.append(number)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(lost) == 15
    assert int(store.get("race")) not in lost


def test_a_listing_is_complete_sorted_and_by_prefix(store: Store) -> None:
    names = [f"list/{number:04d}" for number in range(1100)]
    for name in reversed(names[:30] + names[-30:]):
        store.put(name, b"x")
    store.put("lists", b"x")
    assert keys(store, "list/") == names[:30] + names[-30:]
    assert keys(store, "list/000") == names[:10]
    assert keys(store, "nowhere/") == []


def test_a_deleted_object_is_gone(store: Store) -> None:
    store.put("d/e/f", b"x")
    store.put("d/g", b"x")
    store.delete("d/e/f")
    assert keys(store, "d/") == ["d/g"]


def test_a_copy_is_the_same_under_another_key(store: Store) -> None:
    store.put("from/here", b"x" * 1000)
    store.put("to/there", b"old")
    store.copy("from/here", "to/there")
    assert store.get("to/there") == store.get("from/here") == b"x" * 1000
    assert store.sha256("to/there") == store.sha256("from/here")
    with pytest.raises(NotFound, match="nothing"):
        store.copy("nothing", "to/there")
    assert store.get("to/there") == b"x" * 1000


def test_a_large_copy_keeps_its_digest(store: Store, tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(hashlib.shake_128(b"seed").digest(1 << 16) * 1100)
    store.put_file("large copy/from", tmp_path / "large")
    store.copy("large copy/from", "large copy/to")
    info = store.head("large copy/to")
    assert info
    assert info.size == 1100 << 16
    assert store.sha256("large copy/to") == store.sha256("large copy/from")


def test_puts_beside_deletes_never_fail(store: Store) -> None:
    """A delete takes empty folders away, also those that a put beside it has just made."""
    failed: list[Exception] = []

    def put_and_delete(number: int) -> None:
        for turn in range(150 if isinstance(store, DirectoryStore) else 5):
            try:
                store.put(f"deep/er/{turn % 3}/{number}", b"x", if_absent=turn % 2 == 0)
                list(store.list("deep/"))
                store.delete(f"deep/er/{turn % 3}/{number}")
            except Exception as error:
                failed.append(error)

    threads = [threading.Thread(target=put_and_delete, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert keys(store, "deep/") == []


def test_a_key_that_ends_like_a_folder_is_no_key(store: Store) -> None:
    for request in (store.get, store.sha256, lambda key: store.put(key, b"")):
        with pytest.raises(StoreError, match="is not a key"):
            request("folder/")


def test_a_large_file_goes_up_and_comes_down(store: Store, tmp_path: Path) -> None:
    source, target, moved = tmp_path / "large", tmp_path / "back", [0]
    source.write_bytes(hashlib.shake_128(b"seed").digest(1 << 16) * 1100)  # 69 MiB: more than one part
    store.put_file("large", source, progress=lambda count: moved.__setitem__(0, moved[0] + count))
    store.get_file("large", target)
    assert target.read_bytes() == source.read_bytes()
    assert store.sha256("large") == hashlib.sha256(source.read_bytes()).hexdigest()
    assert moved[0] == source.stat().st_size


def test_keys_may_hold_what_file_names_hold(store: Store) -> None:
    name = "odd/Ärger & more+plus=equal (1)~.txt"
    store.put(name, b"x")
    assert keys(store, "odd/") == [name]
    assert store.get(name) == b"x"


def test_a_probe_finds_put_if_absent_and_leaves_nothing(store: Store) -> None:
    assert store.probe().put_if_absent
    assert keys(store, "_probe/") == []


def test_an_object_is_found_where_the_store_says(store: Store) -> None:
    assert store.locate("a/b").endswith("/a/b")
    assert store.locate("").rstrip("/") == store.uri.rstrip("/")


@pytest.mark.parametrize("key", ["../outside", "/etc/passwd", ""])
def test_a_directory_store_never_leaves_its_root(tmp_path: Path, key: str) -> None:
    store = open_store(str(tmp_path / "store"))
    with pytest.raises(StoreError):
        store.put(key, b"x")
    assert not (tmp_path / "outside").exists()
