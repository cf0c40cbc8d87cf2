"""What one rank of a training attempt does: data, resume, the loop, and (rank 0) everything that leaves the machine.

Knows no Ray: `jobs.train` calls it inside a worker with torch.distributed already set up.
"""

import json
import os
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import tenacity

from jobs.datasets import prepare
from jobs.driver.orchestrator_client import PATIENCE, Claim, Line
from jobs.specs.spec import TrainJob, parse
from jobs.storage import checkpoints
from jobs.storage.layout import CheckpointKey, Layout
from jobs.store import AccessRefused, BucketMissing, Store, StoreError, open_store
from trainers import loop
from trainers.hooks import Command

STORE_PATIENCE = 600.0  # seconds that a store may be away before the attempt fails
RECORD_PATIENCE = 10.0  # seconds that a checkpoint waits for the orchestrator; training goes on without its record
QUIET = 1.0  # seconds between two reports of the same preparation


@dataclass(frozen=True, kw_only=True)
class Work:
    """What a rank needs to know; travels in the closure, never through Ray's configuration."""

    claim: Claim
    home: str
    resume: CheckpointKey | None

    @property
    def spec(self) -> TrainJob:
        spec = parse(self.claim.spec)
        assert isinstance(spec, TrainJob)
        return spec

    @property
    def layout(self) -> Layout:
        return Layout(project=self.claim.project, job_name=self.claim.job_name, job_id=self.claim.job_id)

    @property
    def lineage(self) -> list[CheckpointKey]:
        """The checkpoint that is resumed from, and those before it."""
        if self.resume is None:
            return []
        recorded = checkpoints.recorded(self.layout, self.claim.lineage or [])
        return recorded[recorded.index(self.resume) :] if self.resume in recorded else [self.resume]

    @property
    def store(self) -> Store:
        return open_store(self.claim.store["uri"], env=self.claim.store.get("env"))

    @property
    def workspace(self) -> Path:
        return Path(self.home) / "attempts" / self.claim.attempt_id


def run_rank(work: Work, *, rank: int, device: str) -> dict[str, Any]:
    """Train to the end, or to the command that stops it; returns the outcome as plain data."""
    spec, store = work.spec, work.store
    # A kill leaves torn files in the compiler's cache; in one for the whole machine they fail every later attempt.
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(work.workspace / "compiled")
    line = Line(work.claim.url, work.claim.attempt_id, work.claim.token) if rank == 0 else None
    try:
        data = prepare(spec.data, Path(work.home) / "data", _reporter(line))
        resume = checkpoints.fetch(store, work.resume, work.workspace / "resume") if work.resume else None
        outbox = Outbox(work, store, line) if line else None
        workspace = work.workspace / f"rank-{rank}"
        outcome = loop.train(
            settings(spec, work.claim.cpus_per_worker, device),
            data,
            workspace=workspace,
            resume=resume,
            hooks=outbox or Silent(),
        )
        if outbox:
            outbox.finish(outcome, workspace)
        rate = outbox.rate if outbox else None
        return {"status": outcome.status, "examples": outcome.examples, "steps": outcome.steps, "rate": rate}
    finally:
        if line:
            line.close()


def settings(spec: TrainJob, cpus: float, device: str) -> loop.Settings:
    """The loop's settings of a spec."""
    train = spec.train
    tenth = max(1, train.examples // 10)
    return loop.Settings(
        family=spec.model.family,
        params=spec.model.params,
        examples=train.examples,
        batch_size=train.batch_size,
        group=train.group_size,
        seed=train.seed,
        precision=train.precision,
        checkpoint_every=train.checkpoint.every or tenth,
        grid_every=train.grids.every or tenth,
        grid_count=train.grids.count,
        threads=max(1, int(cpus)),
        device=device,
        health={name: chosen for name, chosen in train.health.model_dump().items() if chosen},
    )


def _reporter(line: Line | None) -> Callable[[str, int, int | None], None]:
    """Preparation as ticks."""

    def report(label: str, done: int, total: int | None) -> None:
        if line:
            unit = "bytes" if label.startswith("fetching") else "pictures"
            line.tick({"phase": "preparing", "progress": {"label": label, "done": done, "total": total, "unit": unit}})

    return _throttled(report)


def _throttled(report: Callable[..., None]) -> Callable[..., None]:
    """At most one report a second, and always the last: `done` equals `total`, which are its last two arguments."""
    last = 0.0

    def sometimes(*arguments: Any) -> None:
        nonlocal last
        if time.monotonic() - last > QUIET or arguments[-2] == arguments[-1]:
            last = time.monotonic()
            report(*arguments)

    return sometimes


class Silent:
    """The hooks of every rank but the first."""

    def tick(self, tick: loop.Tick) -> Command:
        return "continue"

    def checkpoint(self, folder: Path, examples: int) -> None:
        pass

    def grid(self, path: Path, examples: int) -> None:
        pass

    def rolled_back(self, examples: int) -> None:
        pass


class Outbox:
    """Rank 0's hooks: ticks to the orchestrator, checkpoints, grids and stats to the store."""

    def __init__(self, work: Work, store: Store, line: Line) -> None:
        self.work, self.store, self.line = work, store, line
        self.job, self.attempt = work.layout, work.claim.number
        self.rate: float | None = None  # examples a second since the first tick, checkpoints and grids included
        self._first: dict[str, Any] = {}
        self._message: dict[str, Any] = {}  # the newest tick, as it was sent
        self._committed: dict[str, Any] = {}
        self._lineage, self._is_recorded = work.lineage, True  # what may be resumed from; whether the database has it
        self._rollbacks = 0  # of this attempt
        self._pending: list[dict[str, Any]] = []  # ticks since the last checkpoint
        self._findings: set[str] = set()  # names of the last tick's
        self._lock = threading.Lock()
        self._grids: list[Future[None]] = []
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="grids")

    def tick(self, tick: loop.Tick) -> Command:
        row = asdict(tick)
        self._first = self._first or row
        self.rate = _rate(self._first, row)
        with self._lock:
            self._pending.append({"time": time.time(), "attempt": self.attempt, **row})
        self._tell_findings(row)
        self._message = self._message_of(row)
        command = self.line.tick(self._message)
        if command == "stale":  # another attempt has this job: whatever we would still write is not wanted
            print("this attempt is stale; leaving", flush=True)
            os._exit(0)
        return cast(Command, command)

    def _tell_findings(self, row: dict[str, Any]) -> None:
        """An event when a finding begins; off the loop's thread, since it waits for the orchestrator."""
        named = {finding["name"]: finding for finding in row["findings"]}
        for name in named.keys() - self._findings:
            text = f"{name} at {row['examples']} examples: {named[name]['message']}"
            self._pool.submit(self.line.event, "finding", text, named[name])
        self._findings = set(named)

    def _message_of(self, row: dict[str, Any]) -> dict[str, Any]:
        rate = row["examples_per_second"]
        left = row["total_examples"] - row["examples"]
        return {
            "phase": "training",
            "examples": row["examples"],
            "steps": row["steps"],
            "total": row["total_examples"],
            "seconds": row["seconds"],
            "rate": rate,
            "eta": left / rate if rate else None,
            "stats": row["stats"],
            "findings": row["findings"],
            "activity_seconds": row["activity_seconds"],
            "checkpoint_stall_seconds": row["checkpoint_stall_seconds"],
            **self._committed,
        }

    def checkpoint(self, folder: Path, examples: int) -> None:
        """Called on the loop's writer thread. The stats go first: a COMMIT promises them."""
        with self._lock:
            rows, self._pending = self._pending, []
        stats = "".join(f"{json.dumps(row)}\n" for row in rows).encode()
        self._insist(lambda: self.store.put(self.job.stats(examples, self.attempt, self._rollbacks), stats))
        key = self._insist(lambda: self._upload(folder, examples))
        size = sum(path.stat().st_size for path in folder.iterdir())
        self._committed = {
            "checkpoint_size_bytes": size,
            "checkpoint_committed_at": time.time(),
            "checkpoint_examples": examples,
        }
        older = [each for each in self._lineage if each.examples < examples]
        self._go_on_from([key, *older][: self.work.spec.train.checkpoint.keep], RECORD_PATIENCE)

    def _upload(self, folder: Path, examples: int) -> CheckpointKey:
        where: dict[str, Any] = {"examples": examples, "attempt": self.attempt, "rollbacks": self._rollbacks}
        parent = self._lineage[0] if self._lineage else None
        return checkpoints.upload(self.store, self.job, folder, **where, parent=parent)

    def _go_on_from(self, lineage: list[CheckpointKey], patience: float) -> None:
        """Have the database record what may be resumed from; only then does what it has given up go. Raises Stale.

        With nobody to answer the training goes on: a later record says it all again, and until then nothing goes.
        """
        self._lineage = lineage
        doomed = self._insist(lambda: checkpoints.given_up(self.store, self.job, lineage, attempt=self.attempt))
        self._is_recorded = self.line.lineage(checkpoints.record(lineage), patience)
        if self._is_recorded:
            self._insist(lambda: checkpoints.remove(self.store, doomed))

    def grid(self, path: Path, examples: int) -> None:
        """Off the loop's thread: a slow store must not stall a step."""
        key = self.job.drawn_grid(examples, self.attempt, self._rollbacks)
        self._grids.append(self._pool.submit(self._insist, lambda: self.store.put(key, path.read_bytes())))

    def rolled_back(self, examples: int) -> None:
        self._rollbacks += 1
        self._go_on_from([key for key in self._lineage if key.examples <= examples], RECORD_PATIENCE)

    def finish(self, outcome: loop.Outcome, workspace: Path) -> None:
        for grid in self._grids:
            grid.result()
        self._pool.shutdown()
        if not self._is_recorded:
            self._go_on_from(self._lineage, PATIENCE)
        if outcome.status != "finished" or outcome.model is None:
            return
        self._upload_model(outcome.model)
        self._merge_stats(workspace)

    def _upload_model(self, model: Path) -> None:
        files = sorted(model.iterdir())
        total, done = sum(path.stat().st_size for path in files), 0
        report = _throttled(self._report_upload)

        def moved(count: int) -> None:
            nonlocal done
            done += count
            report(done, total)

        for path in files:
            self._insist(
                partial(self.store.put_file, self._draft(self.job.model_prefix + path.name), path, progress=moved)
            )

    def _draft(self, key: str) -> str:
        return self.job.draft(self.attempt, key)

    def _report_upload(self, done: int, total: int) -> None:
        progress = {"label": "uploading the model", "done": done, "total": total, "unit": "bytes"}
        self.line.tick({**self._message, "phase": "uploading", "progress": progress})

    def _merge_stats(self, workspace: Path) -> None:
        """One stats.jsonl and its curves, over every attempt."""
        from trainers.monitoring.plots import loss_curves

        stored = [self.store.get(info.key) for info in self.store.list(self.job.stats_prefix)]
        rows = one_line([json.loads(text) for content in stored for text in content.splitlines()])
        merged = workspace / "merged.jsonl"
        merged.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
        curves = workspace / "losses.png"
        loss_curves(merged, curves)
        self._insist(lambda: self.store.put(self._draft(self.job.merged_stats), merged.read_bytes()))
        self._insist(lambda: self.store.put(self._draft(self.job.loss_curves), curves.read_bytes()))

    def _insist(self, action: Callable[[], Any]) -> Any:
        """Try again while the store is away, for minutes; then the attempt fails loudly."""
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception(_may_pass),
            stop=tenacity.stop_after_delay(STORE_PATIENCE),
            wait=tenacity.wait_random_exponential(multiplier=0.5, max=20),
            before_sleep=self._tell_of_trouble,
            reraise=True,
        )
        return retrying(action)

    def _tell_of_trouble(self, state: tenacity.RetryCallState) -> None:
        """An event when an outage begins; its repetitions only in the log."""
        error = state.outcome.exception() if state.outcome else None
        if state.attempt_number == 1:
            self.line.event("store_trouble", f"{error}; training goes on, and this is tried for {STORE_PATIENCE:.0f} s")
        else:
            print(f"store: {error}; trying again", flush=True)


def one_line(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Ticks of all attempts as if none had gone back: where a resume or a rollback did, what it left is dropped."""
    kept: list[dict[str, Any]] = []
    for row in sorted(rows, key=lambda row: (row["attempt"], row["time"])):
        while kept and kept[-1]["examples"] >= row["examples"]:
            kept.pop()
        kept.append(row)
    return kept


def _rate(first: dict[str, Any], last: dict[str, Any]) -> float | None:
    seconds = last["seconds"] - first["seconds"]
    return (last["examples"] - first["examples"]) / seconds if seconds > 0 else None


def _may_pass(error: BaseException) -> bool:
    """A full or absent store may come back; wrong credentials and a missing bucket do not by themselves."""
    return isinstance(error, StoreError) and not isinstance(error, AccessRefused | BucketMissing)
