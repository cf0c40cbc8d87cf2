"""run, up, down, serve, doctor: everything on this machine."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestrator import signals
from orchestrator.cli.errors import CliError, Exit
from orchestrator.cli.files import File, Overrides, Parameters, documents
from orchestrator.cli.output import note
from orchestrator.cli.target import Target, home
from orchestrator.states import ENDED, Status

if TYPE_CHECKING:
    from jobs.specs.spec import Plain

PORT = 8420
Cpus = Annotated[int | None, typer.Option(min=1, help="CPUs that Ray may use; all by default")]


def register(app: typer.Typer) -> None:
    for command in (run, up, down, serve, doctor):
        app.command()(command)


def run(
    file: File,
    parameter: Parameters = None,
    override: Overrides = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="begin anew instead of going on")] = False,
    cpus: Cpus = None,
) -> None:
    """Run a file's jobs here, with everything they need, and leave nothing running.

    Ctrl-C, SIGTERM and a closed terminal take a checkpoint and end; the same command goes on from there.
    """
    specs = documents(file, parameter, override, data_is_here=True)
    from orchestrator.cli import follow
    from orchestrator.cli.results import print_results
    from orchestrator.local import record

    kept = record.read(home())
    with _orderly():
        if kept and kept.keeper_is_alive:
            client, stop, alive = Target(url=kept.url).client, _nothing, _nothing
        else:
            client, stop, alive = _embedded(cpus)
        ids: list[str] = []
        try:
            ids = _begin(client, specs, fresh)
            jobs = follow.follow(client, ids, alive=alive)
            _await_archive(client, ids)
        except KeyboardInterrupt:
            _suspend(client, ids or _unfinished(client, specs), file)
            raise
        finally:
            stop()
    print_results(jobs)
    raise typer.Exit(follow.worst(jobs))


@contextmanager
def _orderly() -> Iterator[None]:
    """Let SIGTERM and SIGHUP interrupt as Ctrl-C does; the exit code says which it was."""
    try:
        with signals.like_ctrl_c():
            yield
    except KeyboardInterrupt as interrupt:
        raise typer.Exit(signals.exit_code(interrupt)) from None


def _nothing() -> None:
    pass


def _embedded(cpus: int | None) -> tuple[Any, Any, Any]:
    """Return the client of a stack that was started, what ends it, and what raises CliError once it cannot go on."""
    from orchestrator.cli.client import Client
    from orchestrator.local import Stack, StackError

    stack = Stack(home(), cpus=cpus)
    try:
        stack.start(note)
    except StackError as error:
        raise CliError(str(error)) from None

    def alive() -> None:
        try:
            stack.check()
        except StackError as error:
            raise CliError(str(error)) from None

    return Client(stack.url, stack.token), stack.stop, alive


def _begin(client: Any, specs: "list[Plain]", fresh: bool) -> list[str]:
    """Submit, or go on with what an earlier run of the same file left unfinished."""
    if fresh:
        _cancel_unfinished(client, specs)
    jobs = client.submit(specs, key=None, once=True)["jobs"]
    for job in jobs:
        if job["status"] == "SUSPENDED":
            note(f"{job['name']}: going on where it was stopped (--fresh begins anew)")
            client.post(f"/jobs/{job['id']}/resume")
    return [job["id"] for job in jobs]


def _unfinished(client: Any, specs: "list[Plain]") -> list[str]:
    """Return the ids of jobs of these names that have not ended."""
    names = {spec["name"] for spec in specs}
    jobs = client.get("/jobs", limit=1000)["jobs"]
    return [job["id"] for job in jobs if job["name"] in names and job["status"] not in ENDED]


def _cancel_unfinished(client: Any, specs: "list[Plain]") -> None:
    for job in _unfinished(client, specs):
        client.post(f"/jobs/{job}/cancel")
    while _unfinished(client, specs):
        time.sleep(0.3)


def _await_archive(client: Any, ids: list[str], patience: float = 20.0) -> None:
    """Wait for events and logs: they reach the store a moment after a job's end, and Ray's copy dies with its head."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        jobs = [client.get(f"/jobs/{job}") for job in ids]
        if all(job["archived"] and all(attempt["archived"] for attempt in job["attempts"]) for job in jobs):
            return
        time.sleep(0.3)


def _suspend(client: Any, ids: list[str], file: str) -> None:
    """Answer Ctrl-C with a checkpoint, then the end. A second Ctrl-C does not wait for it."""
    note("stopping with a checkpoint; Ctrl-C again ends at once")
    try:
        settled = ENDED | {Status.SUSPENDED}
        for job in ids:
            if client.get(f"/jobs/{job}")["status"] not in settled:
                client.post(f"/jobs/{job}/suspend")
        while any(client.get(f"/jobs/{job}")["status"] not in settled for job in ids):
            time.sleep(0.3)
        note(f"stopped; `ganworks run {file}` goes on from here")
    except (KeyboardInterrupt, CliError):
        note(f"stopped at once; `ganworks run {file}` goes on from the newest checkpoint")


def up(
    host: Annotated[
        str, typer.Option(help="where the server listens [GANWORKS_HOST]", envvar="GANWORKS_HOST")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="[GANWORKS_PORT]", envvar="GANWORKS_PORT", min=1, max=65535)] = PORT,
    cpus: Cpus = None,
) -> None:
    """Start Ray and the server on this machine, in the background."""
    from orchestrator.local import record

    kept = record.read(home())
    if kept and kept.keeper_is_alive:
        return _say_up(kept)
    home().mkdir(parents=True, exist_ok=True, mode=0o700)
    log = home() / "keeper.log"
    arguments = [str(home()), "--host", host, "--port", str(port), *(["--cpus", str(cpus)] if cpus else [])]
    with log.open("wb") as output:
        keeper = subprocess.Popen(
            [sys.executable, "-P", "-m", "ganworks_launcher", "orchestrator.local.keeper", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    with _orderly():
        try:
            _wait_until_ready(keeper, log)
        except KeyboardInterrupt:
            with signals.deaf():
                keeper.terminate()
                keeper.wait()
            raise
    kept = record.read(home())
    assert kept
    _say_up(kept)


def _wait_until_ready(keeper: subprocess.Popen[bytes], log: Path) -> None:
    said = 0
    while True:
        lines = log.read_text("utf-8", errors="replace").splitlines()
        for line in lines[said:]:
            if line == "ready":
                return
            if not line.startswith("error: ") and keeper.poll() is None:
                note(line)
        said = len(lines)
        if keeper.poll() is not None:
            text = log.read_text("utf-8", errors="replace").strip()
            raise CliError(text.partition("error: ")[2] or text)
        time.sleep(0.1)


def _say_up(kept: Any) -> None:
    print(f"server         {kept.url}      (API at /docs, metrics at /metrics)")
    print(f"Ray dashboard  {kept.ray_url}     (token: {home() / 'ray-token'})")
    print(f"token          {home() / 'token'}")
    print("next           ganworks submit quickstart --follow; ganworks down ends it all")


def down(
    purge: Annotated[bool, typer.Option("--purge", help="also delete database, store and cached data")] = False,
) -> None:
    """End what `up` started, and nothing else."""
    from orchestrator.local import processes, ray_head, record

    kept = record.read(home())
    if kept is None:
        note("nothing is up")
    else:
        _end(kept)
        left = processes.end(kept.stack)
        ray_head.clean(kept.folder)
        record.remove(home())
        note("down" if not left else f"down ({left} processes had to be ended)")
    if purge:
        _purge()


def _end(kept: Any) -> None:
    import signal

    if not kept.keeper_is_alive:
        return
    os.kill(kept.pid, signal.SIGTERM)
    deadline = time.monotonic() + 40
    while kept.keeper_is_alive and time.monotonic() < deadline:
        time.sleep(0.1)


# What the stack keeps in its home; anything else there is somebody else's.
_OWN = ("ganworks.db", "ganworks.db-wal", "ganworks.db-shm", "ganworks.db.lock", "store", "data", "attempts", "token", "scrape-token",
        "ray-token", "server.log", "ray.log", "keeper.log", "keeper.lock", "stack.json")  # fmt: skip


def _purge() -> None:
    for name in _OWN:
        path = home() / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    note(f"purged {home()}")


def serve() -> None:
    """Run the server in the foreground, against the Ray cluster of GANWORKS_RAY_ADDRESS."""
    from orchestrator.serve import main

    raise typer.Exit(main())


def doctor() -> None:
    """Look at this machine and the settings: what works, what does not, and what to do."""
    from orchestrator.cli.checks import checks

    failed = 0
    for name, ok, text in checks():
        failed += not ok
        print(f"{'ok  ' if ok else 'FAIL'}  {name:<12} {text}")
    if failed:
        raise typer.Exit(Exit.FAILED)
