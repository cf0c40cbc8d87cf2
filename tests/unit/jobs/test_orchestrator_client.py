"""The line to the orchestrator: nothing is lost while it is away, `stale` is heard, a claim is repeated with its nonce."""

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from jobs import wire
from jobs.driver import orchestrator_client
from jobs.driver.orchestrator_client import ClaimRefused, OrchestratorClient, Stale
from jobs.wire import Mismatch, TrainTick
from tests.support.orchestrator import Orchestrator


@pytest.fixture
def orchestrator() -> Iterator[Orchestrator]:
    server = Orchestrator()
    yield server
    server.stop()


def until(condition, seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def tick(examples: int, **more: Any) -> TrainTick:
    return TrainTick(
        examples=examples, steps=examples, total_examples=1000, seconds=1.0, examples_per_second=1.0, **more
    )


def ticks(orchestrator: Orchestrator) -> list[int]:
    return [tick["examples"] for body in orchestrator.sent("ticks") for tick in body["ticks"]]


def test_ticks_wait_while_the_orchestrator_is_away_and_keep_their_order(orchestrator: Orchestrator) -> None:
    client = OrchestratorClient(orchestrator.url, "a-1", "token")
    orchestrator.status = 503
    for examples in range(250):
        client.tick(tick(examples))
    time.sleep(0.3)
    assert ticks(orchestrator) == []
    orchestrator.status = 200
    until(lambda: len(ticks(orchestrator)) == 250)
    assert ticks(orchestrator) == list(range(250))
    client.close()


def test_the_newest_answer_is_the_command(orchestrator: Orchestrator) -> None:
    client = OrchestratorClient(orchestrator.url, "a-1", "token", heartbeat_seconds=0.05)
    until(lambda: orchestrator.sent("heartbeat"))
    assert client.command == "continue"
    orchestrator.command = "checkpoint_and_stop"
    until(lambda: client.command == "checkpoint_and_stop")
    client.close()


def test_a_tick_that_is_no_number_does_not_hold_up_the_others(orchestrator: Orchestrator) -> None:
    client = OrchestratorClient(orchestrator.url, "a-1", "token")
    client.tick(tick(1, stats={"loss/generator": float("nan")}))
    client.tick(tick(2))
    until(lambda: ticks(orchestrator) == [1, 2])
    assert orchestrator.sent("ticks")[0]["ticks"][0]["stats"] == {"loss/generator": None}
    client.close()


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_a_refused_token_means_stale(orchestrator: Orchestrator, status: int) -> None:
    client = OrchestratorClient(orchestrator.url, "a-1", "token", heartbeat_seconds=0.05)
    orchestrator.status = status
    until(lambda: client.command == "stale")
    client.close()


def test_closing_sends_what_is_left(orchestrator: Orchestrator) -> None:
    client = OrchestratorClient(orchestrator.url, "a-1", "token")
    client.tick(tick(1))
    client.close()
    assert ticks(orchestrator) == [1]


def test_a_commit_that_is_refused_is_stale(orchestrator: Orchestrator) -> None:
    client = OrchestratorClient(orchestrator.url, "a-1", "token")
    client.commit("ab" * 32)
    orchestrator.status = 409
    with pytest.raises(Stale):
        client.commit("ab" * 32)
    client.close()


def test_a_claim_goes_on_through_errors_of_the_server(orchestrator: Orchestrator) -> None:
    orchestrator.status = 500
    threading.Timer(0.3, lambda: setattr(orchestrator, "status", 200)).start()
    with pytest.raises(
        Mismatch, match=f"this driver speaks wire version {wire.VERSION}, the server 1; missing field attempt_id"
    ):  # this server's answer is no claim; that it came is what counts
        orchestrator_client.claim(orchestrator.url, "a-1", "code")
    assert len(orchestrator.sent("claim")) == 1


def test_a_second_claimant_is_turned_away(orchestrator: Orchestrator) -> None:
    orchestrator.status = 409
    with pytest.raises(ClaimRefused, match="refused"):
        orchestrator_client.claim(orchestrator.url, "a-1", "code")


def test_a_server_of_another_version_is_named(orchestrator: Orchestrator) -> None:
    orchestrator.status = 426
    with pytest.raises(Mismatch, match="426"):
        orchestrator_client.claim(orchestrator.url, "a-1", "code")


def test_ticks_that_the_server_does_not_understand_hold_up_no_others(orchestrator: Orchestrator) -> None:
    client = OrchestratorClient(orchestrator.url, "a-1", "token")
    orchestrator.status = 422
    client.tick(tick(1))
    until(lambda: not client._ticks)
    orchestrator.status = 200
    client.tick(tick(2))
    until(lambda: ticks(orchestrator) == [2])
    client.close()
