"""Around every request: who asks is known before its body is read, its size and its time are bounded, and it has a lane.

Every route works in a thread. Each lane has threads of its own, so that readers of a slow store, or of a Ray that hangs,
take none from the drivers, whose silence would be their end.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import anyio
from anyio.to_thread import run_sync
from fastapi import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from orchestrator.api.errors import answer
from orchestrator.observability.process_metrics import ProcessMetrics

LARGEST = 16 << 20  # bytes of a request's body
UNKNOWN = 64 << 10  # bytes where the body itself says who asks: a claim
BODY_SECONDS = 30.0  # within which a body must be here
CLOSE = {"Connection": "close"}  # the rest of the body is not read
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
ATTEMPTS = "/api/v1/attempts/"


@dataclass(frozen=True, kw_only=True)
class Lane:
    threads: int
    patience: float  # seconds to wait for one, then 503


LANES = {
    "driver": Lane(threads=24, patience=60.0),  # its own time-outs are shorter
    "probe": Lane(threads=2, patience=2.0),
    "far": Lane(threads=8, patience=5.0),  # reads of the store and of Ray, which may be slow
    "user": Lane(threads=16, patience=10.0),
}
THREADS = sum(lane.threads for lane in LANES.values())


def lane_of(path: str) -> str:
    if path.startswith(ATTEMPTS):
        return "driver"
    if path in ("/healthz", "/readyz"):
        return "probe"
    last = path.rstrip("/").rpartition("/")[2]
    return "far" if last == "logs" or "/grids" in path else "user"


Opens = Callable[[str, str], None]  # (path, Authorization): raises HTTPException unless that token opens this path


class Lanes:
    """Waits for a thread of the request's lane; 503 after its patience."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self._free = {name: asyncio.Semaphore(lane.threads) for name, lane in LANES.items()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        name = lane_of(scope["path"])
        try:
            async with asyncio.timeout(LANES[name].patience):
                await self._free[name].acquire()
        except TimeoutError:
            await answer(503, "the server is busy; try again", headers={"Retry-After": "5"})(scope, receive, send)
            return
        try:
            await self.app(scope, receive, send)
        finally:
            self._free[name].release()


class TokenFirst:
    """Reads a body only of those who have a token, within its time and its size."""

    def __init__(self, app: ASGIApp, opens: Opens) -> None:
        self.app, self.opens = app, opens
        self._looking = anyio.CapacityLimiter(8)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not _has_body(scope):
            await self.app(scope, receive, send)
            return
        try:
            body = await self._body(scope, receive)
        except HTTPException as error:
            headers = {**(error.headers or {}), **CLOSE}
            await answer(error.status_code, str(error.detail), headers=headers)(scope, receive, send)
            return
        if body is not None:
            await self.app(scope, _again(body, receive), send)

    async def _body(self, scope: Scope, receive: Receive) -> bytes | None:
        """Return the body, or None when the client is gone. Raises HTTPException."""
        path, most = scope["path"], LARGEST
        if path.startswith(ATTEMPTS) and path.endswith("/claim"):
            most = UNKNOWN
        else:
            said = dict(scope["headers"]).get(b"authorization", b"").decode("latin-1")
            await run_sync(self.opens, path, said, limiter=self._looking)
        announced = dict(scope["headers"]).get(b"content-length", b"0")
        if announced.isdigit() and int(announced) > most:
            raise HTTPException(413, f"a request is at most {most} bytes")
        try:
            async with asyncio.timeout(BODY_SECONDS):
                return await _read(receive, most)
        except TimeoutError:
            raise HTTPException(408, f"a body is expected within {BODY_SECONDS:g} s") from None


def _has_body(scope: Scope) -> bool:
    headers = dict(scope["headers"])
    return b"transfer-encoding" in headers or headers.get(b"content-length", b"0") != b"0"


async def _read(receive: Receive, most: int) -> bytes | None:
    parts, size, more = [], 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > most:
            raise HTTPException(413, f"a request is at most {most} bytes")
        more = message.get("more_body", False)
    return b"".join(parts)


def _again(body: bytes, receive: Receive) -> Callable[[], Awaitable[Message]]:
    given = False

    async def once() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return once


class Timed:
    def __init__(self, app: ASGIApp, process_metrics: ProcessMetrics) -> None:
        self.app = app
        self.process_metrics = process_metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began, code = time.perf_counter(), 500

        async def noted(message: Message) -> None:
            nonlocal code
            if message["type"] == "http.response.start":
                code = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, noted)
        finally:
            route = scope.get("route")
            path = getattr(route, "path", "unknown")  # the pattern: a path with ids would be endless series
            method = scope["method"] if scope["method"] in METHODS else "other"  # so would invented methods
            self.process_metrics.http_seconds.labels(method, path, str(code)).observe(time.perf_counter() - began)
