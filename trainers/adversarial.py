"""The phases of a game of two: a discriminator against a generator, with any loss and penalties."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from trainers.draws import Draws
from trainers.losses import LossName, adversarial_loss
from trainers.parts import R1, Penalties, Player
from trainers.penalties import r1
from trainers.phase import Batch, Loss, Networks, Phase

GENERATOR, DISCRIMINATOR = "generator", "discriminator"


@dataclass(frozen=True, kw_only=True)
class TwoPlayers:
    """What the phases need to know of a family with one generator and one discriminator."""

    loss: LossName
    penalties: Penalties
    discriminator: Player
    generator: Player
    fakes: Callable[[nn.Module, Batch, Draws], Batch]  # (generator, reals, …) -> as many fakes
    logits: Callable[[nn.Module, Batch], Tensor]  # (discriminator, …) -> [n]

    def phases(self) -> list[Phase]:
        lazy = self.penalties.r1 is not None and self.penalties.r1.every > 1
        return [self._discriminator_phase(), *([self._lazy_r1()] if lazy else []), self._generator_phase()]

    def _discriminator_phase(self) -> Phase:
        eager = self.penalties.r1 if self.penalties.r1 and self.penalties.r1.every == 1 else None

        def loss(networks: Networks, batch: Batch, draws: Draws) -> Loss:
            with torch.no_grad():
                fakes = self.fakes(networks[GENERATOR], batch, draws)
            discriminator = networks[DISCRIMINATOR]
            # One pass over both is quicker than two, and groups keep them apart.
            real, fake = self._scores(discriminator, joined(batch, fakes)).chunk(2)
            value = adversarial_loss(self.loss).discriminator(real, fake)
            stats = {"logits/real": real.detach().mean(), "logits/fake": fake.detach().mean()}
            if eager:
                penalty = self._penalty(eager, discriminator, batch)
                value, stats["penalty/r1"] = value + penalty, penalty.detach()
            return Loss(value=value, stats=stats)

        return Phase(
            name=DISCRIMINATOR,
            trains=(DISCRIMINATOR,),
            optimizer=DISCRIMINATOR,
            loss=loss,
            turns=self.discriminator.steps,
            fresh=True,
            differentiates_twice=eager is not None,
        )

    def _lazy_r1(self) -> Phase:
        penalty = self.penalties.r1
        assert penalty is not None

        def loss(networks: Networks, batch: Batch, draws: Draws) -> Loss:
            value = self._penalty(penalty, networks[DISCRIMINATOR], batch)
            return Loss(value=value * penalty.every, stats={"penalty/r1": value.detach()})

        return Phase(
            name=f"{DISCRIMINATOR}_r1",
            trains=(DISCRIMINATOR,),
            optimizer=DISCRIMINATOR,
            loss=loss,
            interval=penalty.every,
            differentiates_twice=True,
        )

    def _generator_phase(self) -> Phase:
        objective = adversarial_loss(self.loss)

        def loss(networks: Networks, batch: Batch, draws: Draws) -> Loss:
            fakes = self.fakes(networks[GENERATOR], batch, draws)
            fake = self._scores(networks[DISCRIMINATOR], fakes)
            real = None
            if objective.needs_real:
                with torch.no_grad():
                    real = self._scores(networks[DISCRIMINATOR], batch)
            return Loss(value=objective.generator(fake, real))

        return Phase(name=GENERATOR, trains=(GENERATOR,), optimizer=GENERATOR, loss=loss, turns=self.generator.steps)

    def _scores(self, discriminator: nn.Module, batch: Batch) -> Tensor:
        """In full precision also under autocast, as losses are."""
        logits = self.logits(discriminator, batch)
        return logits.to(torch.promote_types(logits.dtype, torch.float32))

    def _penalty(self, penalty: R1, discriminator: nn.Module, batch: Batch) -> Tensor:
        def scores(samples: Tensor) -> Tensor:
            return self._scores(discriminator, Batch(samples=samples, labels=batch.labels))

        return penalty.weight * r1(scores, batch.samples)


def joined(reals: Batch, fakes: Batch) -> Batch:
    labels = None
    if reals.labels is not None and fakes.labels is not None:
        labels = torch.cat([reals.labels, fakes.labels])
    return Batch(samples=torch.cat([reals.samples, fakes.samples]), labels=labels)
