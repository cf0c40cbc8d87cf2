"""The phases of a game of two: a discriminator against a generator, with any loss, penalties and stabilisers."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainers.config import R1, Augment, Dragan, GradientPenalty, Lazy, PathLength, Penalties, Player, Stabilisers
from trainers.layers.head import Verdict
from trainers.objectives import penalties as terms
from trainers.objectives.augment import augmented, mirrored, shifted
from trainers.objectives.losses import LossName, adversarial_loss
from trainers.objectives.state import MEMORY, Memory
from trainers.parallel import differentiable_mean, mean_over_ranks
from trainers.phase import Batch, Loss, Networks, Phase
from trainers.randomness.draws import Draws

GENERATOR, DISCRIMINATOR = "generator", "discriminator"
LAZY = {  # penalties of each player, in the order of their phases
    DISCRIMINATOR: ("r1", "r2", "gradient_penalty", "dragan", "orthogonal", "consistency"),
    GENERATOR: ("path_length",),
}
Stats = dict[str, Tensor]


@dataclass(frozen=True, kw_only=True)
class TwoPlayers:
    """What the phases need to know of a family with one generator and one discriminator."""

    loss: LossName
    penalties: Penalties
    discriminator: Player
    generator: Player
    fakes: Callable[[nn.Module, Batch, Draws], Batch]  # (generator, reals, …) -> as many fakes
    latents: Callable[[Draws], Tensor]  # [n, dim]: what fakes are made from
    fakes_from: Callable[[nn.Module, Batch, Tensor], Batch]  # (generator, reals, latents)
    judge: Callable[[nn.Module, Batch], Verdict]  # (discriminator, …) -> [n]
    stabilisers: Stabilisers = field(default_factory=Stabilisers)
    augment: Augment = field(default_factory=Augment)
    auxiliary: float = 0.0  # weight of the class loss, where the discriminator names classes

    def phases(self) -> list[Phase]:
        players = [(DISCRIMINATOR, self._discriminator_phase()), (GENERATOR, self._generator_phase())]
        return [phase for player, own in players for phase in (own, *self._lazy_phases(player))]

    def _penalties(self, player: str, *, eager: bool) -> list[tuple[str, Lazy]]:
        found: list[tuple[str, Lazy | None]] = [(name, getattr(self.penalties, name)) for name in LAZY[player]]
        return [(name, penalty) for name, penalty in found if penalty and (penalty.every == 1) == eager]

    def _discriminator_phase(self) -> Phase:
        eager = self._penalties(DISCRIMINATOR, eager=True)

        def loss(networks: Networks, batch: Batch, draws: Draws) -> Loss:
            scene = _Scene(self, networks, batch, draws)
            value = scene.with_penalties(scene.discriminator_loss(), eager)
            return Loss(value=value, stats=scene.stats)

        return Phase(
            name=DISCRIMINATOR,
            trains=(DISCRIMINATOR,),
            optimizer=DISCRIMINATOR,
            loss=loss,
            turns=self.discriminator.steps,
            fresh=True,
        )

    def _lazy_phases(self, player: str) -> list[Phase]:
        return [self._lazy_phase(player, name, penalty) for name, penalty in self._penalties(player, eager=False)]

    def _lazy_phase(self, player: str, name: str, penalty: Lazy) -> Phase:
        def loss(networks: Networks, batch: Batch, draws: Draws) -> Loss:
            scene = _Scene(self, networks, batch, draws)
            value = scene.penalty(name, penalty) * penalty.every + terms.no_part(networks[player])
            return Loss(value=value, stats=scene.stats)

        return Phase(name=f"{player}_{name}", trains=(player,), optimizer=player, loss=loss, interval=penalty.every)

    def _generator_phase(self) -> Phase:
        eager = self._penalties(GENERATOR, eager=True)

        def loss(networks: Networks, batch: Batch, draws: Draws) -> Loss:
            scene = _Scene(self, networks, batch, draws)
            value = scene.with_penalties(scene.generator_loss(), eager)
            return Loss(value=value, stats=scene.stats)

        return Phase(name=GENERATOR, trains=(GENERATOR,), optimizer=GENERATOR, loss=loss, turns=self.generator.steps)


class _Scene:
    """One turn: networks, reals and draws, and what is computed of them when it is asked for."""

    def __init__(self, game: TwoPlayers, networks: Networks, reals: Batch, draws: Draws) -> None:
        self._game, self._draws = game, draws
        self._generator, self._discriminator = networks[GENERATOR], networks[DISCRIMINATOR]
        self._memory = networks.get(MEMORY)
        self._reals = replace(reals, samples=mirrored(reals.samples, draws)) if game.augment.flips else reals
        self._frozen_fakes: Batch | None = None
        self.stats: Stats = {}

    def discriminator_loss(self) -> Tensor:
        # One pass over both is quicker than two, and groups keep them apart.
        both = joined(self._seen(self._reals, "real"), self._seen(self._fakes, "fake"))
        verdict = self._judged(both)
        real, fake = verdict.logits.chunk(2)
        self.stats |= {"logits/real": real.detach().mean(), "logits/fake": fake.detach().mean()}
        if self._game.loss == "wasserstein":
            self.stats["wasserstein_estimate"] = self.stats["logits/real"] - self.stats["logits/fake"]
        value = self._adversarial(real, fake)
        if self._game.auxiliary and verdict.classes is not None:
            value = value + self._class_loss(verdict.classes, both)
        return self._remembered(value, real, fake)

    def generator_loss(self) -> Tensor:
        fakes = self._game.fakes(self._generator, self._reals, self._draws)
        verdict = self._judged(self._seen(fakes, "fake"))
        value = verdict.logits.new_zeros(())
        matching = self._game.stabilisers.feature_matching
        objective = adversarial_loss(self._game.loss)
        real = self._real_verdict() if matching or objective.needs_real else None
        if matching is None or matching.adversarial:
            value = value + objective.generator(verdict.logits, real.logits if real else None)
        if matching and real:
            term = matching.weight * _distance_of_means(real.features, verdict.features)
            value, self.stats["feature_matching"] = value + term, term.detach()
        if self._game.auxiliary and verdict.classes is not None:
            value = value + self._class_loss(verdict.classes, fakes)
        return value + self._history(GENERATOR, self._generator)

    def with_penalties(self, value: Tensor, penalties: Iterable[tuple[str, Lazy]]) -> Tensor:
        for name, penalty in penalties:
            value = value + self.penalty(name, penalty)
        return value

    def penalty(self, name: str, penalty: Lazy) -> Tensor:
        weight = penalty.at(self._draws.progress) if isinstance(penalty, R1) else penalty.weight
        term = weight * getattr(self, f"_{name}")(penalty)
        self.stats[f"penalty/{name}"] = term.detach()
        return term

    def _r1(self, penalty: R1) -> Tensor:
        return terms.r1(self._logits_of("real"), self._reals.samples)

    def _r2(self, penalty: R1) -> Tensor:
        return terms.r1(self._logits_of("fake"), self._fakes.samples)

    def _gradient_penalty(self, penalty: GradientPenalty) -> Tensor:
        mix, logits = self._draws.uniform("interpolation", 1, 1, 1), self._logits_of("real")
        value = terms.gradient_penalty(logits, self._reals.samples, self._fakes.samples, mix)
        if penalty.drift:
            value = value + penalty.drift / penalty.weight * logits(self._reals.samples).square().mean()
        return value

    def _dragan(self, penalty: Dragan) -> Tensor:
        reals = self._reals.samples
        noise = self._draws.uniform("dragan", *reals.shape[1:])
        return terms.unit_slope(self._logits_of("real"), reals + penalty.spread * _deviation(reals) * noise)

    def _orthogonal(self, penalty: Lazy) -> Tensor:
        return terms.orthogonal(self._discriminator)

    def _consistency(self, penalty: Lazy) -> Tensor:
        shift: float = penalty.shift  # type: ignore[attr-defined]
        changed = shifted(mirrored(self._reals.samples, self._draws, "consistency"), self._draws, shift)
        logits = self._logits_of("real")
        return terms.consistency(logits(self._reals.samples), logits(changed))

    def _path_length(self, penalty: PathLength) -> Tensor:
        """Of the first samples of every group, so that they are the same for any number of workers."""
        group = self._draws.share.group
        count = max(1, round(group * penalty.share))
        reals, draws = self._reals.first_of_groups(group, count), self._draws.first_of_groups(count)

        def samples(latents: Tensor) -> Tensor:
            return self._game.fakes_from(self._generator, reals, latents).samples

        noise = draws.normal("path noise", *reals.samples.shape[1:])
        lengths = terms.path_lengths(samples, self._game.latents(draws), noise)
        mean = self._own_memory.see_path_lengths(lengths.detach(), penalty.decay)
        self.stats["path_length"] = lengths.detach().mean()
        return (lengths - mean).square().mean()

    @property
    def _fakes(self) -> Batch:
        """Without a gradient; the same for all that a turn needs them for."""
        if self._frozen_fakes is None:
            with torch.no_grad():
                self._frozen_fakes = self._game.fakes(self._generator, self._reals, self._draws)
        return self._frozen_fakes

    def _real_verdict(self) -> Verdict:
        with torch.no_grad():
            return self._judged(self._seen(self._reals, "real"))

    def _adversarial(self, real: Tensor, fake: Tensor) -> Tensor:
        objective, target = adversarial_loss(self._game.loss), self._game.stabilisers.label_smoothing
        if target is None:
            return objective.discriminator(real, fake)
        assert objective.smooth is not None
        return objective.smooth(real, fake, target)

    def _class_loss(self, classes: Tensor, batch: Batch) -> Tensor:
        assert batch.labels is not None
        value = self._game.auxiliary * F.cross_entropy(classes, batch.labels)
        self.stats["class_loss"] = value.detach()
        return value

    def _remembered(self, value: Tensor, real: Tensor, fake: Tensor) -> Tensor:
        """With the terms that look at earlier turns."""
        if lecam := self._game.penalties.lecam:
            memory = self._own_memory
            term = lecam.weight * terms.lecam(real, fake, memory.lecam_real.clone(), memory.lecam_fake.clone())
            value, self.stats["penalty/lecam"] = value + term, term.detach()
            memory.see_logits(real.detach(), fake.detach(), lecam.decay)
        if ada := self._game.augment.ada:
            self._own_memory.adapt(real.detach(), ada, self._draws)
            self.stats["augment/p"] = self._own_memory.ada_p.clone()
        return value + self._history(DISCRIMINATOR, self._discriminator)

    def _history(self, name: str, network: nn.Module) -> Tensor | float:
        averaging = self._game.stabilisers.historical_averaging
        if averaging is None:
            return 0.0
        term = averaging.weight * self._own_memory.distance_from_past(name, network)
        self.stats[f"historical_averaging/{name}"] = term.detach()
        return term

    @property
    def _own_memory(self) -> Memory:
        assert isinstance(self._memory, Memory), "the family's networks() lack what memory_for() gives"
        return self._memory

    def _seen(self, batch: Batch, purpose: str) -> Batch:
        """What the discriminator is shown of it."""
        probability = self._own_memory.ada_p if self._game.augment.ada else None
        samples = augmented(batch.samples, self._game.augment, self._draws, purpose, probability)
        if noise := self._game.stabilisers.instance_noise:
            drawn = self._draws.normal(f"instance noise/{purpose}", *samples.shape[1:])
            samples = samples + noise.at(self._draws.progress) * drawn
        return replace(batch, samples=samples)

    def _judged(self, batch: Batch) -> Verdict:
        """In full precision also under autocast, as losses are."""
        verdict = self._game.judge(self._discriminator, batch)
        classes = None if verdict.classes is None else _full(verdict.classes)
        return Verdict(logits=_full(verdict.logits), features=_full(verdict.features), classes=classes)

    def _logits_of(self, purpose: str) -> terms.Discriminate:
        def logits(samples: Tensor) -> Tensor:
            return self._judged(self._seen(Batch(samples=samples, labels=self._reals.labels), purpose)).logits

        return logits


def joined(reals: Batch, fakes: Batch) -> Batch:
    labels = None
    if reals.labels is not None and fakes.labels is not None:
        labels = torch.cat([reals.labels, fakes.labels])
    return Batch(samples=torch.cat([reals.samples, fakes.samples]), labels=labels)


def _full(tensor: Tensor) -> Tensor:
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


def _distance_of_means(real: Tensor, fake: Tensor) -> Tensor:
    return (differentiable_mean(fake.mean(0)) - mean_over_ranks(real.mean(0))).square().sum()


def _deviation(samples: Tensor) -> Tensor:
    """Of all numbers of the whole batch."""
    mean, square = mean_over_ranks(torch.stack([samples.mean(), samples.square().mean()]))
    return (square - mean.square()).clamp_min(0).sqrt()
