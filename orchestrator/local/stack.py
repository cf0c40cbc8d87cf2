"""The embedded stack: a Ray head and a server as children, watched, started again when they die, ended by pid."""

import contextlib
import fcntl
import os
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import httpx

from orchestrator import tokens
from orchestrator.local import processes, ray_head, record
from orchestrator.local.record import Record

READY_WITHIN = 120.0  # seconds
WATCH = 1.0
DASHBOARD_MISSES = 15  # seconds a live head may leave its dashboard unanswered before it counts as dead


class StackError(RuntimeError):
    """The stack could not be started; the message says why and what to do."""


class Stack:
    """Start, watch, stop. `home` holds everything: database, store, tokens, logs, the record of what runs."""

    def __init__(
        self, home: Path, *, host: str = "127.0.0.1", port: int | None = None, cpus: int | None = None
    ) -> None:
        self.home, self.host, self.cpus = home.absolute(), host, cpus
        self.port = port
        self.record: Record | None = None
        self._ray: subprocess.Popen[bytes] | None = None
        self._server: subprocess.Popen[bytes] | None = None
        self._stopping = threading.Event()
        self._watcher: threading.Thread | None = None
        self._lock: contextlib.ExitStack = contextlib.ExitStack()

    @property
    def url(self) -> str:
        assert self.record
        return self.record.url

    @property
    def token(self) -> str:
        return tokens.kept(self.home / "token")

    def start(self, say: Callable[[str], None] = lambda text: None) -> None:
        """Bring everything up; returns when jobs can be submitted. Raises StackError."""
        self.home.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock.enter_context(_only_keeper(self.home))
        try:
            self.record = self._adopt() or self._new_record()
            record.write(self.home, self.record)
            self._start_children(say)
        except BaseException:
            self.stop()
            raise
        self._watcher = threading.Thread(target=self._watch, name="watch", daemon=True)
        self._watcher.start()

    def _adopt(self) -> Record | None:
        """Adopt a stack whose keeper was killed: its Ray and its jobs may run on, and are kept if they do."""
        old = record.read(self.home)
        if old is None:
            return None
        if ray_head.answers(self.home, old.ray_ports) and any(processes.marked(old.stack)):
            return replace(old, pid=os.getpid(), created=processes.created(os.getpid()))
        processes.end(old.stack)
        ray_head.clean(old.stack)
        return None

    def _new_record(self) -> Record:
        port = self.port or processes.free_ports(1)[0]
        if processes.is_taken(self.host, port):
            raise StackError(
                f"port {port} on {self.host} is taken; end what listens there, or choose another with --port or GANWORKS_PORT"
            )
        ports = ray_head.choose_ports()
        return Record(
            stack=secrets.token_hex(8),
            pid=os.getpid(),
            created=processes.created(os.getpid()),
            url=f"http://{self.host}:{port}",
            ray_url=ray_head.url(ports),
            ray_ports=ports,
        )

    def _start_children(self, say: Callable[[str], None]) -> None:
        assert self.record
        if not ray_head.answers(self.home, self.record.ray_ports):
            say("starting Ray")
            self._start_ray()
        if not self._server_answers():
            say("starting the orchestrator")
            self._start_server()
        self._await(lambda: self._server_answers(), lambda: self._server, "the orchestrator", "server.log")
        say("waiting for Ray")
        ports = self.record.ray_ports
        self._await(lambda: ray_head.answers(self.home, ports), lambda: self._ray, "Ray", "ray.log")
        self._await(self._cluster_is_seen, lambda: self._server, "the orchestrator's view of Ray", "server.log")

    def _start_ray(self) -> None:
        assert self.record
        try:
            self._ray = ray_head.start(self.home, self.record.stack, self.record.ray_ports, self.cpus)
        except ray_head.RayMissing as error:
            raise StackError(str(error)) from None

    def _start_server(self) -> None:
        assert self.record
        port = self.record.url.rpartition(":")[2]
        env = ray_head.environment(self.home, self.record.stack) | {
            "GANWORKS_HOST": self.host,
            "GANWORKS_PORT": port,
            "GANWORKS_RAY_ADDRESS": self.record.ray_url,
        }
        env.pop("GANWORKS_URL", None)
        env.setdefault("GANWORKS_ADVERTISE_URL", f"http://127.0.0.1:{port}")
        with (self.home / "server.log").open("ab") as log:
            self._server = subprocess.Popen(
                [sys.executable, "-P", "-m", "orchestrator.serve"],
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _server_answers(self) -> bool:
        assert self.record
        try:
            return httpx.get(f"{self.record.url}/healthz", timeout=2).status_code == 200
        except httpx.HTTPError:
            return False

    def _cluster_is_seen(self) -> bool:
        """Return whether the head's node has registered, and the server has looked since: before that no gang fits."""
        headers = {"Authorization": f"Bearer {self.token}"}
        try:
            answer = httpx.get(f"{self.url}/api/v1/cluster", headers=headers, timeout=5)
            return answer.status_code == 200 and answer.json()["cpus"]["total"] > 0
        except httpx.HTTPError:
            return False

    def _await(
        self, ready: Callable[[], bool], child: Callable[[], subprocess.Popen[bytes] | None], what: str, log: str
    ) -> None:
        deadline = time.monotonic() + READY_WITHIN
        while not ready():
            process = child()
            if process is not None and process.poll() is not None:
                raise StackError(f"{what} ended at once (exit code {process.returncode}):\n{_tail(self.home / log)}")
            if time.monotonic() > deadline:
                raise StackError(f"{what} is not ready after {READY_WITHIN:.0f} s; see {self.home / log}")
            time.sleep(0.1)

    def _watch(self) -> None:
        """Start again what died. Ray is also dead when its head lives but the dashboard does not answer."""
        assert self.record
        misses = 0.0
        while not self._stopping.wait(WATCH):
            misses = 0.0 if ray_head.answers(self.home, self.record.ray_ports) else misses + WATCH
            gone = self._ray is not None and self._ray.poll() is not None
            if gone or misses >= DASHBOARD_MISSES:
                self._restart_ray()
                misses = -30.0  # a head needs its time to come up
            server_gone = self._server.poll() is not None if self._server else not self._server_answers()
            if server_gone and not self._stopping.is_set():
                self._start_server()
                time.sleep(3)

    def _restart_ray(self) -> None:
        """Start a new head once the old one's raylets are gone: it cannot bind while one lives. The server stays."""
        assert self.record
        server = self._server.pid if self._server else None
        for process in processes.marked(self.record.stack):
            if process.pid != server and "orchestrator.serve" not in " ".join(_command_line(process)):
                with contextlib.suppress(Exception):
                    process.kill()
        if not self._stopping.is_set():
            self._start_ray()

    def stop(self) -> None:
        """End every process of the stack, and nothing else."""
        self._stopping.set()
        if self._watcher:
            self._watcher.join(timeout=10)
        if self.record:
            processes.end(self.record.stack)
            ray_head.clean(self.record.stack)
            record.remove(self.home)
        for child in (self._ray, self._server):
            if child:
                child.wait()
        self._lock.close()


def _command_line(process: object) -> list[str]:
    try:
        return process.cmdline()  # type: ignore[attr-defined]
    except Exception:
        return []


def _tail(path: Path, lines: int = 12) -> str:
    try:
        return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])
    except OSError:
        return ""


@contextlib.contextmanager
def _only_keeper(home: Path) -> Iterator[None]:
    """Allow one keeper a home; the lock goes with its process."""
    with (home / "keeper.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StackError(
                f"another ganworks works in {home}; wait for it, or set GANWORKS_HOME to another folder"
            ) from None
        yield
