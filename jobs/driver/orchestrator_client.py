"""The running job's line to the orchestrator: ticks out, commands back.

The orchestrator being down never stops a job: ticks wait in a bounded buffer, heartbeats are tried again,
and a result is sent until it is taken. Only the answer `stale` ends a job: another attempt has its place.
"""

import logging
import math
import os
import secrets
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx

BUFFERED = 10_000  # ticks kept while the orchestrator is away, about half a day
PATIENCE = 3600.0  # seconds a result is offered
logging.getLogger("httpx").setLevel(logging.WARNING)  # a line for each tick would drown the job's own log
COMMANDS = ("continue", "checkpoint_and_stop", "cancel", "stale")


class Stale(RuntimeError):
    """This attempt is not the job's current one any more: whatever it would publish is not wanted."""


class ClaimRefused(RuntimeError):
    """Another process has this attempt, or it is over."""


@dataclass(frozen=True, kw_only=True)
class Claim:
    """What the orchestrator answers to the first process that claims an attempt: all the job needs to know."""

    attempt_id: str
    number: int
    token: str
    project: str
    job_id: str
    job_name: str
    kind: str
    spec: dict[str, Any]
    references: dict[str, Any]
    workers: int
    cpus_per_worker: float
    gpus_per_worker: float
    store: dict[str, Any]
    secrets: dict[str, str]
    heartbeat_seconds: float
    url: str
    accepted: str | None = None  # the digest of the manifest that an earlier attempt committed
    lineage: list[dict[str, str]] | None = None  # checkpoints to resume from, newest first; None: never recorded


def claim(url: str, attempt_id: str, code: str, patience: float = 300.0) -> Claim:
    """Claim the attempt, once; the nonce lets a repeated request have the same answer. Raises ClaimRefused."""
    body = {"claim": code, "nonce": secrets.token_hex(16), "host": socket.gethostname(), "pid": os.getpid()}
    answer = _insist(lambda: httpx.post(f"{url}/api/v1/attempts/{attempt_id}/claim", json=body, timeout=30), patience)
    if answer is None or answer.status_code in (401, 403, 404, 409, 410):
        raise ClaimRefused(f"attempt {attempt_id}: {_reason(answer)}")
    answer.raise_for_status()
    known = {key: value for key, value in answer.json().items() if key in Claim.__dataclass_fields__}
    return Claim(**known, url=url)


def _reason(answer: httpx.Response | None) -> str:
    return (
        "the orchestrator does not answer" if answer is None else f"refused ({answer.status_code}): {answer.text[:300]}"
    )


def _insist(request: Callable[[], httpx.Response], patience: float) -> httpx.Response | None:
    """Repeat a request until it is answered (5xx does not count), with growing pauses; None when patience ends."""
    deadline, pause = time.monotonic() + patience, 0.2
    while True:
        try:
            answer = request()
            if answer.status_code < 500:
                return answer
        except httpx.HTTPError:
            pass
        if time.monotonic() + pause > deadline:
            return None
        time.sleep(pause)
        pause = min(2 * pause, 10.0)


def _finite(value: Any) -> Any:
    """JSON has no NaN: a tick that holds one becomes null there, or it would stay in the buffer for ever."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    return value


class Line:
    """Posts in the background; `command` is the newest answer. Used by the driver (heartbeats) and by rank 0 (ticks)."""

    def __init__(self, url: str, attempt_id: str, token: str, *, heartbeat_seconds: float | None = None) -> None:
        self.command = "continue"
        self._base = f"{url}/api/v1/attempts/{attempt_id}"
        self._client = httpx.Client(headers={"Authorization": f"Bearer {token}"}, timeout=15)
        self._ticks: deque[dict[str, Any]] = deque(maxlen=BUFFERED)
        self._heartbeat_seconds = heartbeat_seconds
        self._wake = threading.Event()
        self._closing = False
        self._thread = threading.Thread(target=self._post_for_ever, name="line", daemon=True)
        self._thread.start()

    def tick(self, tick: dict[str, Any]) -> str:
        """Hand over a tick without waiting; returns the newest command."""
        self._ticks.append(_finite({"time": time.time(), **tick}))
        self._wake.set()
        return self.command

    def event(self, kind: str, message: str, data: dict[str, Any] | None = None) -> None:
        """Tell people what happened; best effort, since the log has it too."""
        print(f"{kind}: {message}", flush=True)
        body = {"type": kind, "message": message, "data": data or {}}
        _insist(lambda: self._client.post(f"{self._base}/events", json=body), patience=5)

    def commit(self, sha256: str) -> None:
        """The orchestrator accepts the manifest's digest under this attempt's token. Raises Stale."""
        self._demand("commit", {"sha256": sha256})

    def lineage(self, checkpoints: list[dict[str, str]], patience: float) -> bool:
        """Have it recorded what may be resumed from now; False when nobody answers in time. Raises Stale."""
        try:
            self._demand("lineage", {"checkpoints": checkpoints}, patience)
        except TimeoutError:
            return False
        return True

    def result(
        self,
        outcome: str,
        *,
        failure: str | None = None,
        message: str = "",
        data: dict[str, Any] | None = None,
        exit_code: int | None = None,
        log: str = "",
    ) -> None:
        """How the attempt ended: succeeded, stopped, cancelled or failed; `exit_code` and `log` for rules on them."""
        body = {"outcome": outcome, "failure": failure, "message": message[:4000], "data": data or {}}
        self._demand("result", body | {"exit_code": exit_code, "log": log[-100_000:]})

    def _demand(self, route: str, body: dict[str, Any], patience: float = PATIENCE) -> None:
        answer = _insist(lambda: self._client.post(f"{self._base}/{route}", json=body), patience)
        if answer is None:
            raise TimeoutError(f"the orchestrator at {self._base} did not take the {route} within {patience:.0f} s")
        if answer.status_code in (401, 403, 404, 409, 410) or answer.json().get("command") == "stale":
            raise Stale(f"{route} refused: {_reason(answer)}")
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
        if answer.status_code in (401, 403, 404, 410):
            self.command = "stale"
        else:
            answer.raise_for_status()
            self.command = answer.json().get("command", "continue")
        for _ in batch:
            self._ticks.popleft()
        if self._ticks:
            self._wake.set()
