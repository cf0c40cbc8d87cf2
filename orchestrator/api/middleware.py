"""Around every request: its size is bounded, its time is measured."""

import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from orchestrator.api.errors import answer
from orchestrator.observability.process_metrics import ProcessMetrics

LARGEST = 16 << 20  # bytes of a request's body


class Bounded:
    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        announced = dict(scope["headers"]).get(b"content-length", b"0")
        if announced.isdigit() and int(announced) > LARGEST:
            await answer(413, f"a request is at most {LARGEST} bytes")(scope, receive, send)
            return
        await self.app(scope, _counted(receive), send)


def _counted(receive: Receive) -> Receive:
    seen = 0

    async def counted() -> Message:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        if seen > LARGEST:
            return {"type": "http.disconnect"}
        return message

    return counted


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
            labels = (scope["method"], path, str(code))
            self.process_metrics.http_seconds.labels(*labels).observe(time.perf_counter() - began)
