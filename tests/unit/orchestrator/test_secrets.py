"""A canary: no token and no key of the store may be found in answers, logs, metrics, the bucket or the database."""

import io
import logging
from pathlib import Path

import pytest
import structlog
from server_bench import TOKEN, Bench, client, make_server, train

from orchestrator.observability import logs
from orchestrator.observability.redact import MASK, Redactor

CANARY = "canary-bird-0123456789"


@pytest.fixture
def caged(bench: Bench) -> Bench:
    """A server whose store credentials are the canary."""
    bench.close()
    env = {"AWS_SECRET_ACCESS_KEY": CANARY, "AWS_ACCESS_KEY_ID": "known"}
    bench.server = make_server(bench.server.settings.home, bench.cluster, bench.clock, store_env=env)
    bench.http = client(bench.server)
    bench.step()
    return bench


def test_the_canary_stays_in_its_cage(caged: Bench) -> None:
    (job,) = caged.submit(train(retry={"backoff": "1s"}))
    caged.step()
    driver = caged.driver(f"{job}-1")
    assert driver.claim().json()["store"]["env"]["AWS_SECRET_ACCESS_KEY"] == CANARY, "the claim's reply alone has it"
    secrets = (CANARY, TOKEN, driver.token, driver.code)
    driver.tick(phase="preparing", progress={"label": f"signed with {CANARY}", "done": 1})
    driver.call("events", {"type": "note", "message": f"key {CANARY}", "data": {"key": CANARY}})
    caged.cluster.entries[driver.id].log = f"boto said {CANARY}\n"
    driver.call("result", {"outcome": "failed", "failure": "storage", "message": f"bad key {CANARY}"})
    driver.dies()
    caged.step(10)
    caged.driver(f"{job}-2").dies(message=f"Ray quotes {CANARY}")
    caged.step(14)
    caged.post(f"/api/v1/jobs/{job}/cancel")
    caged.step(2)

    shown = "".join(
        caged.get(path).text
        for path in ("/api/v1/jobs", f"/api/v1/jobs/{job}", f"/api/v1/jobs/{job}/events", f"/api/v1/jobs/{job}/ticks",
                     f"/api/v1/jobs/{job}/logs?attempt=1", f"/api/v1/jobs/{job}/logs", "/api/v1/cluster", "/metrics")
    )  # fmt: skip
    home = caged.server.settings.home
    kept = b"".join(path.read_bytes() for path in home.rglob("ganworks.db*"))
    entries = [f"{entry.env}{entry.metadata}{entry.entrypoint}" for entry in caged.cluster.entries.values()]
    for secret in secrets:
        assert secret not in shown
        assert secret.encode() not in kept
    for secret in (CANARY, TOKEN, driver.token):
        assert secret not in "".join(entries), "Ray shows this in plain text"
    assert MASK in shown


def test_the_log_in_the_bucket_is_redacted(caged: Bench) -> None:
    import gzip

    (job,) = caged.submit(train())
    caged.step()
    driver = caged.driver(f"{job}-1")
    caged.cluster.entries[driver.id].log = f"boto said {CANARY}\n"
    driver.result("succeeded")
    caged.step(4)
    stored = gzip.decompress(caged.server.store.get(caged.job(job).layout.log(1))).decode()
    assert stored == f"boto said {MASK.ljust(len(CANARY), '*')}\n"  # as many bytes as before


@pytest.fixture
def sink() -> io.StringIO:
    """The server's own log, caught; what pytest had set up is put back."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    logs.set_up(Redactor([CANARY]), terminal=False)
    stream = io.StringIO()
    root.handlers[0].setStream(stream)  # type: ignore[attr-defined]
    yield stream  # type: ignore[misc]
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()


def test_logs_are_redacted_at_the_sink(sink: io.StringIO) -> None:
    log = structlog.get_logger("test")
    log.info(f"hello {CANARY}", header={"Authorization": "Bearer abc"}, detail=[CANARY])
    logging.getLogger("a.library").warning("its message has %s", CANARY)
    try:
        raise ValueError(CANARY)
    except ValueError:
        log.exception("failed")
    written = sink.getvalue()
    assert CANARY not in written
    assert "Bearer" not in written
    assert written.count(MASK) >= 5


def test_short_values_do_not_eat_words() -> None:
    assert Redactor(["a", "", "password1"]).text("a cat and password1") == f"a cat and {MASK}"


def test_a_token_file_is_not_world_readable(tmp_path: Path) -> None:
    from orchestrator import tokens

    path = tmp_path / "new" / "token"
    assert tokens.kept(path) == tokens.kept(path)
    assert path.stat().st_mode & 0o077 == 0
