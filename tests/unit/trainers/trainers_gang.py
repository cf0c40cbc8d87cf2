"""Processes that run a function as the ranks of a process group; started once, since importing torch takes seconds."""

import tempfile
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Self

import torch.distributed as dist
import torch.multiprocessing as mp


class Gang:
    def __init__(self, size: int) -> None:
        context = mp.get_context("spawn")
        self._pipes, self._processes = [], []
        for _ in range(size):
            ours, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(theirs,), daemon=True)
            process.start()
            self._pipes.append(ours)
            self._processes.append(process)

    def run(self, world: int, function: Callable[..., Any], *args: Any) -> list[Any]:
        """function(rank, *args) on `world` ranks of a new process group; what each returned."""
        with tempfile.TemporaryDirectory() as folder:
            pipes = self._pipes[:world]
            for rank, pipe in enumerate(pipes):
                pipe.send((rank, world, f"file://{Path(folder) / 'store'}", function, args))
            answers = [pipe.recv() for pipe in pipes]
        for failure, _ in answers:
            if failure:
                raise AssertionError(failure)
        return [result for _, result in answers]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        for pipe, process in zip(self._pipes, self._processes, strict=True):
            pipe.send(None)
            process.join(10)
            pipe.close()


def _serve(pipe: Connection) -> None:
    while (order := pipe.recv()) is not None:
        rank, world, store, function, args = order
        try:
            if world > 1:
                dist.init_process_group("gloo", init_method=store, rank=rank, world_size=world)
            answer = (None, function(rank, *args))
        except Exception:
            answer = (traceback.format_exc(), None)
        # Answered when the group is gone: whoever has all answers deletes the store, and a rank that still closes
        # its group would wait for that file for half an hour.
        if dist.is_initialized():
            dist.destroy_process_group()
        pipe.send(answer)
