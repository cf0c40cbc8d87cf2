"""An orchestrator that answers as it is told, for tests of what drivers send."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Orchestrator:
    """A server that answers as it is told, and keeps what it was sent."""

    def __init__(self) -> None:
        self.status, self.command = 200, "continue"
        self.got: list[tuple[str, dict[str, Any]]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_: object) -> None:
                pass

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                status = outer.status
                if status == 200:
                    outer.got.append((self.path.rpartition("/")[2], body))
                answer = json.dumps({"command": outer.command}).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def sent(self, route: str) -> list[dict[str, Any]]:
        return [body for name, body in self.got if name == route]

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()
