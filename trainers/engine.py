"""One training step: for each phase that is due, forward, backward, optimizer; then the averages."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from trainers.accumulate import backward
from trainers.batch import Batch, Examples
from trainers.config import Execution
from trainers.data.stream import Stream
from trainers.devices import autocast, dtype_of
from trainers.ema import Average
from trainers.gan.family import Family
from trainers.growing import Stage
from trainers.layers.dropout import name_dropouts
from trainers.layers.grouped import set_group
from trainers.layers.per_position import place
from trainers.layers.stages import freeze_idle, grow, shown
from trainers.monitoring.meter import Clock, Meter
from trainers.optimizers import Optimizers
from trainers.parallel import shared
from trainers.phase import Networks, Phase, batches_in
from trainers.randomness.draws import Draws
from trainers.randomness.groups import Share
from trainers.randomness.keys import key, seed_own_generators, seeded
from trainers.randomness.source import drawing_from
from trainers.settings import Settings
from trainers.snapshot import Snapshot, State, on_host, read_ranks, read_state, restore_rank, restore_state

ROLLBACK_LR_FACTOR = 0.25  # of the learning rates, after each rollback
WARM_UPS = 2  # DDP rebuilds its buckets after its first backward


class UntouchedWeights(ValueError):
    """A phase trains weights that its loss does not reach."""

    def __init__(self, phase: str, names: list[str]) -> None:
        super().__init__(f"phase {phase!r} trains weights that its loss does not reach: {', '.join(names)}")


class UnkeyedRandomness(ValueError):
    """A phase draws from torch's own generator: workers would draw other numbers than one worker does."""

    def __init__(self, phase: str) -> None:
        super().__init__(
            f"phase {phase!r} draws from torch's own generator, whose numbers depend on the number of workers; "
            "draw from the phase's `draws`, or by trainers.randomness.source.drawn within a network"
        )


class PhaseLoss(nn.Module):
    """A phase's loss as one module, in which only the networks that it trains are registered: one backward for each
    forward, and nothing else for DistributedDataParallel to wait for."""

    def __init__(self, phase: Phase, networks: Networks, precision: str, device: torch.device) -> None:
        super().__init__()
        self.trained = nn.ModuleDict({name: networks[name] for name in phase.trains})
        self._phase, self._all = phase, dict(networks)
        self._precision, self._device = precision, device

    def forward(self, batch: Batch, draws: Draws) -> tuple[Tensor, Mapping[str, Tensor]]:
        # Cached, so that spectral norm iterates once a phase, however often a network is called in it.
        with autocast(self._precision, self._device), parametrize.cached(), drawing_from(draws):
            loss = self._phase.loss(self._all, batch, draws)
        return loss.value, loss.stats


class Engine:
    """Networks, optimizers and averages of one rank. A new one is warmed up and stands at step 0."""

    def __init__(
        self,
        family: Family,
        settings: Settings,
        share: Share,
        device: torch.device,
        helpers: Networks | None = None,
    ) -> None:
        """Raise UntouchedWeights or UnkeyedRandomness for what would go wrong unseen. helpers: frozen networks."""
        self._family, self._settings, self._share, self._device = family, settings, share, device
        self._dtype = dtype_of(settings.precision)
        self.rollbacks = 0  # how often this training went back; each time with other draws and slower
        self.phases = family.phases()
        self._parts = {phase.name: self._shares_of(phase) for phase in self.phases}
        self.networks = self._fresh_networks()
        self._helpers = {name: self._frozen(helper) for name, helper in (helpers or {}).items()}
        self.optimizers = Optimizers(family.optimizers(), self.phases, self.networks)
        self._stage: Stage | None = None
        self._losses: dict[str, nn.Module] = {}
        self._try_later_stages()
        self._enter(family.growth.at(0.0) if family.growth else None)
        self.averages = {name: Average(self.networks[name], family.config.ema) for name in family.averages()}

    @property
    def seed(self) -> int:
        """Return the seed of data order and draws."""
        return key(self._settings.seed, "rollback", self.rollbacks)[0] if self.rollbacks else self._settings.seed

    def examples_in(self, step: int, examples: int) -> int:
        """Return how many real examples a step shows, before which so many were shown."""
        return self._share.batch_size * batches_in(self.phases, step, examples, self._settings.examples)

    def step(self, step: int, examples: int, stream: Stream, meter: Meter, clock: Clock, *, measure: bool) -> int:
        """Take one training step; return the examples shown after it. measure: also what is too costly for every step."""
        progress, position = self._progress(examples), examples
        self.optimizers.set_rates(progress, ROLLBACK_LR_FACTOR**self.rollbacks)
        self._grow(progress)
        batch: Batch | None = None
        for phase in self.phases:
            if not phase.is_due(step, examples, self._settings.examples):
                continue
            for number in range(phase.steps_at(step)):
                if phase.new_batch or batch is None:
                    with clock("data"):
                        batch = stream.batch(position)
                    position += self._share.batch_size
                with clock(phase.name):
                    self._optimizer_step(phase, number, step, progress, batch, meter, measure)
        for name, average in self.averages.items():
            made = self._share.batch_size * self._batches_for(name, step, examples)
            average.update(step, progress, position / (position - examples), made)
        return position

    def _batches_for(self, network: str, step: int, examples: int) -> int:
        """Return how many batches a network is trained on in a step; lazy penalties do not count."""
        due = (phase for phase in self.phases if phase.is_due(step, examples, self._settings.examples))
        own = (phase for phase in due if network in phase.trains and phase.interval == 1)
        return sum(phase.steps_at(step) * phase.batch_multiple for phase in own)

    def _optimizer_step(
        self, phase: Phase, number: int, step: int, progress: float, batch: Batch, meter: Meter, measure: bool
    ) -> None:
        """Take a step of an optimizer. number: of the phase's optimizer steps within the training step."""
        seed_own_generators(self._device, self.seed, step, phase.name, number, self._share.rank)
        if self._family.config.execution.cuda_graphs:
            torch.compiler.cudagraph_mark_step_begin()  # what graphs of earlier steps left may be overwritten
        meter.add(self._backward(phase, batch, number, step, progress))
        if measure and phase.interval == 1:
            meter.add({f"grad_norm/{name}": _gradient_norm(self.networks[name]) for name in phase.trains})
        self.optimizers.step(phase, self.networks)

    def _backward(self, phase: Phase, batch: Batch, number: int, step: int, progress: float) -> dict[str, Tensor]:
        self._free(phase)
        batch = self._as_the_stage_has_it(batch)
        if phase.batch_multiple > 1:
            batch = batch.repeated(self._share.group, phase.batch_multiple)
        shares = self._parts[phase.name]
        draws = [self._draws(phase, number, step, progress, share) for share in shares]
        parts = list(zip(batch.parts(len(draws)), draws, strict=True)) if len(draws) > 1 else [(batch, draws[0])]
        value, stats = backward(self._losses[phase.name], self.networks.values(), parts)
        return {f"loss/{phase.name}": value, **stats}

    def _draws(self, phase: Phase, number: int, step: int, progress: float, share: Share) -> Draws:
        return Draws(
            seed=self.seed,
            step=step,
            phase=f"{phase.name}/{number}",
            share=share,
            device=self._device,
            dtype=self._dtype,
            progress=progress,
        )

    def _shares_of(self, phase: Phase) -> list[Share]:
        parts = self._family.config.execution.gradient_accumulation
        return self._share.multiplied(phase.batch_multiple).parts(parts)

    def _progress(self, examples: int) -> float:
        return examples / self._settings.examples

    def _free(self, phase: Phase) -> None:
        """Let what the phase trains have gradients, and of it what runs at this stage."""
        for name, network in self.networks.items():
            network.requires_grad_(name in phase.trains)
            if self._stage:
                freeze_idle(network)

    # --- what a checkpoint holds

    def rates(self) -> dict[str, float]:
        """Return learning rates, and how far pictures have grown."""
        rates = self.optimizers.rates()
        if self._stage:
            rates |= {"growing/pixels": float(self._stage.pixels), "growing/alpha": self._stage.alpha}
        return rates

    def sampled_weights(self) -> dict[str, State]:
        """Return the weights that samples are drawn with, by network. Every rank must call it."""
        names = dict.fromkeys(name for spec in self._family.samplers().values() for name in spec.networks)
        return {name: read_state(self._sampled(name)) for name in names}

    def snapshot(self, progress: dict) -> Snapshot:
        """Return a copy of everything on the host. Every rank must call it."""
        return Snapshot(
            networks={name: read_state(network) for name, network in self.networks.items()},
            averages={name: read_state(average.network) for name, average in self.averages.items()},
            ranks=read_ranks(self._all_networks()),
            optimizers=self.optimizers.read(),
            progress=progress,
        )

    def restore(self, snapshot: Snapshot) -> None:
        for name, network in self.networks.items():
            restore_state(network, snapshot.networks[name], self._share)
        for name, average in self.averages.items():
            restore_state(average.network, snapshot.averages[name], self._share)
        restore_rank(self._all_networks(), snapshot.ranks)
        self.optimizers.restore(snapshot.optimizers)

    def _all_networks(self) -> dict[str, nn.Module]:
        return self.networks | {f"average-{name}": average.network for name, average in self.averages.items()}

    def _sampled(self, name: str) -> nn.Module:
        return self.averages[name].network if name in self.averages else self.networks[name]

    # --- before the first step

    def _fresh_networks(self) -> dict[str, nn.Module]:
        with seeded(self._settings.seed, "weights"):
            networks = self._family.networks()
        for name, network in networks.items():
            make_ready(name, network, self._share)
            network.to(self._device, self._dtype)
            network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
            _compile(network, self._family.config.execution)
        return networks

    def _frozen(self, helper: nn.Module) -> nn.Module:
        return helper.to(self._device, self._dtype).eval().requires_grad_(False)

    def _warm_up(self) -> None:
        """Run every phase forward and backward on synthetic data, before any state counts.

        Without it a resumed run would sum its gradients in another order for one step, and an out-of-memory would
        come in the middle of the training.
        """
        batch = self._synthetic()
        for _ in range(WARM_UPS):
            for phase in self.phases:
                before = _torch_generator(self._device)
                self._backward(phase, batch, 0, -1, 0.0)
                if not torch.equal(before, _torch_generator(self._device)):
                    raise UnkeyedRandomness(phase.name)
                self._refuse_untouched(phase)
                for network in self.networks.values():
                    network.zero_grad(set_to_none=True)

    def _synthetic(self) -> Batch:
        return Batch(inputs={each.name: self._synthetic_input(each.name) for each in self._family.inputs()})

    def _synthetic_input(self, name: str) -> Examples:
        like = self._family.examples[name]
        draws = self._draws(self.phases[0], 0, -1, 0.0, self._share)
        samples = draws.uniform(f"synthetic {name}", *like.shape) * 2 - 1
        labels = torch.arange(len(samples), device=self._device) % like.classes if like.classes else None
        return Examples(samples=samples.contiguous(memory_format=torch.channels_last), labels=labels)

    def _refuse_untouched(self, phase: Phase) -> None:
        """Refuse weights whose gradient is None: Adam skips those, not those of a zero, and DDP waits for each."""
        untouched = [
            f"{name}.{parameter}"
            for name in phase.trains
            for parameter, p in self.networks[name].named_parameters()
            if p.requires_grad and p.grad is None
        ]
        if untouched:
            raise UntouchedWeights(phase.name, untouched)

    # --- growing

    def _as_the_stage_has_it(self, batch: Batch) -> Batch:
        if self._stage is None:
            return batch
        stage = self._stage
        shrunk = {
            name: Examples(samples=shown(examples.samples, stage), labels=examples.labels)
            for name, examples in batch.inputs.items()
        }
        return Batch(inputs=shrunk)

    def _try_later_stages(self) -> None:
        """Warm them up uncompiled: what a stage lacks, memory above all, should be known before the first step."""
        if growth := self._family.growth:
            with torch.compiler.set_stance("force_eager"):
                for stage in growth.layouts()[:0:-1]:
                    self._enter(stage)

    def _grow(self, progress: float) -> None:
        if self._family.growth is None:
            return
        stage = self._family.growth.at(progress)
        if not stage.uses_layers_of(self._stage):
            self._enter(stage)
        self._set_stage(stage)

    def _enter(self, stage: Stage | None) -> None:
        """Share the losses anew: each waits for the weights that it was told of. Nothing but the stage changes."""
        self._set_stage(stage)
        if self._family.config.execution.compile and stage:
            torch.compiler.reset()  # a network of too many variants runs uncompiled
        kept = {name: on_host(network.state_dict()) for name, network in self.networks.items()}
        self._losses = {phase.name: self._shared_loss(phase) for phase in self.phases}
        self._warm_up()
        for name, network in self.networks.items():
            network.load_state_dict(kept[name])

    def _shared_loss(self, phase: Phase) -> nn.Module:
        self._free(phase)
        networks = {**self.networks, **self._helpers}
        return shared(PhaseLoss(phase, networks, self._settings.precision, self._device), self._device)

    def _set_stage(self, stage: Stage | None) -> None:
        self._stage = stage
        if stage:
            for network in self.networks.values():
                grow(network, stage)


def make_ready(name: str, network: nn.Module, share: Share) -> None:
    """Tell a fresh network what it must know of the training: its name, its groups, and this rank's positions."""
    place(network, share)
    name_dropouts(name, network)
    set_group(network, share.group)
    network.train()


def _compile(network: nn.Module, execution: Execution) -> None:
    """Compile in place: names of weights stay as they are."""
    if execution.compile:
        network.compile(dynamic=False, mode="reduce-overhead" if execution.cuda_graphs else None)


def _gradient_norm(network: nn.Module) -> Tensor:
    norms = torch._foreach_norm([p.grad for p in network.parameters() if p.grad is not None])
    return torch.linalg.vector_norm(torch.stack(norms))


def _torch_generator(device: torch.device) -> Tensor:
    return torch.cuda.get_rng_state(device) if device.type == "cuda" else torch.get_rng_state()
