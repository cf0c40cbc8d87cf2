"""One training step: for each phase that is due, forward, backward, optimizer; then the average."""

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from trainers.accumulate import backward
from trainers.config import Execution
from trainers.data.stream import Stream
from trainers.devices import autocast, dtype_of
from trainers.ema import Average
from trainers.gan.family import Family
from trainers.growing import Stage
from trainers.layers.grouped import set_group
from trainers.layers.stages import freeze_idle, grow, shown
from trainers.monitoring.meter import Clock, Meter
from trainers.parallel import shared
from trainers.phase import Batch, Phase
from trainers.randomness.draws import Draws
from trainers.randomness.groups import Share
from trainers.randomness.keys import key, seed_own_generators, seeded
from trainers.settings import Settings
from trainers.snapshot import Snapshot, on_host, read_ranks, read_state, restore_rank

GENTLER = 0.25  # of the learning rates, after each rollback
WARM_UPS = 2  # DDP rebuilds its buckets after its first backward


class UntouchedWeights(ValueError):
    """A phase trains weights that its loss does not reach."""

    def __init__(self, phase: str, names: list[str]) -> None:
        super().__init__(f"phase {phase!r} trains weights that its loss does not reach: {', '.join(names)}")


class PhaseLoss(nn.Module):
    """A phase's loss as one module, in which only the networks that it trains are registered: one backward for each
    forward, and nothing else for DistributedDataParallel to wait for."""

    def __init__(self, phase: Phase, networks: Mapping[str, nn.Module], precision: str, device: torch.device) -> None:
        super().__init__()
        self.trained = nn.ModuleDict({name: networks[name] for name in phase.trains})
        self._phase, self._all = phase, dict(networks)
        self._precision, self._device = precision, device

    def forward(self, batch: Batch, draws: Draws) -> tuple[Tensor, Mapping[str, Tensor]]:
        # Cached, so that spectral norm iterates once a phase, however often a network is called in it.
        with autocast(self._precision, self._device), parametrize.cached():
            loss = self._phase.loss(self._all, batch, draws)
        return loss.value, loss.stats


class Engine:
    """Networks, optimizers and average of one rank. A new one is warmed up and stands at step 0."""

    def __init__(self, family: Family, settings: Settings, share: Share, device: torch.device) -> None:
        self._family, self._settings, self._share, self._device = family, settings, share, device
        self._parts = share.parts(family.config.execution.passes)
        self._replays = family.config.execution.cuda_graphs
        self.rollbacks = 0  # how often this training went back; each time with other draws and slower
        self._dtype = dtype_of(settings.precision)
        self.phases = family.phases()
        self.networks = self._fresh_networks(family)
        self._players = family.players()
        self.optimizers = self._fresh_optimizers()
        self._stage: Stage | None = None
        self._losses: dict[str, nn.Module] = {}
        self._try_later_stages()
        self._enter(family.growth.at(0.0) if family.growth else None)
        self.average = Average(self.networks[family.averaged], family.config.ema)

    @property
    def seed(self) -> int:
        """Of data order and draws."""
        return key(self._settings.seed, "rollback", self.rollbacks)[0] if self.rollbacks else self._settings.seed

    @property
    def examples_per_step(self) -> int:
        return self._share.batch_size * sum(phase.turns for phase in self.phases if phase.fresh)

    def step(self, step: int, stream: Stream, meter: Meter, clock: Clock, *, measure: bool) -> None:
        """measure: also take what is too costly for every step."""
        self._set_rates(step)
        self._grow(step)
        position = step * self.examples_per_step
        batch: Batch | None = None
        for phase in self.phases:
            if not phase.is_due(step):
                continue
            for turn in range(phase.turns):
                if phase.fresh or batch is None:
                    with clock("data"):
                        batch = stream.batch(position)
                    position += self._share.batch_size if phase.fresh else 0
                with clock(phase.name):
                    self._turn(phase, turn, step, batch, meter, measure)
        self.average.update((step + 1) * self.examples_per_step, self.examples_per_step)

    def rates(self) -> dict[str, float]:
        """Learning rates, and how far pictures have grown."""
        rates = {f"lr/{name}": float(optimizer.param_groups[0]["lr"]) for name, optimizer in self.optimizers.items()}
        if self._stage:
            rates |= {"growing/pixels": float(self._stage.pixels), "growing/alpha": self._stage.alpha}
        return rates

    def snapshot(self, progress: dict) -> Snapshot:
        """Every rank must call it."""
        return Snapshot(
            networks={name: read_state(network) for name, network in self.networks.items()},
            average=read_state(self.average.network),
            ranks=read_ranks({**self.networks, "average": self.average.network}),
            optimizers={name: on_host(optimizer.state_dict()) for name, optimizer in self.optimizers.items()},
            progress=progress,
        )

    def restore(self, snapshot: Snapshot) -> None:
        for name, network in self.networks.items():
            network.load_state_dict(snapshot.networks[name])
        self.average.network.load_state_dict(dict(snapshot.average))
        restore_rank({**self.networks, "average": self.average.network}, snapshot.ranks)
        for name, optimizer in self.optimizers.items():
            optimizer.load_state_dict(snapshot.optimizers[name])
            _match_memory_format(optimizer)

    def _turn(self, phase: Phase, turn: int, step: int, batch: Batch, meter: Meter, measure: bool) -> None:
        seed_own_generators(self._device, self.seed, step, phase.name, turn, self._share.rank)
        if self._replays:
            torch.compiler.cudagraph_mark_step_begin()  # what graphs of earlier turns left may be overwritten
        stats = self._backward(phase, batch, turn, step)
        meter.add(stats)
        if measure and phase.interval == 1:
            meter.add({f"grad_norm/{name}": _gradient_norm(self.networks[name]) for name in phase.trains})
        optimizer = self.optimizers[phase.optimizer]
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if clip := self._players[phase.optimizer].clip:
            _clip([p for name in phase.trains for p in self.networks[name].parameters()], clip)

    def _backward(self, phase: Phase, batch: Batch, turn: int, step: int) -> dict[str, Tensor]:
        self._free(phase)
        draws = [self._draws(phase, turn, step, share) for share in self._parts]
        batch = replace(batch, samples=shown(batch.samples, self._stage))
        parts = list(zip(batch.parts(len(draws)), draws, strict=True))
        value, stats = backward(self._losses[phase.name], self.networks.values(), parts)
        return {f"loss/{phase.name}": value, **stats}

    def _draws(self, phase: Phase, turn: int, step: int, share: Share) -> Draws:
        return Draws(
            seed=self.seed,
            step=step,
            phase=f"{phase.name}/{turn}",
            share=share,
            device=self._device,
            dtype=self._dtype,
            progress=self._progress(max(step, 0)),
        )

    def _progress(self, step: int) -> float:
        return step * self.examples_per_step / self._settings.examples

    def _set_rates(self, step: int) -> None:
        progress = self._progress(step)
        for name, optimizer in self.optimizers.items():
            betas = self._players[name].betas_at(progress, self._lazy_interval(name))
            for group in optimizer.param_groups:
                group["lr"] = group["initial_lr"] * self._players[name].factor(progress) * GENTLER**self.rollbacks
                if betas:
                    group["betas"] = betas

    def _fresh_networks(self, family: Family) -> dict[str, nn.Module]:
        with seeded(self._settings.seed, "weights"):
            networks = family.networks()
        for network in networks.values():
            network.to(self._device, self._dtype).train()
            network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
            set_group(network, self._share.group)
            _compile(network, family.config.execution)
        return networks

    def _try_later_stages(self) -> None:
        """Uncompiled: what a stage lacks, memory above all, should be known before the first step."""
        if growth := self._family.growth:
            with torch.compiler.set_stance("force_eager"):
                for stage in growth.layouts()[:0:-1]:
                    self._enter(stage)

    def _grow(self, step: int) -> None:
        if self._family.growth is None:
            return
        stage = self._family.growth.at(self._progress(step))
        if not stage.uses_layers_of(self._stage):
            self._enter(stage)
        self._set_stage(stage)

    def _enter(self, stage: Stage | None) -> None:
        """With the losses shared anew: each waits for the weights that it was told of. Nothing but the stage changes."""
        self._set_stage(stage)
        if self._family.config.execution.compile and stage:
            torch.compiler.reset()  # a network of too many variants runs uncompiled
        kept = {name: on_host(network.state_dict()) for name, network in self.networks.items()}
        self._losses = {phase.name: self._shared_loss(phase) for phase in self.phases}
        self._warm_up()
        for name, network in self.networks.items():
            network.load_state_dict(kept[name])

    def _set_stage(self, stage: Stage | None) -> None:
        self._stage = stage
        if stage:
            for network in self.networks.values():
                grow(network, stage)

    def _free(self, phase: Phase) -> None:
        """What the phase trains, and what of it runs at this stage."""
        for name, network in self.networks.items():
            network.requires_grad_(name in phase.trains)
            if self._stage:
                freeze_idle(network)

    def _shared_loss(self, phase: Phase) -> nn.Module:
        self._free(phase)
        return shared(PhaseLoss(phase, self.networks, self._settings.precision, self._device), self._device)

    def _fresh_optimizers(self) -> dict[str, torch.optim.Optimizer]:
        optimizers = {}
        for name, player in self._players.items():
            phases = [phase for phase in self.phases if phase.optimizer == name]
            trained = dict.fromkeys(network for phase in phases for network in phase.trains)
            parameters = [p for network in trained for p in self.networks[network].requires_grad_(True).parameters()]
            optimizers[name] = player.build(parameters, self._lazy_interval(name))
            for group in optimizers[name].param_groups:
                group["initial_lr"] = group["lr"]
        return optimizers

    def _lazy_interval(self, player: str) -> int | None:
        """Of the lazy penalty that steps this player's optimizer too."""
        intervals = (phase.interval for phase in self.phases if phase.optimizer == player and phase.interval > 1)
        return min(intervals, default=None)

    def _warm_up(self) -> None:
        """Every phase forward and backward on synthetic data, before any state counts.

        Without it a resumed run would sum its gradients in another order for one step, and an out-of-memory would
        come in the middle of the training.
        """
        batch = self._synthetic()
        for _ in range(WARM_UPS):
            for phase in self.phases:
                self._backward(phase, batch, 0, -1)
                self._refuse_untouched(phase)
                for network in self.networks.values():
                    network.zero_grad(set_to_none=True)

    def _synthetic(self) -> Batch:
        count, classes = len(self._share.samples), self._family.classes
        samples = self._draws(self.phases[0], 0, -1, self._share).uniform("samples", *self._family.shape) * 2 - 1
        labels = torch.arange(count, device=self._device) % classes if classes else None
        return Batch(samples=samples.contiguous(memory_format=torch.channels_last), labels=labels)

    def _refuse_untouched(self, phase: Phase) -> None:
        """A None gradient makes Adam skip a weight, a zero does not, and DDP waits for each: none may be None."""
        untouched = [
            f"{name}.{parameter}"
            for name in phase.trains
            for parameter, p in self.networks[name].named_parameters()
            if p.requires_grad and p.grad is None
        ]
        if untouched:
            raise UntouchedWeights(phase.name, untouched)


def _compile(network: nn.Module, execution: Execution) -> None:
    """In place: names of weights stay as they are."""
    if execution.compile:
        network.compile(dynamic=False, mode="reduce-overhead" if execution.cuda_graphs else None)


@torch.no_grad()
def _clip(weights: list[Tensor], edge: float) -> None:
    torch._foreach_clamp_min_(weights, -edge)
    torch._foreach_clamp_max_(weights, edge)


def _gradient_norm(network: nn.Module) -> Tensor:
    norms = torch._foreach_norm([p.grad for p in network.parameters() if p.grad is not None])
    return torch.linalg.vector_norm(torch.stack(norms))


def _match_memory_format(optimizer: torch.optim.Optimizer) -> None:
    """Moments get their weight's strides again: fused kernels walk both as they lie in memory."""
    for parameter, state in optimizer.state.items():
        for name, value in state.items():
            if isinstance(value, Tensor) and value.shape == parameter.shape:
                state[name] = torch.empty_like(parameter).copy_(value)
