"""A proxy between a client and a server that breaks things on purpose: 503s, resets inside a body, silence."""

import socket
import threading
from collections.abc import Callable
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlparse

# (method, path, number of the request) -> None, "503", "409", "reset" (before an answer), "cut" (inside the body), or
# "portal": the page of a network that wants a login, with status 200
Fault = Callable[[str, str, int], str | None]
_PAGE = b"<html><head><title>Welcome</title></head><body>Please log in to go on.</body></html>"
_REFUSALS = {"503": "SlowDown", "409": "ConditionalRequestConflict", "501": "NotImplemented"}
# What an older or a smaller store than Amazon's does not know: the condition of a put, and copies without a way through here.
_NEWER = ("if-none-match", "x-amz-copy-source")


class FaultProxy:
    """`fault` decides for each request; `url` is what the client is given.

    newer: what becomes of requests that not every store knows: `kept`, `ignored` (conditions alone), or `refused` with 501.
    """

    def __init__(self, upstream: str, fault: Fault = lambda method, path, number: None, *, newer: str = "kept") -> None:
        self.fault, self.seen, self.newer = fault, [], newer
        proxy, target = self, urlparse(upstream)

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None:
                pass

            def handle_any(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                proxy.seen.append((self.command, self.path))
                verdict = proxy.fault(self.command, self.path, len(proxy.seen))
                if proxy.newer == "refused" and any(name in self.headers for name in _NEWER):
                    verdict = "501"
                if proxy.newer == "ignored":
                    del self.headers["if-none-match"]
                if verdict in _REFUSALS:
                    return self.refuse(verdict)
                if verdict == "portal":
                    return self.answer(200, [("Content-Type", "text/html")], _PAGE, cut=False)
                if verdict == "reset":
                    return self.reset()
                connection = HTTPConnection(str(target.hostname), target.port, timeout=60)
                connection.request(self.command, self.path, body, dict(self.headers))
                answer = connection.getresponse()
                status, headers, content = answer.status, answer.getheaders(), answer.read()
                connection.close()
                self.answer(status, headers, content, cut=verdict == "cut")

            do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = handle_any

            def refuse(self, verdict: str) -> None:
                code = _REFUSALS[verdict]
                body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>planted</Message></Error>".encode()
                self.answer(int(verdict), [("Content-Type", "application/xml")], body, cut=False)

            def reset(self) -> None:
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                self.close_connection = True
                self.connection.close()

            def answer(self, status: int, headers: list[tuple[str, str]], body: bytes, *, cut: bool) -> None:
                self.send_response(status)
                hidden = ("transfer-encoding", "connection", "content-length")
                for name, value in headers:
                    if name.lower() not in hidden:
                        self.send_header(name, value)
                length = {n.lower(): v for n, v in headers}.get("content-length", len(body))
                self.send_header("Content-Length", str(length if self.command == "HEAD" else len(body)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body[: len(body) // 2] if cut else body)
                if cut:
                    self.wfile.flush()
                    self.reset()

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()
