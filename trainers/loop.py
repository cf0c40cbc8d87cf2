"""The one training loop: steps until the next tick, the tick, then what is due."""

import json
import time
from collections import deque
from dataclasses import asdict
from math import isfinite
from pathlib import Path
from typing import Any

from trainers import checkpoint
from trainers.background import Background
from trainers.cadence import next_pace, passed_multiple, steps_to_multiple
from trainers.data.packed import PackedData
from trainers.data.stream import Stream
from trainers.devices import dtype_of, prepare
from trainers.engine import Engine
from trainers.generation.sampling import Sampler, complete, save_model
from trainers.hooks import COMMANDS, Hooks, NoHooks, Outcome, Tick
from trainers.monitoring.grids import save_grid
from trainers.monitoring.health import Collapsed, Diverged, Finding, Watch, not_finite
from trainers.monitoring.health import reaction as react
from trainers.monitoring.meter import Clock, Meter
from trainers.monitoring.plots import loss_curves
from trainers.monitoring.sample_stats import Painter
from trainers.objectives.losses import LOSSES, adversarial_loss
from trainers.parallel import from_first, world
from trainers.randomness.groups import Share
from trainers.settings import Settings
from trainers.snapshot import Snapshot, State, read_state

__all__ = ["Collapsed", "Diverged", "Hooks", "NoHooks", "Outcome", "Settings", "Tick", "train"]

Stats = dict[str, float]

CONTINUE, FAILED = 0, len(COMMANDS)
REACTIONS = ("warn", "rollback", "fail")
MAX_ROLLBACKS = 3
KEPT_HEALTHY = 2  # snapshots to go back to: the newest may have been ill already
STATUS = {"continue": "finished", "checkpoint_and_stop": "stopped", "cancel": "cancelled"}
MUST_AGREE = ("family", "params", "data", "shape", "classes", "batch_size", "group", "seed", "precision")


class WrongCheckpoint(ValueError):
    """A checkpoint belongs to another training; the message names what differs."""


def train(settings: Settings, data: PackedData, *, workspace: Path, resume: Path | None, hooks: Hooks) -> Outcome:
    """Trains to settings.examples, or until a hook says otherwise. Every rank calls it with the same arguments.

    The caller has initialised torch.distributed, or there is one rank. Rank 0 writes into `workspace`
    checkpoints/<examples>/, grids/<examples>.png, stats.jsonl, and at the end model/ and losses.png.
    Raises Diverged, checkpoint.DamagedCheckpoint, WrongCheckpoint, BadSplit and what building the family raises.
    """
    with Background() as background:
        run = _Run(settings, data, Path(workspace), hooks, background)
        if resume is not None:
            run.resume(Path(resume))
        run.remember_start()
        command = CONTINUE
        while not run.finished and command == CONTINUE:
            before = run.examples
            stats = run.advance()
            with run.clock("tick"):
                command = run.tick(stats)
            ends = run.finished or command != CONTINUE
            if not ends and passed_multiple(before, run.examples, settings.grid_every):
                run.draw_grid()
            if not ends and passed_multiple(before, run.examples, settings.checkpoint_every):
                run.save()
        return run.end(command)


class _Run:
    """One rank's training: what the loop's verbs act on."""

    def __init__(
        self, settings: Settings, data: PackedData, workspace: Path, hooks: Hooks, background: Background
    ) -> None:
        self._settings, self._data, self._workspace, self._hooks = settings, data, workspace, hooks
        self._background, self._world = background, world()
        self._device = prepare(settings.device, settings.threads)
        self._family = settings.build_family(data.shape, data.classes)
        share = Share(
            batch_size=settings.batch_size, group=settings.group, rank=self._world.rank, world=self._world.size
        )
        self._engine = Engine(self._family, settings, share, self._device)
        self._share = share
        self._stream = self._fresh_stream()
        self._painter = Painter(self._family, data, seed=settings.seed, device=self._device)
        self._watch = self._fresh_watch()
        self._notes: list[Finding] = []  # for the next tick
        self._is_ill = False
        self._healthy: deque[Snapshot] = deque(maxlen=KEPT_HEALTHY)
        self._meter, self.clock = Meter(self._device), Clock()
        self._steps, self._pace = 0, 1
        self._begun = self._last_tick = time.perf_counter()
        self._last_examples = 0
        self._stalled = 0.0
        self._checkpoint: Path | None = None
        self._workspace.mkdir(parents=True, exist_ok=True)

    @property
    def examples(self) -> int:
        return self._steps * self._engine.examples_per_step

    @property
    def finished(self) -> bool:
        return self.examples >= self._settings.examples

    def resume(self, folder: Path) -> None:
        snapshot = checkpoint.load(folder)
        _check_agreement(folder, dict(snapshot.progress), self._progress())
        self._engine.rollbacks = int(snapshot.progress.get("rollbacks", 0))
        self._go_to(snapshot)
        self._last_examples = self.examples

    def remember_start(self) -> None:
        """Where there is no checkpoint yet, a rollback goes back to here."""
        if self._rolls_back:
            self._healthy.append(self._engine.snapshot(self._progress()))

    @property
    def _rolls_back(self) -> bool:
        return "rollback" in self._settings.health.values()

    def _go_to(self, snapshot: Snapshot) -> None:
        self._engine.restore(snapshot)
        self._steps = int(snapshot.progress["steps"])
        self._stream = self._fresh_stream()

    def _fresh_stream(self) -> Stream:
        dtype = dtype_of(self._settings.precision)
        balanced = self._family.config.balanced
        return Stream(
            self._data, self._share, seed=self._engine.seed, device=self._device, dtype=dtype, balanced=balanced
        )

    def _fresh_watch(self) -> Watch:
        loss = getattr(self._family.config, "loss", None)
        return Watch(adversarial_loss(loss).at_chance if loss in LOSSES else None)

    def advance(self) -> Stats:
        """As many steps as were agreed at the last tick, or fewer if something is due before; their mean stats."""
        steps = min(self._pace, *(self._steps_to(every) for every in self._borders()))
        begun = time.perf_counter()
        for left in reversed(range(steps)):
            self._engine.step(self._steps, self._stream, self._meter, self.clock, measure=left == 0)
            self._steps += 1
        stats = self._meter.read()
        self._pace = next_pace(steps, time.perf_counter() - begun, self._settings.tick_seconds)
        return stats

    def tick(self, stats: Stats) -> int:
        """Reports, and returns the command's number; raises on every rank if the training is none any more."""
        command, reaction, failure, finding = CONTINUE, 0, None, None
        if self._world.is_first:
            try:
                self._background.raise_failures()
                findings = self._look(stats)
                wanted, finding = react(findings, self._settings.health)
                reaction = REACTIONS.index(wanted)
                command = COMMANDS.index(self._report(stats, tuple(findings)))
            except Exception as error:  # every other rank must learn of it, or it would wait for ever
                command, failure = FAILED, error
        told = [command, self._pace, reaction, int(self._is_ill), int(finding is None or finding.name == "divergence")]
        command, self._pace, reaction, ill, diverged = from_first(told, self._device)
        self._is_ill = bool(ill)
        if command == FAILED:
            raise failure or RuntimeError("rank 0 failed between two steps; its own error says why")
        self._react(REACTIONS[reaction], stats, finding, diverged=bool(diverged))
        return command

    def _look(self, stats: Stats) -> list[Finding]:
        """What is wrong; adds what was seen to the stats. On rank 0."""
        portrait = None
        if self._painter.is_due and not not_finite(stats):
            with self.clock("health"):
                portrait = self._painter.look(self._engine.networks[self._family.averaged])
            stats.update(portrait.stats())
        progress = self.examples / self._settings.examples
        found = self._watch.look(stats, portrait, progress=progress, steps=self._steps)
        self._is_ill = self._watch.is_worried or any(f.name in ("divergence", "mode_collapse") for f in found)
        noted, self._notes = self._notes, []
        return [*noted, *found]

    def _react(self, reaction: str, stats: Stats, finding: Finding | None, *, diverged: bool) -> None:
        """Every rank does the same."""
        if reaction == "warn":
            return
        reason = f"{finding.name}: {finding.message}" if finding else "see rank 0"
        if reaction == "rollback" and self._engine.rollbacks < MAX_ROLLBACKS:
            return self._roll_back(reason)
        if reaction == "rollback":
            reason += f"; {MAX_ROLLBACKS} rollbacks did not help"
        if diverged:
            told = "" if reaction == "fail" and not_finite(stats) else reason
            raise Diverged(stats, examples=self.examples, steps=self._steps, reason=told)
        raise Collapsed(f"at {self.examples} examples: {reason}")

    def _roll_back(self, reason: str) -> None:
        """To the newest healthy state, with other draws, another order of the data, and slower.

        What was saved after it is forgotten, and the state saved anew: a later attempt goes on along the new line.
        """
        self._background.wait()
        snapshot = self._healthy.pop() if len(self._healthy) > 1 else self._healthy[-1]
        left = self.examples
        self._engine.rollbacks += 1
        self._go_to(snapshot)
        self._last_examples, self._pace, self._is_ill = self.examples, 1, False
        self._watch = self._fresh_watch()
        self._forget_later_checkpoints()
        self._keep(self._engine.snapshot(self._progress()))
        evidence = {"rollbacks": float(self._engine.rollbacks), "from": float(left), "to": float(self.examples)}
        message = (
            f"went back from {left} to {self.examples} examples, with a changed seed and slower, because of {reason}"
        )
        self._notes.append(Finding(name="rollback", message=message, evidence=evidence))

    def save(self) -> bool:
        """Copies the state; the rest happens in the background. False, and nothing is kept, if it is not finite."""
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
            return self._draw(read_state(self._engine.average.network))

    def end(self, command: int) -> Outcome:
        """The last checkpoint, and what a finished training leaves."""
        if not self.save() and self._settings.health.get("on_divergence") != "warn":
            raise Diverged({}, examples=self.examples, steps=self._steps, reason="the last weights are not finite")
        finished = command == CONTINUE
        weights = read_state(self._engine.average.network)
        model = grid = None
        if self._world.is_first:
            if finished:
                grid, model = self._draw(weights), self._save_model(weights)
            self._background.wait()
            self._draw_curves()
        return Outcome(
            status=STATUS[COMMANDS[command]],  # type: ignore[arg-type]
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

    def _borders(self) -> tuple[int, ...]:
        return self._settings.checkpoint_every, self._settings.grid_every

    def _steps_to(self, every: int) -> int:
        per_step = self._engine.examples_per_step
        left = -(-(self._settings.examples - self.examples) // per_step)
        return min(left, steps_to_multiple(self.examples, every, per_step))

    def _report(self, stats: Stats, findings: tuple[Finding, ...]) -> str:
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
        with open(self._workspace / "stats.jsonl", "a", encoding="utf-8") as file:
            file.write(_as_line(tick))
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
            "data": self._data.digest,
            "shape": list(self._data.shape),
            "classes": self._data.classes,
            "batch_size": self._settings.batch_size,
            "group": self._settings.group,
            "seed": self._settings.seed,
            "precision": self._settings.precision,
            "model": complete(self._model_config()),  # with average.safetensors, any checkpoint can be sampled from
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

    def _draw(self, weights: State) -> Path | None:
        """The same latents at every time, so that grids show one thing becoming another."""
        if not self._world.is_first:
            return None
        network = self._family.networks()[self._family.averaged]
        network.load_state_dict(weights)
        sampler = Sampler(self._family, network, device=self._device)
        samples, _ = sampler.samples(0, self._settings.grid_count, seed=self._settings.seed)
        path, examples = self._workspace / "grids" / f"{self.examples:012d}.png", self.examples
        save_grid(samples, path)
        self._background.submit(lambda: self._hooks.grid(path, examples))
        return path

    def _model_config(self) -> dict[str, Any]:
        return {
            "family": self._settings.family,
            "params": self._family.config.model_dump(mode="json"),
            "shape": list(self._family.shape),
            "classes": self._family.classes,
            "class_names": self._data.class_names if self._family.classes else None,
            "latent": self._family.config.latent.model_dump(mode="json"),
            "examples": self.examples,
        }

    def _save_model(self, weights: State) -> Path:
        save_model(self._workspace / "model", weights, self._model_config())
        return self._workspace / "model"

    def _draw_curves(self) -> None:
        stats = self._workspace / "stats.jsonl"
        if stats.exists():
            loss_curves(stats, self._workspace / "losses.png")


def _as_line(tick: Tick) -> str:
    """JSON has no NaN: what is not finite becomes null."""
    row = asdict(tick)
    findings = [{**finding, "evidence": _finite(finding["evidence"])} for finding in row["findings"]]
    return json.dumps({**row, "stats": _finite(row["stats"]), "findings": findings}) + "\n"


def _finite(values: Stats) -> dict[str, float | None]:
    return {name: value if isfinite(value) else None for name, value in values.items()}


def _check_agreement(folder: Path, saved: dict[str, Any], own: dict[str, Any]) -> None:
    for name in MUST_AGREE:
        if saved.get(name) != own[name]:
            raise WrongCheckpoint(f"{folder} was trained with {name} {saved.get(name)!r}, not {own[name]!r}")
