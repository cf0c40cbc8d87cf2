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
from typing import Any, TypeVar, cast

from jobs.datasets import BadData, prepare
from jobs.datasets.helpers import find_helper
from jobs.driver import retrying
from jobs.driver.attempt import layout_of, store_of
from jobs.driver.orchestrator_client import PATIENCE, OrchestratorClient
from jobs.specs.spec import TrainJob
from jobs.storage import checkpoints
from jobs.storage.layout import CheckpointKey
from jobs.store import Store
from jobs.wire import Claim, Command, Preparing, Progress, TrainEnd, TrainTick
from trainers import loop
from trainers.compatible import DataChanged
from trainers.data.packed import PackedData
from trainers.hooks import Command as LoopCommand
from trainers.hooks import NoHooks

Row = dict[str, Any]  # of stats.jsonl: a tick's fields, `time` and `attempt`
T = TypeVar("T")
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
        spec = self.claim.spec
        assert isinstance(spec, TrainJob)
        return spec

    @property
    def lineage(self) -> list[CheckpointKey]:
        """Return the checkpoint that is resumed from, and those before it."""
        if self.resume is None:
            return []
        recorded = checkpoints.recorded(layout_of(self.claim), self.claim.lineage or ())
        return recorded[recorded.index(self.resume) :] if self.resume in recorded else [self.resume]

    @property
    def cores(self) -> int:
        """Return how many the job's workers have on this machine, at most: while data are prepared, one of them works."""
        held = int(self.claim.cpus_per_worker * self.claim.workers)
        return max(1, min(held, len(os.sched_getaffinity(0))))

    @property
    def workspace(self) -> Path:
        return Path(self.home) / "attempts" / self.claim.attempt_id


def run_rank(work: Work, *, rank: int, device: str) -> TrainEnd:
    """Train to the end, or to the command that stops it."""
    spec, store = work.spec, store_of(work.claim)
    # A kill leaves torn files in the compiler's cache; in one for the whole machine they fail every later attempt.
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(work.workspace / "compiled")
    client = OrchestratorClient(work.claim.url, work.claim.attempt_id, work.claim.token) if rank == 0 else None
    try:
        data = prepare(
            spec.data, Path(work.home) / "data", _reporter(client), work.claim.store.env, processes=work.cores
        )
        if client:
            client.event("prepared", data.account.line, data.account.plain())
        resume = checkpoints.fetch(store, work.resume, work.workspace / "resume") if work.resume else None
        hooks = RankZeroHooks(work, store, client) if client else None
        workspace = work.workspace / f"rank-{rank}"
        outcome = _train(
            spec,
            settings(spec, work.claim.cpus_per_worker, device),
            data,
            workspace=workspace,
            resume=resume,
            hooks=hooks or NoHooks(),
            find_helper=lambda helper: find_helper(helper, Path(work.home) / "data" / "helpers"),
        )
        if hooks:
            hooks.finish(outcome, workspace)
        rate = hooks.rate if hooks else None
        return TrainEnd(
            status=outcome.status,
            examples=outcome.examples,
            steps=outcome.steps,
            examples_per_second=rate,
            data=data.account.plain(),
        )
    finally:
        if client:
            client.close()


def _train(spec: TrainJob, wanted: loop.Settings, data: PackedData, **options: Any) -> loop.Outcome:
    """Train; raises BadData where the source is another than that of the attempt before."""
    try:
        return loop.train(wanted, data, **options)
    except DataChanged as error:
        raise BadData(
            f"data.source: {spec.data.source} has changed since the checkpoint that this attempt goes on from; put back "
            f"what was there, or submit the job again to begin anew ({error})"
        ) from error


def settings(spec: TrainJob, cpus: float, device: str) -> loop.Settings:
    """Return the loop's settings of a spec."""
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


def _reporter(client: OrchestratorClient | None) -> Callable[[str, int, int | None], None]:
    """Return what reports preparation as ticks, and raises Interrupted once the job is to stop."""

    def report(label: str, done: int, total: int | None) -> None:
        unit = "bytes" if label.startswith("fetching") else "pictures"
        tick = Preparing(progress=Progress(label=label, done=done, total=total, unit=unit))
        if client and (command := client.tick(tick)) != Command.CONTINUE:
            raise Interrupted(command.value)

    return _throttled(report)


def _throttled(report: Callable[..., None]) -> Callable[..., None]:
    """Let at most one report a second through, and always the last: `done` equals `total`, its last two arguments."""
    last = 0.0

    def sometimes(*arguments: Any) -> None:
        nonlocal last
        if time.monotonic() - last > QUIET or arguments[-2] == arguments[-1]:
            last = time.monotonic()
            report(*arguments)

    return sometimes


class Interrupted(RuntimeError):
    """A command to stop that came while the data was prepared: there is nothing yet to keep."""


class RankZeroHooks:
    """Rank 0's hooks: ticks to the orchestrator, checkpoints, grids and stats to the store."""

    def __init__(self, work: Work, store: Store, client: OrchestratorClient) -> None:
        self.work, self.store, self.client = work, store, client
        self.job, self.attempt = layout_of(work.claim), work.claim.number
        self.rate: float | None = None  # examples a second since the first tick, checkpoints and grids included
        self._first: loop.Tick | None = None
        self._newest: TrainTick | None = None
        self._committed: dict[str, float] = {}  # what a tick says of the newest checkpoint
        self._lineage, self._is_recorded = work.lineage, True  # what may be resumed from; whether the database has it
        self._rollbacks = 0  # of this attempt
        self._pending: list[Row] = []  # ticks since the last checkpoint
        self._findings: set[str] = set()  # names of the last tick's
        self._lock = threading.Lock()
        self._grids: list[Future[None]] = []
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="grids")

    def tick(self, tick: loop.Tick) -> LoopCommand:
        self._first = self._first or tick
        self.rate = _rate(self._first, tick)
        with self._lock:
            self._pending.append({"time": time.time(), "attempt": self.attempt, **asdict(tick)})
        self._tell_findings(tick)
        self._newest = self._told(tick)
        command = self.client.tick(self._newest)
        if command == Command.STALE:  # another attempt has this job: whatever we would still write is not wanted
            print("this attempt is stale; leaving", flush=True)
            os._exit(0)
        return cast(LoopCommand, command.value)

    def _tell_findings(self, tick: loop.Tick) -> None:
        """Post an event when a finding begins; off the loop's thread, since it waits for the orchestrator."""
        named = {finding.name: finding for finding in tick.findings}
        for name in named.keys() - self._findings:
            text = f"{name} at {tick.examples} examples: {named[name].message}"
            self._pool.submit(self.client.event, "finding", text, asdict(named[name]))
        self._findings = set(named)

    def _told(self, tick: loop.Tick) -> TrainTick:
        """Return the loop's tick as it is posted: its own fields, the time that is left, the newest checkpoint."""
        left, rate = tick.total_examples - tick.examples, tick.examples_per_second
        return TrainTick.model_validate({**asdict(tick), "eta": left / rate if rate else None, **self._committed})

    def checkpoint(self, folder: Path, examples: int) -> None:
        """Commit a checkpoint; called on the loop's writer thread. The stats go first: a COMMIT promises them."""
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
        self._is_recorded = self.client.lineage(checkpoints.record(lineage), patience)
        if self._is_recorded:
            self._insist(lambda: checkpoints.remove(self.store, doomed))

    def grid(self, path: Path, examples: int) -> None:
        """Put the grid off the loop's thread: a slow store must not stall a step."""
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
            key = self._draft(self.job.model_prefix + path.name)
            self._insist(partial(self.store.put_file, key, path, progress=moved))

    def _draft(self, key: str) -> str:
        return self.job.draft(self.attempt, key)

    def _report_upload(self, done: int, total: int) -> None:
        progress = Progress(label="uploading the model", done=done, total=total, unit="bytes")
        if self._newest is None:  # it resumed at its end
            self.client.tick(Preparing(progress=progress))
        else:
            changes = {"time": time.time(), "phase": "uploading", "progress": progress}
            self.client.tick(self._newest.model_copy(update=changes))

    def _merge_stats(self, workspace: Path) -> None:
        """Merge the stats of every attempt into one stats.jsonl and its curves."""
        from trainers.monitoring.plots import loss_curves

        stored = [self.store.get(info.key) for info in self.store.list(self.job.stats_prefix)]
        rows = one_line([json.loads(text) for content in stored for text in content.splitlines()])
        merged = workspace / "merged.jsonl"
        merged.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
        curves = workspace / "losses.png"
        loss_curves(merged, curves)
        self._insist(lambda: self.store.put(self._draft(self.job.merged_stats), merged.read_bytes()))
        self._insist(lambda: self.store.put(self._draft(self.job.loss_curves), curves.read_bytes()))

    def _insist(self, action: Callable[[], T]) -> T:
        return retrying.while_store_is_away(action, self.client.event)


def one_line(rows: Iterable[Row]) -> list[Row]:
    """Return the ticks of all attempts as if none had gone back: where a resume or a rollback did, what it left is dropped."""
    kept: list[Row] = []
    for row in sorted(rows, key=lambda row: (row["attempt"], row["time"])):
        while kept and kept[-1]["examples"] >= row["examples"]:
            kept.pop()
        kept.append(row)
    return kept


def _rate(first: loop.Tick, last: loop.Tick) -> float | None:
    seconds = last.seconds - first.seconds
    return (last.examples - first.examples) / seconds if seconds > 0 else None
