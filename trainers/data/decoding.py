"""Encoded pictures to fitted arrays, in their order: here, or in processes beside this one where there are many.

A process is a plain child that speaks pickles over its pipes; it ends when they close, however its parent died. It is
not multiprocessing's, which would import the parent's own program again in each.
"""

import os
import pickle
import queue
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from trainers.data.fit import Way, fit, fitting
from trainers.data.readers.decode import UnreadableImage, decode

WORTH = 2000  # pictures from which it pays to start processes: each imports for half a second
CHUNK_PICTURES, CHUNK_BYTES = 32, 4 << 20  # handed over at once: few hops, little memory
AHEAD = 2  # chunks of each process that wait or are under way

OURS = str(Path(__file__).parents[2])

Content = bytes | np.ndarray  # an encoded picture, or one that is decoded already


class ProcessDied(RuntimeError):
    """A process that decodes pictures has ended, by the kernel's want of memory or somebody's kill."""


@dataclass(frozen=True)
class Fitted:
    """What became of one picture: its pixels and what was done to them, or why it cannot be used."""

    picture: np.ndarray | None = None  # [height, width, channels]
    how: str = ""  # as fit.fitting says
    problem: str | None = None


def fitted(read: Callable[[], Content], resolution: int | None, way: Way | None) -> Fitted:
    """Return a picture at a resolution; None keeps its own."""
    try:
        content = read()
        picture = (
            decode(content, at_least=2 * resolution if resolution else None) if isinstance(content, bytes) else content
        )
    except UnreadableImage as error:
        return Fitted(problem=str(error))
    if resolution is None:
        return Fitted(picture, "kept")
    return Fitted(fit(picture, resolution, way), fitting(picture, resolution, way))


def fitted_in_order(
    reads: Iterable[Callable[[], Content]], resolution: int | None, way: Way | None, *, processes: int
) -> Iterator[Fitted]:
    """Yield what becomes of each picture, in the order of `reads`, of which only a few chunks are read ahead.

    Files are read here and decoded there: what is decoded already stays. Raises ProcessDied.
    """
    if processes < 2:
        yield from (fitted(read, resolution, way) for read in reads)
        return
    with ExitStack() as stack:
        idle: queue.SimpleQueue[_Process] = queue.SimpleQueue()
        for _ in range(processes):
            idle.put(stack.enter_context(_Process(resolution, way)))
        pool = stack.enter_context(ThreadPoolExecutor(processes))
        stack.callback(pool.shutdown, cancel_futures=True)
        chunks, coming = _chunks(reads), deque[Future[list[Fitted]]]()
        while True:
            coming.extend(
                pool.submit(_in_some, idle, chunk) for chunk in islice(chunks, AHEAD * processes - len(coming))
            )
            if not coming:
                return
            yield from coming.popleft().result()


def _in_some(idle: "queue.SimpleQueue[_Process]", chunk: list[bytes | Fitted]) -> list[Fitted]:
    """Have a chunk decoded by a process that is idle; what needs no process passes by it."""
    process = idle.get()
    try:
        decoded = iter(process.fitted([content for content in chunk if isinstance(content, bytes)]))
    finally:
        idle.put(process)
    return [next(decoded) if isinstance(content, bytes) else content for content in chunk]


def _chunks(reads: Iterable[Callable[[], Content]]) -> Iterator[list[bytes | Fitted]]:
    """Read pictures until a chunk is full. What is no encoded picture is fitted where it is: it is an array, or unreadable."""
    chunk: list[bytes | Fitted] = []
    size = 0
    for read in reads:
        try:
            content = read()
        except UnreadableImage as error:
            chunk.append(Fitted(problem=str(error)))
            continue
        assert isinstance(content, bytes), "a source's pictures are all encoded, or none"
        chunk.append(content)
        size += len(content)
        if len(chunk) >= CHUNK_PICTURES or size >= CHUNK_BYTES:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


class _Process:
    """One child; used by one thread at a time."""

    def __init__(self, resolution: int | None, way: Way | None) -> None:
        command = [sys.executable, "-P", "-m", "trainers.data.decoding_process", str(resolution or 0), way or ""]
        path = os.pathsep.join(filter(None, (OURS, os.environ.get("PYTHONPATH"))))  # no other `trainers` goes first
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path}
        self._child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)

    def fitted(self, contents: list[bytes]) -> list[Fitted]:
        """Return what becomes of encoded pictures. Raises ProcessDied."""
        assert self._child.stdin
        assert self._child.stdout
        if not contents:
            return []
        try:
            pickle.dump(contents, self._child.stdin, pickle.HIGHEST_PROTOCOL)
            self._child.stdin.flush()
            answer: list[Fitted] = pickle.load(self._child.stdout)
            return answer
        except (OSError, EOFError, pickle.UnpicklingError):
            code = self._child.wait()
            raise ProcessDied(
                f"a process that decodes pictures ended with {code}; is there too little memory?"
            ) from None

    def __enter__(self) -> "_Process":
        return self

    def __exit__(self, *error: object) -> None:
        self._child.kill()
        for pipe in (self._child.stdin, self._child.stdout):
            if pipe:
                _close(pipe)
        self._child.wait()


def _close(pipe: Any) -> None:
    with suppress(OSError):  # what was still to be written goes nowhere
        pipe.close()
