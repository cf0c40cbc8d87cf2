"""The least a family needs: two dense networks and the least-squares loss (Mao et al., 1611.04076)."""

from collections.abc import Mapping
from math import prod
from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from trainers.batch import Batch
from trainers.config import OptimizerConfig
from trainers.gan.family import REAL, Family, FamilyConfig, Request, Role, SamplerSpec
from trainers.objectives.losses import adversarial_loss
from trainers.phase import Loss, Networks, Phase
from trainers.randomness.draws import Draws

OBJECTIVE = adversarial_loss("least_squares")


class Config(FamilyConfig):
    """The parameters of Spots."""

    width: int = Field(default=256, ge=1, description="units of each hidden layer")
    painter: OptimizerConfig = OptimizerConfig()
    critic: OptimizerConfig = OptimizerConfig()


class Spots(Family[Config]):
    summary = "two dense networks: what a family from outside looks like"
    paper = "https://arxiv.org/abs/1611.04076"
    resolutions = (16, 32)
    Config: ClassVar[type[FamilyConfig]] = Config

    @classmethod
    def tiny(cls) -> dict[str, Any]:
        fast = {"lr": 1e-3}
        return {"width": 64, "latent": {"dim": 16}, "ema": {"half_life": 100}, "painter": fast, "critic": fast}

    def networks(self) -> dict[str, nn.Module]:
        width, size = self.config.width, prod(self.shape)
        painter = nn.Sequential(
            nn.Linear(self.config.latent.dim, width), nn.ReLU(), nn.Linear(width, size), nn.Tanh(),
            nn.Unflatten(1, self.shape),
        )  # fmt: skip
        critic = nn.Sequential(nn.Flatten(), nn.Linear(size, width), nn.LeakyReLU(0.2), nn.Linear(width, 1))
        return {"painter": painter, "critic": critic}

    def phases(self) -> list[Phase]:
        return [
            Phase(name="critic", trains=("critic",), optimizer="critic", loss=self._critic_loss, new_batch=True),
            Phase(name="painter", trains=("painter",), optimizer="painter", loss=self._painter_loss),
        ]

    def optimizers(self) -> Mapping[str, OptimizerConfig]:
        return {"painter": self.config.painter, "critic": self.config.critic}

    def samplers(self) -> Mapping[str, SamplerSpec]:
        return {"samples": SamplerSpec(networks=("painter",), run=self._painted)}

    def roles(self) -> tuple[Role, ...]:
        return (
            Role(
                generator="painter",
                generator_phase="painter",
                discriminator="critic",
                discriminator_phase="critic",
                sampler="samples",
                at_chance=OBJECTIVE.at_chance,
            ),
        )

    def _painted(self, networks: Networks, request: Request) -> Tensor:
        return networks["painter"](request.latents)

    def _critic_loss(self, networks: Networks, batch: Batch, draws: Draws) -> Loss:
        with torch.no_grad():
            fakes = networks["painter"](self.config.latent.draw(draws))
        real, fake = networks["critic"](torch.cat([batch[REAL].samples, fakes])).chunk(2)
        return Loss(value=OBJECTIVE.discriminator(real, fake), stats={"logits/real": real.detach().mean()})

    def _painter_loss(self, networks: Networks, batch: Batch, draws: Draws) -> Loss:
        fake = networks["critic"](networks["painter"](self.config.latent.draw(draws)))
        return Loss(value=OBJECTIVE.generator(fake, None))
