"""Attempts at one job, move by move: a kill, a process that sleeps past its lease, or a request that arrives late, at
every point of one attempt and every point of the next.

The code is the driver's own (`train.run`, `generate.run`, a rank's hooks, publishing, checkpoints, receipts) and the
routes' own over SQLite; only the store is a dictionary, and the mathematics are a few bytes. A history checker watches
every change of the store and every answer of the routes.
"""

import hashlib
import itertools
import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from fastapi import HTTPException
from sqlalchemy import event

from jobs import generate, train, wire
from jobs.driver import rank, ray_session, receipts
from jobs.driver.failures import named
from jobs.driver.orchestrator_client import Stale
from jobs.sinks import Written
from jobs.storage import manifest, references
from jobs.storage.layout import CONFIG, WEIGHTS, parse_commit_key
from jobs.store import AlreadyExists, NotFound, ObjectInfo, Store, StoreError
from jobs.wire import Claim, Command
from orchestrator import db, lifecycle, tokens
from orchestrator.api import attempts as routes
from orchestrator.lifecycle import Ending
from orchestrator.observability.redact import Redactor
from orchestrator.records import Job
from orchestrator.scheduler import Start
from orchestrator.settings import Settings
from orchestrator.states import AttemptStatus, Desired, Status
from trainers import loop

STEP = 10  # examples between two checkpoints of the played training
END = 2 * STEP
WEIGHED = [{"name": "generator.safetensors", "file": "w", "sha256": "0" * 64}]
MODEL = {"uri": "default/upstream/x/model/", "weights": WEIGHED, "config": "c", "examples": 1}
SPECS: dict[str, dict[str, Any]] = {
    "train": {
        "model": {"family": "dcgan"},
        "data": {"source": "shapes"},
        "train": {"examples": END, "checkpoint": {"keep": 2}},
    },
    "generate": {"model": {"from": "upstream"}, "samples": 4, "output": {"samples_per_shard": 2}},
}


class Killed(BaseException):
    pass


class Violation(AssertionError):
    """Something happened that must not happen in any order."""


class Player:
    """An attempt's process. Each request to the store or the orchestrator is a move; it can be held before any."""

    def __init__(self, program: Callable[["Player"], None]) -> None:
        self.moves, self.done, self.dead = 0, False, False
        self.pending: Callable[[], Any] = lambda: None  # the request that it is held before
        self._until: int | None = None
        self._go, self._held = threading.Semaphore(0), threading.Semaphore(0)
        self._thread = threading.Thread(target=self._play, args=(program,), daemon=True)

    def run(self, until: int | None = None) -> None:
        """Play until so many moves are made, or to the end. Nobody else plays meanwhile."""
        if self.done:
            return
        self._until = until
        if self._thread.is_alive():
            self._go.release()
        else:
            self._thread.start()
        self._held.acquire()

    def kill(self) -> None:
        self.dead = True
        self.run()
        self._thread.join()

    def move(self, action: Callable[[], Any]) -> Any:
        if self._until is not None and self.moves >= self._until and not self.dead:
            self.pending = action
            self._held.release()
            self._go.acquire()
        if self.dead:
            raise Killed
        self.moves += 1
        return action()

    def _play(self, program: Callable[["Player"], None]) -> None:
        try:
            program(self)
        except Killed:
            pass
        finally:
            self.done = True
            self._held.release()


@dataclass
class MemoryStore:
    """Objects in a dictionary; `watch` is told of every change before it is made."""

    honours_if_absent: bool
    watch: Callable[[str, bytes | None], None] = lambda key, content: None
    objects: dict[str, bytes] = field(default_factory=dict)

    def put(self, key: str, data: bytes, if_absent: bool) -> None:
        if if_absent and self.honours_if_absent and key in self.objects:
            if self.objects[key] != data:
                raise AlreadyExists(key)
            return
        self.watch(key, data)
        self.objects[key] = data

    def delete(self, key: str) -> None:
        self.watch(key, None)
        self.objects.pop(key, None)

    def get(self, key: str) -> bytes:
        if key not in self.objects:
            raise NotFound(f"{key}: not found")
        return self.objects[key]

    def head(self, key: str) -> ObjectInfo | None:
        return ObjectInfo(key=key, size=len(self.objects[key]), modified=0.0) if key in self.objects else None


class View(Store):
    """The store as one process has it: each request is a move."""

    uri = "memory"

    def __init__(self, shared: MemoryStore, move: Callable[[Callable[[], Any]], Any]) -> None:
        self.shared, self.move = shared, move

    def put(self, key: str, data: bytes, *, if_absent: bool = False) -> None:
        self.move(lambda: self.shared.put(key, data, if_absent))

    def put_file(self, key: str, path: Path, *, progress: Any = None) -> None:
        self.put(key, path.read_bytes())

    def copy(self, source: str, target: str) -> None:
        self.move(lambda: self.shared.put(target, self.shared.get(source), False))

    def get(self, key: str, *, start: int = 0, stop: int | None = None) -> bytes:
        return self.move(lambda: self.shared.get(key))[start:stop]

    def get_file(self, key: str, path: Path, *, progress: Any = None) -> None:
        path.write_bytes(self.get(key))

    def head(self, key: str) -> ObjectInfo | None:
        return self.shared.head(key)

    def sha256(self, key: str) -> str:
        return hashlib.sha256(self.shared.get(key)).hexdigest()

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        keys = self.move(lambda: [key for key in sorted(self.shared.objects) if key.startswith(prefix)])
        return iter([info for key in keys if (info := self.shared.head(key))])

    def delete(self, key: str) -> None:
        self.move(lambda: self.shared.delete(key))

    def locate(self, key: str) -> str:
        return f"memory/{key}"


class Inline:
    """A pool that does everything at once, so that a play is the same each time."""

    def __init__(self, *_: Any, **__: Any) -> None: ...
    def __enter__(self) -> "Inline":
        return self

    def __exit__(self, *_: Any) -> None: ...
    def shutdown(self) -> None: ...
    def map(self, function: Callable[..., Any], items: Any) -> Any:
        return map(function, items)

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(function(*arguments))
        return future


class Client:
    """A driver's client that calls the routes in this process; every call is a move."""

    command = Command.CONTINUE

    def __init__(self, world: "World", player: Player, attempt_id: str) -> None:
        self.world, self.player, self.attempt_id = world, player, attempt_id

    def event(self, kind: str, message: str, data: dict[str, Any] | None = None) -> None:
        if kind == "checkpoint_damaged":
            self.world.violate(f"a recorded checkpoint is gone: {message}")

    def tick(self, tick: wire.Tick) -> Command:
        return self.command

    def commit(self, sha256: str) -> None:
        self._demand(routes.commit, wire.Commit(sha256=sha256))

    def lineage(self, checkpoints: list[wire.Recorded], patience: float) -> bool:
        self._demand(routes.lineage, wire.Lineage(checkpoints=tuple(checkpoints)))
        return True

    def result(self, result: wire.Result) -> None:
        self._demand(routes.result, result)

    def _demand(self, route: Callable[..., Any], body: Any) -> None:
        self.player.move(lambda: self._call(route, body))

    def _call(self, route: Callable[..., Any], body: Any) -> None:
        with self.world.database.read() as connection:
            attempt = db.attempts.by_id(connection, self.attempt_id)
        try:
            answer = route(body, attempt, self.world.server)
        except HTTPException as refused:
            raise Stale(str(refused.detail)) from None
        if answer.command == Command.STALE:
            raise Stale(route.__name__)
        self.world.accepted(route.__name__, body)


class World:
    """One job, its store and its attempts; what must hold is checked at every change."""

    _numbers = itertools.count(1)

    def __init__(self, database: db.Database, kind: str, honours_if_absent: bool, folder: Path) -> None:
        self.database, self.kind = database, kind
        number = next(self._numbers)
        self.folder = folder / str(number)
        self.server: Any = SimpleNamespace(
            database=database, settings=Settings(home=folder, token="t" * 20, host="127.0.0.1", port=1), clock=lambda: 1000.0, wake=lambda: None,
            redactor=Redactor([]), supervisor=SimpleNamespace(nodes=()),
        )  # fmt: skip
        self.store = MemoryStore(honours_if_absent, self._changes)
        self.name = f"job-{number}"
        self.id = f"20260101t000000z-{number:06d}"
        self.layout = manifest.Layout(project="default", job_name=self.name, job_id=self.id)
        self.violation: Violation | None = None
        self.final: dict[str, str] = {}  # key -> sha256 of what is published
        self.given_up: set[str] = set()  # folders of checkpoints: left by a rollback, or written by a stale attempt
        self.uploaded: set[str] = set()
        with database.write() as connection:
            db.jobs.add(connection, self._queued())

    def _queued(self) -> Job:
        spec = {"kind": self.kind, "name": self.name, "retry": {"limit": 99}, **SPECS[self.kind]}
        return Job(
            id=self.id, project="default", name=self.name, kind=self.kind, queue="default", priority=50, owner="ada",
            spec=spec, spec_digest="", pinned={"model": MODEL} if self.kind == "generate" else {}, status=Status.QUEUED,
            desired=Desired.RUN, submitted=1000.0,
        )  # fmt: skip

    @property
    def job(self) -> Job:
        with self.database.read() as connection:
            job = db.jobs.by_id(connection, self.id)
        assert job
        return job

    # --- what the supervisor does

    def attempt(self) -> Player:
        """The next attempt begins."""
        start = Start(job_id=self.id, workers=1, cpus_per_worker=1, gpus_per_worker=0)
        with self.database.write() as connection:
            begun = lifecycle.start(connection, self.job, start, tokens.digest("code"), 1000.0)
        assert begun, self.job
        return Player(lambda player: self._drive(player, begun.id))

    def lose(self) -> None:
        """The current attempt is given up, dead or not, and the job queued again."""
        ending = Ending(status=AttemptStatus.LOST, failure="lost")
        with self.database.write() as connection:
            newest = db.attempts.of_job(connection, self.id)[-1]
            lifecycle.finish(connection, self.job, newest, ending, self.server.settings, 1000.0)
        with self.database.write() as connection:
            lifecycle.enqueue(connection, self.job, "requeued", "", 1000.0)

    # --- what a driver does

    def _drive(self, player: Player, attempt_id: str) -> None:
        line = Client(self, player, attempt_id)
        try:
            claim = player.move(lambda: self._claim(attempt_id))
            self.by_uri[attempt_id] = (self, player, line)
            result = (train if self.kind == "train" else generate).run(claim, line, self.folder / attempt_id)  # type: ignore[arg-type]
            line.result(result)
        except (Stale, HTTPException):
            pass
        except Exception as error:
            failed = named(error)
            with suppress(Stale):
                line.result(
                    wire.Result(
                        outcome="failed", failure=failed.failure, message=f"{failed.message} {failed.log}"[:4000]
                    )
                )

    by_uri: dict[str, tuple["World", Player, Client]] = {}  # noqa: RUF012  # what `open_store` and a rank find their world by

    def _claim(self, attempt_id: str) -> Claim:
        asked = wire.ClaimRequest(claim="code", nonce=f"{attempt_id} nonce")
        return routes.claim(attempt_id, asked, self.server)

    # --- what must hold

    def violate(self, message: str) -> None:
        self.violation = self.violation or Violation(message)
        raise self.violation

    def _changes(self, key: str, content: bytes | None) -> None:
        digest = None if content is None else hashlib.sha256(content).hexdigest()
        if key in self.final and self.final[key] != digest:
            self.violate(f"{key} was published, and is {'deleted' if digest is None else 'another'} now")
        if key == self.layout.manifest and content is not None:
            self._manifest(content)
        if content is None and key.startswith(self.layout.checkpoints_prefix):
            self._goes(key.removeprefix(self.layout.checkpoints_prefix).partition("/")[0])
        if content is not None and (commit := parse_commit_key(key)):
            self.uploaded.add(commit.folder)
            if commit.attempt != self.job.attempt:
                self.given_up.add(commit.folder)

    def _goes(self, folder: str) -> None:
        if folder in [entry["folder"] for entry in self.job.lineage or []]:
            self.violate(f"{folder} may be resumed from, and is deleted")

    def _manifest(self, body: bytes) -> None:
        digest, layout = hashlib.sha256(body).hexdigest(), self.layout
        if digest != self.job.commit_sha256:
            self.violate("a manifest that was not accepted")
        said = json.loads(body)
        for file in [*said["files"], said.get("readme", {})]:
            for key in filter(None, (file.get("key"), file.get("source"))):
                self.final[layout.prefix + key] = file["sha256"]
        self.final[layout.manifest] = digest
        for key, expected in self.final.items():
            if key != layout.manifest and hashlib.sha256(self.store.objects.get(key, b"")).hexdigest() != expected:
                self.violate(f"{key} is not what the manifest says")

    def accepted(self, route: str, body: Any) -> None:
        if route == "lineage":
            self.given_up |= self.uploaded - {checkpoint.folder for checkpoint in body.checkpoints}
        if route == "result" and body.outcome == "succeeded":
            self._is_whole()

    def _is_whole(self) -> None:
        """What a user finds when the job says that it has succeeded."""
        layout, objects = self.layout, self.store.objects
        if layout.manifest not in objects or self.final.get(layout.manifest) != self.job.commit_sha256:
            self.violate("succeeded without the accepted manifest")
        if self.kind == "generate":
            self._reads_as_named()
        if self.kind == "train":
            view = View(self.store, lambda action: action())
            pinned = references._pinned(view, references._model_folder(view, layout), "")
            self.final |= {pinned.uri + weights.file: weights.sha256 for weights in pinned.weights}

    def _reads_as_named(self) -> None:
        """A reader goes by the README's patterns, and finds what the manifest names: no sample is missing or doubled."""
        header = yaml.safe_load(self.store.objects[self.layout.readme].decode().split("---\n")[1])
        path = header["configs"][0]["data_files"][0]["path"]
        patterns = [self.layout.prefix + pattern for pattern in ([path] if isinstance(path, str) else path)]
        read = {
            key for key in self.store.objects if any(fnmatch(key, pattern.replace("**/", "*")) for pattern in patterns)
        }
        named = {key for key in self.final if key.startswith(self.layout.data_prefix)}
        if read != named:
            self.violate(f"a reader finds {sorted(read ^ named)} in only one of the folder and the manifest")

    def check(self) -> None:
        """When everybody has come to an end."""
        if self.violation:
            raise self.violation
        with self.database.read() as connection:
            attempts = db.attempts.of_job(connection, self.id)
            events = [(told.type, told.attempt) for told in db.events.after(connection, self.id)]
        if self.job.status != Status.SUCCEEDED:
            raise Violation(f"{self.job.status}: {[(a.status, a.failure, a.message) for a in attempts]}")
        assert [attempt.number for attempt in attempts] == list(range(1, len(attempts) + 1)), "numbers rise"
        ends = [number for kind, number in events if kind in ("succeeded", "failed", "cancelled")]
        assert ends == [len(attempts)], "one end, of the newest attempt"
        for key, digest in self.final.items():
            assert hashlib.sha256(self.store.objects[key]).hexdigest() == digest


# --- what the mathematics are replaced by


def _fit(work: rank.Work, spec: Any) -> wire.TrainEnd:
    """A training of two steps; the first attempt goes back once, from its end."""
    world, _, line = World.by_uri[work.claim.attempt_id]
    _resumed_rightly(world, work)
    out, here = rank.RankZeroHooks(work, _store_of(work.claim), line), work.workspace  # type: ignore[arg-type]
    examples, goes_back = work.resume.examples if work.resume else 0, work.claim.number == 1
    while examples < END:
        examples += STEP
        out.checkpoint(_checkpoint(here, examples, work), examples)
        if goes_back and examples == END:
            out.rolled_back(STEP)
            out.checkpoint(_checkpoint(here, STEP, work), STEP)
            goes_back, examples = False, STEP
    model = here / "model"
    model.mkdir(parents=True, exist_ok=True)
    (model / WEIGHTS).write_text(f"weights of attempt {work.claim.number}")
    (model / CONFIG).write_text(json.dumps({"examples": examples}))
    out.grid(model / WEIGHTS, examples)
    out.finish(
        loop.Outcome(status="finished", examples=examples, steps=2, checkpoint=None, model=model, grid=None), here
    )
    return wire.TrainEnd(status="finished", examples=examples, steps=2)


def _resumed_rightly(world: World, work: rank.Work) -> None:
    resume, recorded = work.resume, world.job.lineage or []
    if world.job.attempt != work.claim.number:
        return  # stale: what it does counts for nothing
    if resume and resume.folder in world.given_up:
        world.violate(f"resumed from {resume.folder}, which was given up")
    if recorded and (resume is None or resume.folder != recorded[0]["folder"]):
        world.violate(f"{recorded[0]['folder']} was recorded, and {resume} is resumed from")


def _checkpoint(here: Path, examples: int, work: rank.Work) -> Path:
    folder = here / f"{examples:012d}"
    folder.mkdir(parents=True, exist_ok=True)
    state = json.dumps({"examples": examples, "attempt": work.claim.number}).encode()
    files = {"state.json": {"size": len(state), "sha256": hashlib.sha256(state).hexdigest()}}
    (folder / "state.json").write_bytes(state)
    (folder / "COMMIT.json").write_text(json.dumps({"files": files}))
    return folder


def _write(claim: Claim, spec: Any, store: Store, line: Any, planned: Any, todo: Any) -> None:
    """Each attempt on another kind of hardware: its bytes differ."""
    for shard in todo:
        objects = [
            Written(key=f"train-{shard.number}-{n}.tar", content=f"{shard} {n} {claim.number}".encode()) for n in (0, 1)
        ]
        honours = World.by_uri[claim.attempt_id][0].store.honours_if_absent
        receipts.commit_shard(store, _layout(claim), shard, objects, attempt=claim.number, put_if_absent=honours)


def _layout(claim: Claim) -> Any:
    return manifest.Layout(project=claim.project, job_name=claim.job_name, job_id=claim.job_id)


def _store_of(claim: Claim) -> View:
    world, player, _ = World.by_uri[claim.attempt_id]
    return View(world.store, player.move)


@contextmanager
def stage(folder: Path) -> Iterator[db.Database]:
    """The code under test with its pools inline, and a database that does not wait for the disk."""
    database = db.Database(f"sqlite:///{folder / 'interleave.db'}")
    event.listen(database.engine, "connect", lambda connection, _: connection.execute("PRAGMA synchronous=OFF"))
    with pytest.MonkeyPatch.context() as patch:
        db.migrate(database)
        for module in (manifest, receipts, rank):
            patch.setattr(module, "ThreadPoolExecutor", Inline)
        for module in (train, generate, rank):
            patch.setattr(module, "store_of", _store_of)
        patch.setattr(ray_session, "join", lambda client: None)
        for counter in ("add", "observe"):  # metrics: half of the time, and nothing here goes by them
            patch.setattr(db.counters, counter, lambda *_, **__: None)
        patch.setattr(train, "_fit", _fit)
        patch.setattr(generate, "_write", _write)
        patch.setattr("trainers.monitoring.plots.loss_curves", lambda stats, png: png.write_bytes(b"png"))
        yield database
    database.close()
    World.by_uri.clear()


# --- every order


@dataclass(frozen=True)
class Play:
    """The first attempt is held before its move `first`, the second before its move `second`."""

    kind: str
    honours_if_absent: bool
    happens: str  # killed | late | asleep | both
    first: int
    second: int


def perform(database: db.Database, play: Play, folder: Path) -> tuple[bool, bool]:
    """Play it and check it; whether the first and the second attempt were still under way when they were held."""
    world = World(database, play.kind, play.honours_if_absent, folder)
    one = world.attempt()
    one.run(play.first)
    if one.done:
        world.check()
        return False, False
    late = one.pending
    if play.happens in ("killed", "late"):
        one.kill()
    world.lose()
    two = world.attempt()
    two.run(play.second)
    under_way = not two.done
    if play.happens == "late":  # its last request was on its way all the time
        with suppress(Stale, HTTPException, StoreError, Violation):
            late()
    elif play.happens == "asleep":
        one.run()
    elif play.happens == "both" and under_way:
        two.kill()
        world.lose()
        world.attempt().run()
    two.run()
    one.run()
    world.check()
    return True, under_way


def explore(
    database: db.Database, kind: str, honours: bool, happens: str, folder: Path, *, every: int = 1, begin: int = 1
) -> int:
    """Every move of the first attempt (from `begin` on) with every `every`-th of the second; returns how many plays."""
    plays = 0
    for first in itertools.count(begin):
        for second in itertools.count(1 + first % every, every):  # from where the second has claimed
            first_held, second_held = perform(database, Play(kind, honours, happens, first, second), folder)
            plays += 1
            if not first_held:
                return plays
            if not second_held or happens == "killed":
                break
    return plays
