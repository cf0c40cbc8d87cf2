"""`ganworks logs`, by the answers of a server: part after part, attempt after attempt, over a store that is away."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import typer

from orchestrator.cli.commands import logs
from orchestrator.cli.errors import CliError, Exit


class Server:
    """Logs by attempt; `script` says, look by look, what the job is then. A failure is an answer of its own."""

    def __init__(self, texts: dict[int, str], script: list[dict[str, Any]]) -> None:
        self.texts, self.script = texts, script
        self.failures: Iterator[bool] = iter(())
        self.asked: list[tuple[int, int]] = []

    def get(self, path: str, attempt: int = 0, offset: int = 0) -> Any:
        if not path.endswith("/logs"):
            look = self.script.pop(0) if len(self.script) > 1 else self.script[0]
            return {"id": "1", "name": "a", "failure": None, **look}
        if next(self.failures, False):
            raise CliError("the store gives no answer", Exit.UNREACHABLE)
        self.asked.append((attempt, offset))
        part = self.texts[attempt][offset : offset + 4]
        return {"text": part, "offset": offset + len(part)}


def print_logs(server: Server, follow: bool = False, attempt: int | None = None) -> int:
    context: Any = SimpleNamespace(obj=SimpleNamespace(client=server))
    try:
        logs.logs(context, "1", follow, attempt)
    except typer.Exit as end:
        return end.exit_code
    return 0


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "POLL", 0)


RUNNING, DONE = {"status": "RUNNING", "attempt": 1}, {"status": "SUCCEEDED", "attempt": 1}


def test_a_log_is_printed_part_by_part(capsys: pytest.CaptureFixture[str]) -> None:
    server = Server({1: "0123456789"}, [RUNNING])
    assert print_logs(server) == 0
    assert capsys.readouterr().out == "0123456789"
    assert [offset for _, offset in server.asked] == [0, 4, 8, 10]


def test_a_job_without_an_attempt_has_nothing_to_print(capsys: pytest.CaptureFixture[str]) -> None:
    assert print_logs(Server({}, [{"status": "QUEUED", "attempt": 0}])) == 0
    assert capsys.readouterr().out == ""


def test_following_goes_through_all_attempts_and_ends_as_the_job_does(capsys: pytest.CaptureFixture[str]) -> None:
    second = {"status": "RUNNING", "attempt": 2}
    server = Server({1: "one\n", 2: "two\n"}, [RUNNING, RUNNING, second, {**second, "status": "FAILED"}])
    assert print_logs(server, follow=True) == Exit.FAILED
    printed = capsys.readouterr()
    assert printed.out == "one\ntwo\n"
    assert "attempt 2" in printed.err


def test_following_outlasts_a_store_that_is_away_and_prints_nothing_twice(capsys: pytest.CaptureFixture[str]) -> None:
    server = Server({1: "0123456789"}, [RUNNING, RUNNING, RUNNING, RUNNING, DONE])
    server.failures = iter((False, True, True, False, True))
    assert print_logs(server, follow=True) == 0
    assert capsys.readouterr().out == "0123456789"


def test_who_only_looks_is_told_that_the_store_is_away() -> None:
    server = Server({1: "0123456789"}, [RUNNING])
    server.failures = iter((True,))
    with pytest.raises(CliError, match="no answer"):
        print_logs(server)


def test_an_attempt_that_is_named_is_the_one_that_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    server = Server({1: "one\n", 2: "two\n"}, [{"status": "SUCCEEDED", "attempt": 2}])
    assert print_logs(server, attempt=1) == 0
    assert capsys.readouterr().out == "one\n"
