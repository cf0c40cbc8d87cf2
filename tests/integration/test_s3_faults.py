"""S3 as it is on a bad day: slow down, broken bodies, a wrong secret, no bucket, nobody there."""

from collections.abc import Iterator

import pytest

from jobs.store import AccessRefused, BucketMissing, Store, StoreError, StoreUnreachable, open_store
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
    monkeypatch.setattr("jobs.store.s3.TRIES", 2)
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
