"""S3 as it is on a bad day: slow down, broken bodies, a wrong secret, no bucket, nobody there, or somebody else."""

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from boto3 import exceptions as boto
from botocore import exceptions as aws
from botocore.parsers import ResponseParserError
from s3transfer import exceptions as transfer

from jobs.datasets import remote
from jobs.driver.failures import named
from jobs.driver.receipts import commit_shard, files_of, read_all
from jobs.sinks import Written
from jobs.storage.layout import Layout
from jobs.storage.manifest import Manifest, head, made_by, publish
from jobs.storage.shards import plan
from jobs.store import (
    AccessRefused,
    AlreadyExists,
    BucketMissing,
    NotFound,
    ObjectInfo,
    Store,
    StoreError,
    StoreUnreachable,
    open_store,
)
from jobs.store.s3 import Patience
from jobs.store.s3_errors import CLASSES, Place, explain
from tests.support import weed
from tests.support.faults import FaultProxy


@pytest.fixture
def proxy(s3_server: weed.S3Server) -> Iterator[FaultProxy]:
    proxy = FaultProxy(s3_server.endpoint)
    yield proxy
    proxy.stop()


@pytest.fixture
def store(proxy: FaultProxy, s3_server: weed.S3Server) -> Store:
    return open_store(f"s3://{weed.BUCKET}/faults", env={**s3_server.env, "AWS_ENDPOINT_URL_S3": proxy.url})


@pytest.mark.parametrize("newer", ["ignored", "refused"])
def test_a_store_without_conditions_is_known_as_one(store: Store, proxy: FaultProxy, newer: str) -> None:
    proxy.newer = newer
    assert not store.probe().put_if_absent
    proxy.newer = "kept"
    assert store.probe().put_if_absent


@pytest.mark.parametrize("newer", ["ignored", "refused"])
@pytest.mark.parametrize("size", [0, 1000, 9 << 20])
def test_a_store_without_copies_of_its_own_copies_through_here(
    store: Store, proxy: FaultProxy, newer: str, size: int
) -> None:
    content = bytes(range(250)) * (size // 250)
    store.put("a/source", content)
    proxy.newer = newer
    store.copy("a/source", "b/target")
    assert store.get("b/target") == content
    assert store.sha256("b/target") == store.sha256("a/source")
    with pytest.raises(NotFound, match="nothing"):
        store.copy("nothing", "b/target")


@pytest.mark.parametrize("newer", ["ignored", "refused"])
def test_a_job_is_published_in_such_a_store(store: Store, proxy: FaultProxy, newer: str) -> None:
    """Shards with their receipts, then the manifest and what it names: everything that a job's end puts."""
    proxy.newer = newer
    job, shards = Layout(project="p", job_name=f"n-{newer}", job_id="j"), plan(4, 2)
    honoured = store.probe().put_if_absent
    made = [Written(key=f"{shard.number}.tar", content=b"x" * 10) for shard in shards]
    for shard, written in zip(shards, made, strict=True):
        commit_shard(store, job, shard, [written], attempt=1, put_if_absent=honoured)
    receipts = read_all(store, job, shards, lambda *_: None)
    store.put(job.draft(1, job.model_prefix + "weights"), b"weights")
    files = [*files_of(receipts.values()), *made_by(store, job, 1)]
    manifest = Manifest(kind="train", **head(job, files))
    published = publish(store, job, Accepting(), manifest, "card", attempt=1)
    assert len(published.files) == 3
    assert {store.sha256(job.prefix + file.key) for file in published.files} == {file.sha256 for file in files}
    assert store.head(job.manifest)


class Accepting:
    """A server that accepts what is committed."""

    def commit(self, sha256: str) -> None:
        pass


def test_a_third_of_requests_refused_does_not_matter(store: Store, proxy: FaultProxy) -> None:
    proxy.fault = lambda method, path, number: "503" if number % 3 == 1 else None
    for number in range(10):
        store.put(f"slow/{number}", b"x" * 1000)
    assert [store.get(info.key) for info in store.list("slow/")] == [b"x" * 1000] * 10
    assert len(proxy.seen) > 30


def test_connections_reset_before_an_answer_are_repeated(store: Store, proxy: FaultProxy) -> None:
    proxy.fault = lambda method, path, number: "reset" if number % 3 == 1 else None
    store.put("reset", b"y" * 5000)
    assert store.get("reset") == b"y" * 5000


def test_a_body_that_breaks_off_is_read_again(store: Store, proxy: FaultProxy) -> None:
    store.put("cut", b"z" * 100_000)
    cuts = iter([True, True])
    proxy.fault = lambda method, path, number: "cut" if method == "GET" and next(cuts, False) else None
    assert store.get("cut") == b"z" * 100_000


def test_a_put_if_absent_whose_answer_was_lost_is_ours(
    store: Store, proxy: FaultProxy, s3_server: weed.S3Server
) -> None:
    direct = open_store(f"s3://{weed.BUCKET}/faults", env=s3_server.env)

    def lose_the_answer(method: str, path: str, number: int) -> str | None:
        if method == "PUT" and number == 1:
            direct.put("ours", b"content", if_absent=True)  # it arrives, and the answer does not come back
            return "reset"
        return None

    proxy.fault = lose_the_answer
    store.put("ours", b"content", if_absent=True)
    assert store.get("ours") == b"content"


def test_a_store_that_stays_away_is_named(
    proxy: FaultProxy, s3_server: weed.S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobs.store.s3.PATIENT", Patience(tries=2, connect=5, read=60))
    proxy.fault = lambda method, path, number: "503"
    store = open_store(f"s3://{weed.BUCKET}", env={**s3_server.env, "AWS_ENDPOINT_URL_S3": proxy.url})
    with pytest.raises(StoreError, match="SlowDown"):
        store.get("anything")


def test_nobody_there(s3_server: weed.S3Server) -> None:
    store = open_store(f"s3://{weed.BUCKET}", env={**s3_server.env, "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:9"})
    with pytest.raises(StoreUnreachable, match=r"no answer from http://127.0.0.1:9 .* check AWS_ENDPOINT_URL_S3"):
        store.probe()


def test_a_wrong_secret_is_said_to_be_wrong(s3_server: weed.S3Server) -> None:
    store = open_store(f"s3://{weed.BUCKET}", env={**s3_server.env, "AWS_SECRET_ACCESS_KEY": "wrong"})
    with pytest.raises(AccessRefused, match=r"refused the credentials .* check AWS_ACCESS_KEY_ID") as caught:
        store.probe()
    assert "wrong" not in str(caught.value)


def test_a_bucket_that_is_not_there_is_named(s3_server: weed.S3Server) -> None:
    store = open_store("s3://no-such-bucket", env=s3_server.env)
    with pytest.raises(
        BucketMissing, match=r"there is no bucket 'no-such-bucket' at .*create it, or change GANWORKS_STORE"
    ):
        store.probe()


def test_a_body_that_breaks_off_for_good_is_the_stores_failure(
    store: Store, proxy: FaultProxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(store)._read.retry, "wait", lambda state: 0)  # type: ignore[attr-defined]
    store.put("cut", b"z" * 100_000)
    proxy.fault = lambda method, path, number: "cut" if method == "GET" else None
    for read in (lambda: store.get("cut"), lambda: store.get_file("cut", tmp_path / "file")):
        with pytest.raises(StoreUnreachable, match="broke off") as caught:
            read()
        assert named(caught.value).failure == "storage"
    assert list(tmp_path.iterdir()) == []


def test_a_body_that_breaks_off_once_is_fetched_again(store: Store, proxy: FaultProxy, tmp_path: Path) -> None:
    store.put("cut", b"z" * 100_000)
    cuts = iter([True, True])
    proxy.fault = lambda method, path, number: "cut" if method == "GET" and next(cuts, False) else None
    store.get_file("cut", tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == b"z" * 100_000


def test_a_conflict_with_nothing_there_is_tried_again(store: Store, proxy: FaultProxy) -> None:
    conflicts = iter([True, True])
    proxy.fault = lambda method, path, number: "409" if method == "PUT" and next(conflicts, False) else None
    store.put("conflict", b"ours", if_absent=True)
    assert store.get("conflict") == b"ours"
    with pytest.raises(AlreadyExists):
        store.put("conflict", b"another", if_absent=True)


def test_a_conflict_that_stays_may_pass(store: Store, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(store)._put.retry, "wait", lambda state: 0)  # type: ignore[attr-defined]
    proxy.fault = lambda method, path, number: "409" if method == "PUT" else None
    with pytest.raises(StoreUnreachable, match="other writers"):
        store.put("conflict for ever", b"ours", if_absent=True)


REQUESTS: dict[str, Callable[[Store, Path], object]] = {
    "put": lambda store, file: store.put("portal", b"content"),
    "put if absent": lambda store, file: store.put("portal", b"content", if_absent=True),
    "put_file": lambda store, file: store.put_file("portal", file),
    "get": lambda store, file: store.get("there"),
    "get_file": lambda store, file: store.get_file("there", file.with_name("target")),
    "head": lambda store, file: store.head("there"),
    "sha256": lambda store, file: store.sha256("there"),
    "list": lambda store, file: list(store.list("")),
    "copy": lambda store, file: store.copy("there", "copy"),
    "delete": lambda store, file: store.delete("there"),
    "probe": lambda store, file: store.probe(),
}


@pytest.mark.parametrize("request_name", REQUESTS)
def test_a_login_page_is_no_store(store: Store, proxy: FaultProxy, tmp_path: Path, request_name: str) -> None:
    (tmp_path / "file").write_bytes(b"content")
    store.put("there", b"there")
    proxy.fault = lambda method, path, number: "portal"
    with pytest.raises(StoreUnreachable, match="no S3 server"):
        REQUESTS[request_name](store, tmp_path / "file")
    proxy.fault = lambda method, path, number: None
    assert store.get("there") == b"there"
    assert store.head("portal") is None


def test_a_page_only_at_the_end_of_a_large_upload_is_no_store(store: Store, proxy: FaultProxy, tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(hashlib.shake_128(b"seed").digest(1 << 16) * 1100)  # in parts
    proxy.fault = lambda method, path, number: "portal" if method == "POST" and "uploadId" in path else None
    with pytest.raises(StoreUnreachable, match="no S3 server"):
        store.put_file("large", tmp_path / "large")


def test_tls_where_there_is_none_is_said(s3_server: weed.S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobs.store.s3.PATIENT", Patience(tries=1, connect=5, read=60))
    wrong = s3_server.endpoint.replace("http://", "https://")
    store = open_store(f"s3://{weed.BUCKET}", env={**s3_server.env, "AWS_ENDPOINT_URL_S3": wrong})
    with pytest.raises(StoreUnreachable, match=r"no trusted TLS connection to https://.* AWS_CA_BUNDLE"):
        store.get("anything")


@pytest.mark.parametrize("endpoint", ["nonsense", "http://[", "http://bad host"])
def test_an_endpoint_that_is_none_is_said(s3_server: weed.S3Server, endpoint: str) -> None:
    with pytest.raises(StoreError, match="AWS_ENDPOINT_URL_S3"):
        open_store(f"s3://{weed.BUCKET}", env={**s3_server.env, "AWS_ENDPOINT_URL_S3": endpoint}).get("x")


def test_a_bucket_with_an_impossible_name_is_said(s3_server: weed.S3Server) -> None:
    with pytest.raises(StoreError, match="check GANWORKS_STORE"):
        open_store("s3://No_Such Bucket!", env=s3_server.env).get("x")


def test_every_error_of_the_libraries_is_a_failure_of_the_store() -> None:
    """Whatever boto3, botocore and s3transfer can raise: their classes are read from them, not from a list of ours."""
    place = Place(uri="s3://b", bucket="b", where="there", object="s3://b/o")
    exceptions = [kind for module in (aws, boto, transfer) for kind in vars(module).values() if _is_error(kind)]
    assert len(exceptions) > 90
    known = tuple(kind for kinds, _ in CLASSES for kind in kinds)
    for kind in [*exceptions, ResponseParserError]:
        assert issubclass(kind, (*known, aws.ClientError, *NOT_OF_A_REQUEST)), kind
        if issubclass(kind, known):
            assert isinstance(explain(kind.__new__(kind), place), StoreError)


# Of code that stubs, describes or subscribes to requests: none of it is ours.
NOT_OF_A_REQUEST = (aws.UndefinedModelAttributeError, transfer.InvalidSubscriberMethodError, Warning)


def _is_error(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, Exception) and kind.__module__.startswith(("boto", "s3transfer"))


# --- the empty objects that consoles make for folders


def test_a_folders_object_is_no_file_anywhere(
    store: Store, s3_server: weed.S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in s3_server.env.items():
        monkeypatch.setenv(name, value)
    for key in ("faults/pictures/", "faults/pictures/cats/"):
        s3_server.client.put_object(Bucket=weed.BUCKET, Key=key, Body=b"")
    store.put("pictures/cats/1.png", b"png")
    assert [info.key for info in store.list("pictures/")] == ["pictures/cats/1.png"]
    uri = f"s3://{weed.BUCKET}/faults/pictures/"
    folder = remote.fetch(uri, remote.listing(uri), tmp_path, lambda *_: None)
    assert [path.name for path in folder.rglob("*") if path.is_file()] == ["1.png"]
    for request in (store.get, store.sha256, store.head, lambda key: store.put(key, b"")):
        with pytest.raises(StoreError, match="is not a key"):
            request("pictures/")


def test_an_object_that_is_also_a_folder_is_named(
    store: Store, s3_server: weed.S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in s3_server.env.items():
        monkeypatch.setenv(name, value)
    infos = [ObjectInfo(key=key, size=1, modified=0.0) for key in ("both/a", "both/a/b")]  # SeaweedFS has no such thing
    monkeypatch.setattr("jobs.store.s3.S3Store.list", lambda self, prefix: iter(infos))
    monkeypatch.setattr("jobs.store.s3.S3Store.get_file", lambda self, key, path: path.write_bytes(b"x"))
    with pytest.raises(remote.NotToBeHad, match=r"a/?b? is an object, and a folder of others"):
        remote.fetch(f"s3://{weed.BUCKET}/both", infos, tmp_path, lambda *_: None)
