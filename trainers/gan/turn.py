"""One optimizer step of a game of two, told in order: what the discriminator's loss is, and what the generator's."""

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainers.batch import Batch, Examples, joined
from trainers.layers.head import DiscriminatorOutput
from trainers.objectives.losses import adversarial_loss
from trainers.objectives.penalty import DISCRIMINATOR, GENERATOR, Penalty, no_part
from trainers.objectives.shifts import mirrored
from trainers.objectives.slopes import Discriminate
from trainers.objectives.state import OBJECTIVES, ObjectiveState
from trainers.phase import Loss, Networks
from trainers.randomness.draws import Draws
from trainers.randomness.source import drawing_from

if TYPE_CHECKING:
    from trainers.gan.two_player import TwoPlayer


class Turn:
    """Networks, real examples and draws of one optimizer step; penalties and augmentations look at it."""

    real: DiscriminatorOutput  # of reals and fakes as the loss saw them, once it has
    fake: DiscriminatorOutput

    def __init__(self, family: "TwoPlayer[Any]", networks: Networks, batch: Batch, draws: Draws) -> None:
        self.family, self.networks, self.draws = family, networks, draws
        self.generator, self.discriminator = networks[GENERATOR], networks[DISCRIMINATOR]
        objectives = networks.get(OBJECTIVES)
        self.state = objectives.buffer if isinstance(objectives, ObjectiveState) else {}
        reals, config = batch[family.inputs()[0].name], family.config
        self.reals = replace(reals, samples=mirrored(reals.samples, draws)) if config.augment.flips else reals
        self.stats: dict[str, Tensor] = {}
        self._loss = adversarial_loss(config.loss)
        self._frozen_fakes: Examples | None = None

    # --- the discriminator's

    def discriminator_loss(self) -> Loss:
        """Tell reals from fakes, which are given; then what looks at the same logits, and the penalties of every step."""
        # One pass over both is quicker than two, and groups keep them apart.
        both = joined(self._shown(self.reals, "real"), self._shown(self.fakes, "fake"))
        output = self._judged(both)
        self.real, self.fake = output.halves()
        self.stats |= {f"logits/{side}": own.logits.detach().mean() for side, own in self._sides().items()}
        if self._loss.at_chance is None:
            self.stats["wasserstein_estimate"] = self.stats["logits/real"] - self.stats["logits/fake"]
        value = self._told_apart() + self._class_loss(output, both) + self._history(DISCRIMINATOR, self.discriminator)
        value = self._with_penalties(value, DISCRIMINATOR)
        for augmentation in self.family.config.augment.all.values():
            augmentation.observe(self)
        return Loss(value=value, stats=self.stats)

    # --- the generator's

    def generator_loss(self) -> Loss:
        """Make fakes that pass for real."""
        fakes = self.family.fakes(self.generator, self.reals, self.latents())
        self.fake = self._judged(self._shown(fakes, "fake"))
        matching = self.family.config.stabilisers.feature_matching
        if matching or self._loss.needs_real:
            with torch.no_grad():
                self.real = self._judged(self._shown(self.reals, "real"))
        value = self.fake.logits.new_zeros(())
        if matching is None or matching.adversarial:
            value = value + self._loss.generator(self.fake.logits, self.real.logits if self._loss.needs_real else None)
        if matching:
            term = matching.term(self.real.features, self.fake.features)
            value, self.stats["feature_matching"] = value + term, term.detach()
        value = value + self._class_loss(self.fake, fakes) + self._history(GENERATOR, self.generator)
        return Loss(value=self._with_penalties(value, GENERATOR), stats=self.stats)

    # --- a penalty's own

    def penalty_loss(self, name: str, penalty: Penalty) -> Loss:
        """Return a lazy penalty's term alone, scaled up by its interval."""
        network = self.networks[penalty.player]
        return Loss(value=self._term(name, penalty) * penalty.interval + no_part(network), stats=self.stats)

    # --- what penalties ask for

    @property
    def fakes(self) -> Examples:
        """Return fakes without a gradient; the same for all that an optimizer step needs them for."""
        if self._frozen_fakes is None:
            with torch.no_grad():
                self._frozen_fakes = self.family.fakes(self.generator, self.reals, self.latents())
        return self._frozen_fakes

    def latents(self) -> Tensor:
        """Return [n, dim]: what fakes are made from."""
        return self.family.config.latent.draw(self.draws)

    def path_start(self) -> Tensor:
        """Return where path lengths are measured from, [n, …]."""
        with drawing_from(self.draws):
            return self.family.path_start(self.generator, self.reals, self.latents())

    def path_end(self, start: Tensor) -> Tensor:
        """Return the samples of such a start, of the reals' classes."""
        with drawing_from(self.draws):
            return self.family.path_end(self.generator, self.reals, start)

    def logits_of(self, purpose: str) -> Discriminate:
        """Return the discriminator as a function of samples; purpose: whose augmentation, that of real or fake."""

        def logits(samples: Tensor) -> Tensor:
            return self._judged(self._shown(Examples(samples=samples, labels=self.reals.labels), purpose)).logits

        return logits

    def first_of_groups(self, share: float) -> "Turn":
        """Return the turn of a share of each group, one sample at least: the same for any number of workers."""
        group = self.draws.share.group
        count = max(1, round(group * share))
        reals, name = self.reals.first_of_groups(group, count), self.family.inputs()[0].name
        smaller = Turn(self.family, self.networks, Batch(inputs={name: reals}), self.draws.first_of_groups(count))
        smaller.reals = reals  # mirrored already
        return smaller

    # --- parts of the story

    def _shown(self, examples: Examples, purpose: str) -> Examples:
        """Return what the discriminator is shown of them."""
        samples = examples.samples
        for augmentation in self.family.config.augment.all.values():
            samples = augmentation.apply(samples, self.draws, purpose, self.state)
        if noise := self.family.config.stabilisers.instance_noise:
            drawn = self.draws.normal(f"instance noise/{purpose}", *samples.shape[1:])
            samples = samples + noise.at(self.draws.progress) * drawn
        return replace(examples, samples=samples)

    def _judged(self, examples: Examples) -> DiscriminatorOutput:
        return self.family.judge(self.discriminator, examples)

    def _sides(self) -> Mapping[str, DiscriminatorOutput]:
        return {"real": self.real, "fake": self.fake}

    def _told_apart(self) -> Tensor:
        target = self.family.config.stabilisers.label_smoothing
        if target is None:
            return self._loss.discriminator(self.real.logits, self.fake.logits)
        assert self._loss.smooth is not None
        return self._loss.smooth(self.real.logits, self.fake.logits, target)

    def _class_loss(self, output: DiscriminatorOutput, examples: Examples) -> Tensor | float:
        """Return what an auxiliary classifier pays; both players want it low."""
        if output.classes is None or not self.family.auxiliary_weight:
            return 0.0
        assert examples.labels is not None
        value = self.family.auxiliary_weight * F.cross_entropy(output.classes, examples.labels)
        self.stats["class_loss"] = value.detach()
        return value

    def _history(self, name: str, network: nn.Module) -> Tensor | float:
        averaging = self.family.config.stabilisers.historical_averaging
        return averaging.term(self, name, network) if averaging else 0.0

    def _with_penalties(self, value: Tensor, player: str) -> Tensor:
        for name, penalty in self.family.config.penalties.of(player, lazy=False).items():
            value = value + self._term(name, penalty)
        return value

    def _term(self, name: str, penalty: Penalty) -> Tensor:
        term = penalty.weight_at(self.draws.progress) * penalty.term(self)
        self.stats[f"penalty/{name}"] = term.detach()
        return term
