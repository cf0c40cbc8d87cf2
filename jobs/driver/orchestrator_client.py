"""The running job's client of the orchestrator: ticks out, commands back.

The orchestrator being down never stops a job: ticks wait in a bounded buffer, heartbeats are tried again,
and a result is sent until it is taken. Only the answer `stale` ends a job: another attempt has its place.
"""

import logging
import os
import secrets
import socket
import threading
from collections import deque
from collections.abc import Sequence
from http import HTTPStatus

import httpx
from pydantic import JsonValue

from jobs import direct, wire
from jobs.driver.retrying import until_answered
from jobs.wire import Claim, Command, Mismatch

BUFFERED = 10_000  # ticks kept while the orchestrator is away, about half a day
PATIENCE = 3600.0  # seconds a result is offered
HEADERS = {wire.HEADER: str(wire.VERSION)}
REFUSED = (401, 403, 404, 409, 410)  # answers that stay what they are, however often one asks
NOT_UNDERSTOOD = (HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.UPGRADE_REQUIRED)
logging.getLogger("httpx").setLevel(logging.WARNING)  # a line for each tick would drown the job's own log


class Stale(RuntimeError):
    """This attempt is not the job's current one any more: whatever it would publish is not wanted."""


class ClaimRefused(RuntimeError):
    """Another process has this attempt, or it is over."""


def claim(url: str, attempt_id: str, code: str, patience: float = 300.0) -> Claim:
    """Claim the attempt, once; the nonce lets a repeated request have the same answer.

    Raises ClaimRefused, or Mismatch when the server speaks another version of the wire.
    """
    request = wire.ClaimRequest(claim=code, nonce=secrets.token_hex(16), host=socket.gethostname(), pid=os.getpid())
    path = f"{url}/api/v1/attempts/{attempt_id}/claim"
    with direct.client(headers=HEADERS, timeout=30) as http:
        answer = until_answered(lambda: http.post(path, json=request.plain()), patience)
    if answer is None or answer.status_code in REFUSED:
        raise ClaimRefused(f"attempt {attempt_id}: {_reason(answer)}")
    if answer.status_code in NOT_UNDERSTOOD:
        raise Mismatch(_message(answer))
    answer.raise_for_status()
    return wire.read_claim(answer.json())


def _reason(answer: httpx.Response | None) -> str:
    if answer is None:
        return "the orchestrator does not answer"
    return f"refused ({answer.status_code}): {answer.text[:300]}"


def _message(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return _reason(answer)


class OrchestratorClient:
    """Posts in the background; `command` is the newest answer. Used by the driver (heartbeats) and by rank 0 (ticks)."""

    def __init__(self, url: str, attempt_id: str, token: str, *, heartbeat_seconds: float | None = None) -> None:
        self.command = Command.CONTINUE
        self._base = f"{url}/api/v1/attempts/{attempt_id}"
        self._client = direct.client(headers={"Authorization": f"Bearer {token}", **HEADERS}, timeout=15)
        self._ticks: deque[dict[str, JsonValue]] = deque(maxlen=BUFFERED)
        self._heartbeat_seconds = heartbeat_seconds
        self._wake = threading.Event()
        self._closing = False
        self._thread = threading.Thread(target=self._post_for_ever, name="orchestrator-client", daemon=True)
        self._thread.start()

    def tick(self, tick: wire.Tick) -> Command:
        """Hand over a tick without waiting; returns the newest command."""
        self._ticks.append(tick.model_dump(mode="json"))
        self._wake.set()
        return self.command

    def event(self, kind: str, message: str, data: dict[str, JsonValue] | None = None) -> None:
        """Tell people what happened; best effort, since the log has it too."""
        print(f"{kind}: {message}", flush=True)
        body = wire.Event(type=kind, message=message[:4000], data=data or {}).plain()
        key = {"Idempotency-Key": secrets.token_hex(8)}  # its answer may get lost, and it is told again
        until_answered(lambda: self._client.post(f"{self._base}/events", json=body, headers=key), patience=5)

    def commit(self, sha256: str) -> None:
        """Have the orchestrator accept the manifest's digest under this attempt's token. Raises Stale."""
        self._demand("commit", wire.Commit(sha256=sha256))

    def lineage(self, checkpoints: Sequence[wire.Recorded], patience: float) -> bool:
        """Have it recorded what may be resumed from now; False when nobody answers in time. Raises Stale."""
        try:
            self._demand("lineage", wire.Lineage(checkpoints=tuple(checkpoints)), patience)
        except TimeoutError:
            return False
        return True

    def result(self, result: wire.Result) -> None:
        """Say how the attempt ended. Raises Stale."""
        self._demand("result", result)

    def _demand(self, route: str, message: wire.Message, patience: float = PATIENCE) -> None:
        answer = until_answered(lambda: self._client.post(f"{self._base}/{route}", json=message.plain()), patience)
        if answer is None:
            raise TimeoutError(f"the orchestrator at {self._base} did not take the {route} within {patience:.0f} s")
        if answer.status_code in REFUSED or (answer.is_success and _command(answer) == Command.STALE):
            raise Stale(f"{route} refused: {_reason(answer)}")
        if answer.status_code in NOT_UNDERSTOOD:
            raise Mismatch(_message(answer))
        answer.raise_for_status()

    def close(self) -> None:
        """Send what is buffered, for a few seconds at most, and stop."""
        self._closing = True
        self._wake.set()
        self._thread.join(timeout=10)
        self._client.close()

    def _post_for_ever(self) -> None:
        pause = 0.0
        while not (self._closing and not self._ticks):
            self._wake.wait(self._heartbeat_seconds if not self._ticks else pause)
            self._wake.clear()
            try:
                self._post_once()
                pause = 0.0
            except (httpx.HTTPError, ValueError):  # away, restarting, or a proxy's error page
                if self._closing:
                    return
                pause = min(max(2 * pause, 0.5), 5.0)

    def _post_once(self) -> None:
        batch = list(self._ticks)[:100]
        if batch:
            answer = self._client.post(f"{self._base}/ticks", json={"ticks": batch})
        elif self._heartbeat_seconds:
            answer = self._client.post(f"{self._base}/heartbeat", json={})
        else:
            return
        self._hear(answer)
        for _ in batch:
            self._ticks.popleft()
        if self._ticks:
            self._wake.set()

    def _hear(self, answer: httpx.Response) -> None:
        if answer.status_code in (401, 403, 404, 410):
            self.command = Command.STALE
        elif answer.status_code in NOT_UNDERSTOOD:
            # It would never be taken: progress is lost, the work is not.
            print(f"the orchestrator does not take these ticks: {_message(answer)}", flush=True)
        else:
            answer.raise_for_status()
            self.command = _command(answer)


def _command(answer: httpx.Response) -> Command:
    return wire.Reply.model_validate(answer.json()).command
