"""The stack's processes: found by a mark in their environment, so that none is missed and no other is touched.

Ray starts two dozen processes that outlive their parents; all inherit the mark. Those that gave themselves a long
title have written it over their environment: they are known by their session, which they share with a marked one.
"""

import contextlib
import itertools
import os
import random
import signal
import time
from collections.abc import Iterator

import psutil

from orchestrator import addresses

MARK = "GANWORKS_STACK"


def marked(stack: str) -> Iterator[psutil.Process]:
    """Yield every process of a stack that is alive."""
    yield from _alive_of(stack, _sessions(stack))


def end(stack: str, *, grace: float = 3.0) -> int:
    """Ask, wait, then kill; returns how many there were. A busy Ray head takes half a minute to go by itself."""
    sessions = _sessions(stack)
    first = list(_alive_of(stack, sessions))
    for process in first:
        _signal(process, signal.SIGTERM)
    deadline = time.monotonic() + grace
    while any(_alive_of(stack, sessions)):
        if time.monotonic() > deadline:
            for process in _alive_of(stack, sessions):
                _signal(process, signal.SIGKILL)
        time.sleep(0.1)
    return len(first)


def _sessions(stack: str) -> set[int]:
    """Return the sessions that the stack's processes live in; each of them was begun for the stack alone."""
    found = {_session(process) for process in psutil.process_iter() if _mark(process) == stack}
    return found - {0, os.getsid(0)}


def _alive_of(stack: str, sessions: set[int]) -> Iterator[psutil.Process]:
    own = os.getpid()
    for process in psutil.process_iter():
        if process.pid != own and (_session(process) in sessions or _mark(process) == stack) and _is_alive(process):
            yield process


def _mark(process: psutil.Process) -> str | None:
    try:
        return process.environ().get(MARK)
    except (psutil.Error, OSError):
        return None


def _session(process: psutil.Process) -> int:
    try:
        return os.getsid(process.pid)
    except OSError:
        return 0


def _is_alive(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def _signal(process: psutil.Process, number: signal.Signals) -> None:
    with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
        process.send_signal(number)


def is_alive(pid: int, created: float) -> bool:
    """Return whether this very process runs; a pid alone may have been given away again."""
    try:
        process = psutil.Process(pid)
        return abs(process.create_time() - created) < 1 and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def created(pid: int) -> float:
    return psutil.Process(pid).create_time()


# Above the ports of Ray's workers, below the range from which systems give ports to outgoing connections: one of those could take a port between
# its choice here and the moment when a server binds it.
PORTS = range(20_000, 32_000)


def free_ports(count: int, host: str = "127.0.0.1") -> list[int]:
    """Return ports that nobody listens on now, all different, in no order."""
    return list(itertools.islice((p for p in random.sample(PORTS, len(PORTS)) if not is_taken(host, p)), count))


def is_taken(host: str, port: int) -> bool:
    try:
        addresses.listen(host, port).close()
    except addresses.CannotListen:
        return True
    return False
