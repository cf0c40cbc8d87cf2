"""The one training loop: steps until the next tick, the tick, then what is due."""

import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from trainers import checkpoint
from trainers.background import Background
from trainers.cadence import next_multiple, next_steps_per_tick, passed_multiple
from trainers.compatible import check_compatible
from trainers.data.inputs import Data, by_input
from trainers.data.stream import Stream
from trainers.devices import dtype_of, prepare
from trainers.engine import Engine
from trainers.gan.helpers import FindHelper, load_helpers
from trainers.generation.sampling import complete, inputs_config
from trainers.hooks import Command, Hooks, NoHooks, Outcome, Tick
from trainers.monitoring.health import Collapsed, Diverged, Finding, Watches, not_finite, prefix_of
from trainers.monitoring.health import reaction as react
from trainers.monitoring.meter import Clock, Meter
from trainers.monitoring.sample_stats import SampleMonitor
from trainers.parallel import from_first, world
from trainers.randomness.groups import Share
from trainers.results import Results
from trainers.settings import Settings
from trainers.snapshot import Snapshot, State

__all__ = ["Collapsed", "Diverged", "Hooks", "NoHooks", "Outcome", "Settings", "Tick", "train"]

Stats = dict[str, float]

MAX_ROLLBACKS = 3
KEPT_HEALTHY = 2  # snapshots to go back to: the newest may have been ill already
STATUS = {"continue": "finished", "checkpoint_and_stop": "stopped", "cancel": "cancelled"}


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """What rank 0 found at a tick, and every rank acts on."""

    command: Command = "continue"
    steps_per_tick: int
    reaction: Literal["warn", "rollback", "fail"] = "warn"
    is_ill: bool = False
    has_diverged: bool = True
    has_failed: bool = False  # rank 0 raised; its own error says why


def train(
    settings: Settings,
    data: Data,
    *,
    workspace: Path,
    resume: Path | None,
    hooks: Hooks,
    find_helper: FindHelper | None = None,
) -> Outcome:
    """Train to settings.examples, or until a hook says otherwise. Every rank calls it with the same arguments.

    The caller has initialised torch.distributed, or there is one rank. Rank 0 writes into `workspace`
    checkpoints/<examples>/, grids/<examples>.png, stats.jsonl, and at the end model/ and losses.png.
    Raises Diverged, checkpoint.DamagedCheckpoint, WrongCheckpoint, BadSplit, InputsMissing, HelperMissing and what
    building the family raises. find_helper: gives the file of a pretrained network that the family asks for.
    """
    with Background() as background:
        run = _Run(settings, data, Path(workspace), hooks, background, find_helper)
        if resume is not None:
            run.resume(Path(resume))
        run.remember_start()
        command: Command = "continue"
        while not run.finished and command == "continue":
            before = run.examples
            stats = run.advance()
            with run.clock("tick"):
                command = run.tick(stats)
            ends = run.finished or command != "continue"
            if not ends and passed_multiple(before, run.examples, settings.grid_every):
                run.draw_grid()
            if not ends and passed_multiple(before, run.examples, settings.checkpoint_every):
                run.save()
        return run.end(command)


class _Run:
    """One rank's training: what the loop's verbs act on."""

    def __init__(
        self,
        settings: Settings,
        data: Data,
        workspace: Path,
        hooks: Hooks,
        background: Background,
        find_helper: FindHelper | None,
    ) -> None:
        self._settings, self._workspace, self._hooks = settings, workspace, hooks
        self._data = by_input(settings.family_class.inputs(), data)
        self._background, self._world = background, world()
        self._device = prepare(settings.device, settings.threads)
        self._family = settings.build_family(self._data)
        helpers = load_helpers(self._family.helpers(), find_helper)
        share = Share(
            batch_size=settings.batch_size, group=settings.group, rank=self._world.rank, world=self._world.size
        )
        self._engine = Engine(self._family, settings, share, self._device, helpers)
        self._share = share
        self._results = Results(
            self._family, self._data, settings, self._engine.averages, workspace=workspace, device=self._device
        )
        self._stream = self._fresh_stream()
        self._monitor = SampleMonitor(self._family, self._data, seed=settings.seed, device=self._device)
        self._watches = Watches(self._family.roles())
        self._notes: list[Finding] = []  # for the next tick
        self._is_ill = False
        self._healthy: deque[Snapshot] = deque(maxlen=KEPT_HEALTHY)
        self._meter, self.clock = Meter(self._device), Clock()
        self._steps, self._steps_per_tick = 0, 1
        self.examples = 0  # shown so far
        self._begun = self._last_tick = time.perf_counter()
        self._last_examples = 0
        self._stalled = 0.0
        self._checkpoint: Path | None = None
        self._workspace.mkdir(parents=True, exist_ok=True)

    @property
    def finished(self) -> bool:
        return self.examples >= self._settings.examples

    def resume(self, folder: Path) -> None:
        snapshot = checkpoint.load(folder)
        check_compatible(folder, dict(snapshot.progress), self._progress())
        self._engine.rollbacks = int(snapshot.progress.get("rollbacks", 0))
        self._go_to(snapshot)
        self._last_examples = self.examples

    def remember_start(self) -> None:
        """Keep the state that a rollback goes back to where there is no checkpoint yet."""
        if self._rolls_back:
            self._healthy.append(self._engine.snapshot(self._progress()))

    @property
    def _rolls_back(self) -> bool:
        return "rollback" in self._settings.health.values()

    def _go_to(self, snapshot: Snapshot) -> None:
        self._engine.restore(snapshot)
        self._steps, self.examples = int(snapshot.progress["steps"]), int(snapshot.progress["examples"])
        self._stream = self._fresh_stream()

    def _fresh_stream(self) -> Stream:
        return Stream(
            self._family.inputs(),
            self._data,
            self._share,
            seed=self._engine.seed,
            device=self._device,
            dtype=dtype_of(self._settings.precision),
            balanced=self._family.config.balanced,
        )

    def advance(self) -> Stats:
        """Take as many steps as were agreed at the last tick, or fewer if something is due before; return their mean stats."""
        boundary = min(next_multiple(self.examples, every) for every in self._boundaries())
        steps, begun = 0, time.perf_counter()
        is_last = False
        while not is_last:
            after = self.examples + self._engine.examples_in(self._steps, self.examples)
            is_last = steps + 1 == self._steps_per_tick or after >= min(boundary, self._settings.examples)
            self.examples = self._engine.step(
                self._steps, self.examples, self._stream, self._meter, self.clock, measure=is_last
            )
            self._steps, steps = self._steps + 1, steps + 1
        stats = self._meter.read()
        self._steps_per_tick = next_steps_per_tick(steps, time.perf_counter() - begun, self._settings.tick_seconds)
        return stats

    def tick(self, stats: Stats) -> Command:
        """Report, and return the command; raises on every rank if the training is none any more."""
        agreed = Agreement(steps_per_tick=self._steps_per_tick)
        failure, finding = None, None
        if self._world.is_first:
            try:
                self._background.raise_failures()
                findings = self._look(stats)
                reaction, finding = react(findings, self._settings.health)
                command = self._report(stats, tuple(findings))
                agreed = Agreement(
                    command=command,
                    steps_per_tick=self._steps_per_tick,
                    reaction=reaction,
                    is_ill=self._is_ill,
                    has_diverged=finding is None or finding.name == "divergence",
                )
            except Exception as error:  # every other rank must learn of it, or it would wait for ever
                agreed, failure = Agreement(steps_per_tick=1, has_failed=True), error
        agreed = from_first(agreed, self._device)
        if agreed.has_failed:
            raise failure or RuntimeError("rank 0 failed between two steps; its own error says why")
        self._steps_per_tick, self._is_ill = agreed.steps_per_tick, agreed.is_ill
        self._react(agreed, stats, finding)
        return agreed.command

    def _look(self, stats: Stats) -> list[Finding]:
        """Return what is wrong; add what was seen to the stats. On rank 0."""
        roles = self._family.roles()
        seen: list[Any] = [None] * len(roles)
        if self._monitor.is_due and not not_finite(stats):
            with self.clock("health"):
                seen = self._monitor.look(self._engine.networks)
            for role, own in zip(roles, seen, strict=True):
                stats.update(own.stats(prefix_of(role, roles)))
        progress = self.examples / self._settings.examples
        found = self._watches.look(stats, seen, progress=progress, steps=self._steps)
        self._is_ill = self._watches.is_worried or any(f.name in ("divergence", "mode_collapse") for f in found)
        noted, self._notes = self._notes, []
        return [*noted, *found]

    def _react(self, agreed: Agreement, stats: Stats, finding: Finding | None) -> None:
        """Do as all ranks do. finding: what asks for it, on rank 0."""
        if agreed.reaction == "warn":
            return
        reason = f"{finding.name}: {finding.message}" if finding else "see rank 0"
        if agreed.reaction == "rollback" and self._engine.rollbacks < MAX_ROLLBACKS:
            return self._roll_back(reason)
        if agreed.reaction == "rollback":
            reason += f"; {MAX_ROLLBACKS} rollbacks did not help"
        if agreed.has_diverged:
            told = "" if agreed.reaction == "fail" and not_finite(stats) else reason
            raise Diverged(stats, examples=self.examples, steps=self._steps, reason=told)
        raise Collapsed(f"at {self.examples} examples: {reason}")

    def _roll_back(self, reason: str) -> None:
        """Go back to the newest healthy state, with other draws, another order of the data, and slower.

        What was saved after it is forgotten, and the state saved anew: a later attempt goes on along the new line.
        """
        self._background.wait()
        snapshot = self._healthy.pop() if len(self._healthy) > 1 else self._healthy[-1]
        left = self.examples
        self._engine.rollbacks += 1
        self._go_to(snapshot)
        self._last_examples, self._steps_per_tick, self._is_ill = self.examples, 1, False
        self._watches = Watches(self._family.roles())
        self._forget_later_checkpoints()
        self._keep(self._engine.snapshot(self._progress()))
        evidence = {"rollbacks": float(self._engine.rollbacks), "from": float(left), "to": float(self.examples)}
        message = (
            f"went back from {left} to {self.examples} examples, with a changed seed and slower, because of {reason}"
        )
        self._notes.append(Finding(name="rollback", message=message, evidence=evidence))

    def save(self) -> bool:
        """Copy the state; the rest happens in the background. Return False, and nothing is kept, if it is not finite."""
        begun = time.perf_counter()
        with self.clock("checkpoint"):
            self._background.wait()
            snapshot = self._engine.snapshot(self._progress())
            if snapshot.is_finite:
                self._keep(snapshot)
                if self._rolls_back and not self._is_ill:
                    self._healthy.append(snapshot)
        self._stalled += time.perf_counter() - begun
        return snapshot.is_finite

    def draw_grid(self) -> Path | None:
        with self.clock("grid"):
            return self._draw(self._engine.sampled_weights())

    def _draw(self, weights: Mapping[str, State]) -> Path | None:
        if not self._world.is_first:
            return None
        path, examples = self._results.draw_grid(weights, self.examples), self.examples
        self._background.submit(lambda: self._hooks.grid(path, examples))
        return path

    def end(self, command: Command) -> Outcome:
        """Take the last checkpoint, and write what a finished training leaves."""
        if not self.save() and self._settings.health.get("on_divergence") != "warn":
            raise Diverged({}, examples=self.examples, steps=self._steps, reason="the last weights are not finite")
        finished = command == "continue"
        weights = self._engine.sampled_weights()
        model = grid = None
        if self._world.is_first:
            if finished:
                grid, model = self._draw(weights), self._results.save_model(weights, self.examples)
            self._background.wait()
            self._results.draw_curves()
        return Outcome(
            status=STATUS[command],  # type: ignore[arg-type]
            examples=self.examples,
            steps=self._steps,
            checkpoint=self._checkpoint,
            model=model,
            grid=grid,
        )

    def _keep(self, snapshot: Snapshot) -> None:
        if self._world.is_first:
            folder, examples = self._checkpoints / f"{self.examples:012d}", self.examples
            self._background.submit(lambda: self._write(folder, snapshot, examples))
            self._checkpoint = folder

    def _forget_later_checkpoints(self) -> None:
        if self._world.is_first:
            checkpoint.forget(self._checkpoints, after=self.examples)
            examples = self.examples
            self._background.submit(lambda: self._hooks.rolled_back(examples))

    @property
    def _checkpoints(self) -> Path:
        return self._workspace / "checkpoints"

    def _boundaries(self) -> tuple[int, ...]:
        return self._settings.checkpoint_every, self._settings.grid_every

    def _report(self, stats: Stats, findings: tuple[Finding, ...]) -> Command:
        now = time.perf_counter()
        tick = Tick(
            examples=self.examples,
            steps=self._steps,
            total_examples=self._settings.examples,
            seconds=now - self._begun,
            examples_per_second=(self.examples - self._last_examples) / (now - self._last_tick),
            stats={**stats, **self._engine.rates(), **self._rollback_count()},
            findings=findings,
            activity_seconds=self.clock.read(),
            checkpoint_stall_seconds=self._stalled,
        )
        self._last_tick, self._last_examples, self._stalled = now, self.examples, 0.0
        self._results.append(tick)
        return self._hooks.tick(tick)

    def _rollback_count(self) -> Stats:
        return {"rollbacks": float(self._engine.rollbacks)} if self._engine.rollbacks else {}

    def _progress(self) -> dict[str, Any]:
        return {
            "examples": self.examples,
            "steps": self._steps,
            "rollbacks": self._engine.rollbacks,
            "family": self._settings.family,
            "params": self._family.config.model_dump(mode="json"),
            "data": {name: data.digest for name, data in self._data.items()},
            "inputs": inputs_config(self._family.examples),
            "batch_size": self._settings.batch_size,
            "group": self._settings.group,
            "seed": self._settings.seed,
            "precision": self._settings.precision,
            "model": complete(
                self._results.model_config(self.examples)
            ),  # with its averages, any checkpoint can be sampled from
        }

    def _write(self, folder: Path, snapshot: Snapshot, examples: int) -> None:
        checkpoint.write(
            folder,
            snapshot,
            world_size=self._world.size,
            threads=self._settings.threads,
            processor=checkpoint.processor_kind(self._device),
        )
        self._hooks.checkpoint(folder, examples)
        checkpoint.prune(folder.parent)
