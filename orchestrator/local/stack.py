"""The embedded stack: a Ray head and a server as children, watched, started again when they die, ended by pid."""

import contextlib
import errno
import os
import secrets
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import httpx

import ganworks_launcher
from jobs import direct, locks
from orchestrator import addresses, signals, tokens
from orchestrator.local import limits, processes, ray_head, record
from orchestrator.local.record import Record

READY_WITHIN = 600.0  # seconds; on a machine that is ten times busier Ray takes minutes
ROOM = 32 << 20  # bytes that a home must have free: with less, database and logs cannot even say so
LOGS = {"Ray": "ray.log", "the orchestrator": "server.log"}
WATCH = 1.0
SOON, MOST_DEATHS = 90.0, 5  # seconds between two deaths of Ray that count as a row; how many are given up on
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
        self._deaths, self._died = 0, -SOON  # of Ray, each soon after the one before; when it died last
        self._watcher: threading.Thread | None = None
        self._lock: contextlib.ExitStack = contextlib.ExitStack()

    @property
    def url(self) -> str:
        assert self.record
        return self.record.url

    @property
    def token(self) -> str:
        return os.environ.get("GANWORKS_TOKEN", "").strip() or tokens.kept(self.home / "token")  # as the server does

    def start(self, say: Callable[[str], None] = lambda text: None) -> None:
        """Bring everything up; returns when jobs can be submitted. Raises StackError."""
        try:
            self.home.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._lock.enter_context(_only_keeper(self.home))
        except OSError as error:
            raise StackError(
                f"GANWORKS_HOME: {error.filename or self.home}: {error.strerror}; set it to a folder that can be written"
            ) from None
        try:
            self._check_room()
            self.record = self._adopt() or self._new_record()
            self._say_what_is_odd(say)
            record.write(self.home, self.record)
            self._start_children(say)
        except (OSError, ray_head.CannotStart) as error:
            self.stop()
            raise StackError(_reason(error)) from None
        except BaseException:
            self.stop()
            raise
        self._watcher = threading.Thread(target=self._watch, name="watch", daemon=True)
        self._watcher.start()

    def _check_room(self) -> None:
        free = shutil.disk_usage(self.home).free
        if free < ROOM:
            raise StackError(
                f"GANWORKS_HOME: {self.home}: {os.strerror(errno.ENOSPC)}: {free >> 20} MiB are free, {ROOM >> 20} are needed; "
                "free some, or set it to another folder"
            )

    def _say_what_is_odd(self, say: Callable[[str], None]) -> None:
        for clash in ganworks_launcher.clashes():
            say(clash)
        allowed = limits.find()
        if allowed.cpus < 1:
            say(f"this machine gives {allowed.cpus:g} of a CPU; it is taken for one, and jobs run slowly")

    def _adopt(self) -> Record | None:
        """Adopt a stack whose keeper was killed: its Ray and its jobs may run on, and are kept if they do."""
        old = record.read(self.home)
        if old is None:
            return None
        if ray_head.answers(self.home, old.ray_ports) and any(processes.marked(old.stack)):
            return replace(old, pid=os.getpid(), created=processes.created(os.getpid()))
        processes.end(old.stack)
        ray_head.clean(old.folder)
        return None

    def _new_record(self) -> Record:
        port = self.port or processes.free_ports(1)[0]
        try:
            addresses.listen(self.host, port).close()
        except addresses.CannotListen as error:
            raise StackError(f"{error}; --host and --port, or GANWORKS_HOST and GANWORKS_PORT, say where") from None
        ports, stack = ray_head.choose_ports(), secrets.token_hex(8)
        return Record(
            stack=stack,
            pid=os.getpid(),
            created=processes.created(os.getpid()),
            url=addresses.url(addresses.from_here(self.host), port),
            ray_url=ray_head.url(ports),
            ray_ports=ports,
            folder=str(ray_head.temporary(stack, self.home)),
        )

    def _start_children(self, say: Callable[[str], None]) -> None:
        assert self.record
        if not ray_head.answers(self.home, self.record.ray_ports):
            say("starting Ray")
            self._start_ray()
        if not self._server_answers():
            say("starting the orchestrator")
            self._start_server()
        self._await(self._server_answers, "the orchestrator")
        say("waiting for Ray")
        self._await_ray(say)

    def _await_ray(self, say: Callable[[str], None]) -> None:
        """Wait until jobs can be submitted. On a busy machine Ray gives itself up after half a minute: it is started again."""
        assert self.record
        ports = self.record.ray_ports
        deadline = time.monotonic() + READY_WITHIN
        while True:
            try:
                return self._await(
                    lambda: ray_head.answers(self.home, ports) and self._cluster_is_seen(), "Ray", "the orchestrator"
                )
            except StackError as error:
                if ray_head.TOO_SLOW not in str(error) or time.monotonic() > deadline:
                    raise
                say("Ray was not ready in its own time; starting it again")
                self._restart_ray()

    def _start_ray(self) -> None:
        assert self.record
        try:
            self._ray = ray_head.start(self.home, self.record.stack, self.record.ray_ports, self.cpus, self._folder)
        except ray_head.CannotStart as error:
            raise StackError(str(error)) from None

    @property
    def _folder(self) -> Path:
        assert self.record
        return Path(self.record.folder)

    def _start_server(self) -> None:
        assert self.record
        port = self.record.url.rpartition(":")[2]
        env = ray_head.environment(self.home, self.record.stack, self._folder) | {
            "GANWORKS_HOST": self.host,
            "GANWORKS_PORT": port,
            "GANWORKS_RAY_ADDRESS": self.record.ray_url,
        }
        env.pop("GANWORKS_URL", None)
        env.setdefault("GANWORKS_ADVERTISE_URL", self.record.url)  # drivers run on this machine
        with (self.home / "server.log").open("ab") as log:
            self._server = subprocess.Popen(
                [ray_head.interpreter(self._folder), "-P", "-m", "ganworks_launcher", "orchestrator.serve"],
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _server_answers(self) -> bool:
        assert self.record
        try:
            return self._get("/healthz", timeout=2).status_code == 200
        except httpx.HTTPError:
            return False

    def _cluster_is_seen(self) -> bool:
        """Return whether the head's node has registered, and the server has looked since: before that no gang fits."""
        try:
            answer = self._get("/api/v1/cluster", timeout=5)
            return answer.status_code == 200 and answer.json()["cpus"]["total"] > 0
        except httpx.HTTPError:
            return False

    def _get(self, path: str, timeout: float) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.token}"}
        with direct.client(headers=headers, timeout=timeout) as http:
            return http.get(f"{self.url}{path}")

    def _await(self, ready: Callable[[], bool], *watched: str) -> None:
        """Wait for what may take minutes, as long as these live. Raises StackError with the last words of one that died."""
        deadline = time.monotonic() + READY_WITHIN
        while not ready():
            for name in watched:
                child = self._ray if name == "Ray" else self._server
                if child is not None and child.poll() is not None:
                    said = _tail(self.home / LOGS[name])
                    raise StackError(f"{name} ended at once (exit code {child.returncode}):\n{said}")
            if time.monotonic() > deadline:
                raise StackError(
                    f"{watched[0]} is not ready after {READY_WITHIN:.0f} s; see {self.home / LOGS[watched[0]]}"
                )
            time.sleep(0.1)

    def _watch(self) -> None:
        """Start again what died. Ray is also dead when its head lives but the dashboard does not answer."""
        assert self.record
        misses = 0.0
        while not self._stopping.wait(WATCH):
            misses = 0.0 if ray_head.answers(self.home, self.record.ray_ports) else misses + WATCH
            gone = self._ray is not None and self._ray.poll() is not None
            if gone or misses >= DASHBOARD_MISSES:
                self._count_death()
                self._restart_ray()
                misses = -30.0  # a head needs its time to come up
            server_gone = self._server.poll() is not None if self._server else not self._server_answers()
            if server_gone and not self._stopping.is_set():
                self._start_server()
                time.sleep(3)

    def check(self) -> None:
        """Raise StackError once Ray has died again and again: what it dies of does not go away by itself."""
        if self._deaths >= MOST_DEATHS:
            raise StackError(
                f"Ray ended {self._deaths} times in a row; {self.home / 'ray.log'} ends with:\n{_tail(self.home / 'ray.log')}"
            )

    def _count_death(self) -> None:
        now = time.monotonic()
        self._deaths = self._deaths + 1 if now - self._died < SOON else 1
        self._died = now

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
        """End every process of the stack, and nothing else; no signal interrupts it half-way."""
        with signals.deaf():
            self._stop()

    def _stop(self) -> None:
        self._stopping.set()
        if self._watcher:
            self._watcher.join(timeout=10)
        if self.record:
            processes.end(self.record.stack)
            ray_head.clean(self.record.folder)
            record.remove(self.home)
        for child in (self._ray, self._server):
            if child:
                child.wait()
        self._lock.close()


def _reason(error: Exception) -> str:
    """Return what the machine refused, with the file's name."""
    return f"{error.filename}: {error.strerror}" if isinstance(error, OSError) and error.filename else str(error)


def _command_line(process: object) -> list[str]:
    try:
        return process.cmdline()  # type: ignore[attr-defined]
    except Exception:
        return []


def _tail(path: Path, lines: int = 12) -> str:
    try:
        return "\n".join(path.read_text("utf-8", errors="replace").splitlines()[-lines:])
    except OSError:
        return ""


@contextlib.contextmanager
def _only_keeper(home: Path) -> Iterator[None]:
    """Allow one keeper a home; the lock goes with its process."""
    try:
        file = locks.take(home / "keeper.lock", wait=False)
    except locks.Held:
        raise StackError(
            f"another ganworks works in {home}; wait for it, or set GANWORKS_HOME to another folder"
        ) from None
    try:
        yield
    finally:
        os.close(file)
