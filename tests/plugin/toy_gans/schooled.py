"""A pre-training phase that ends, a game that begins then, and a frozen helper: SRGAN's course (1609.04802) at its least."""

from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any, ClassVar

import torch
from pydantic import Field
from safetensors.torch import load_file
from torch import Tensor, nn

from trainers.batch import Batch
from trainers.config import OptimizerConfig
from trainers.gan.family import REAL, Family, FamilyConfig, Helper, Request, Role, SamplerSpec
from trainers.objectives.losses import adversarial_loss
from trainers.phase import Loss, Networks, Phase
from trainers.randomness.draws import Draws

OBJECTIVE = adversarial_loss("hinge")
FEATURES = 8


class Config(FamilyConfig):
    """The parameters of Schooled."""

    width: int = Field(default=256, ge=1, description="units of each hidden layer")
    school: float = Field(default=0.25, ge=0, le=1, description="share of the training before the game begins")
    generator: OptimizerConfig = OptimizerConfig(warm_up=0.1)
    discriminator: OptimizerConfig = OptimizerConfig()


class Schooled(Family[Config]):
    summary = "dense networks whose generator first learns the features of a frozen network"
    paper = "https://arxiv.org/abs/1609.04802"
    resolutions = (16, 32)
    Config: ClassVar[type[FamilyConfig]] = Config

    @classmethod
    def tiny(cls) -> dict[str, Any]:
        fast = {"lr": 1e-3}
        ema = {"half_life": 100, "start": 2}
        return {"width": 64, "latent": {"dim": 16}, "ema": ema, "generator": fast, "discriminator": fast}

    def networks(self) -> dict[str, nn.Module]:
        width, size = self.config.width, prod(self.shape)
        generator = nn.Sequential(
            nn.Linear(self.config.latent.dim, width), nn.ReLU(), nn.Linear(width, size), nn.Tanh(),
            nn.Unflatten(1, self.shape),
        )  # fmt: skip
        judge = nn.Sequential(nn.Flatten(), nn.Linear(size, width), nn.LeakyReLU(0.2), nn.Linear(width, 1))
        return {"generator": generator, "discriminator": judge}

    def helpers(self) -> Mapping[str, Helper]:
        return {
            "eye": Helper(
                file="toy-eye.safetensors",
                sha256="1803135317cd12f621a89232db015dac0b658d226ea8495e44ddb0e5181f8598",
                build=_eye,
                where="a test makes it",
            )
        }

    def phases(self) -> list[Phase]:
        school = self.config.school
        return [
            Phase(
                name="school",
                trains=("generator",),
                optimizer="generator",
                loss=self._school,
                new_batch=True,
                end=school,
            ),
            Phase(
                name="discriminator",
                trains=("discriminator",),
                optimizer="discriminator",
                loss=self._tell_apart,
                steps=lambda step: 3 if step % 4 == 0 else 1,
                new_batch=True,
                begin=school,
            ),
            Phase(
                name="generator",
                trains=("generator",),
                optimizer="generator",
                loss=self._fool,
                begin=school,
                batch_multiple=2,
            ),
        ]

    def optimizers(self) -> Mapping[str, OptimizerConfig]:
        return {"generator": self.config.generator, "discriminator": self.config.discriminator}

    def samplers(self) -> Mapping[str, SamplerSpec]:
        return {"samples": SamplerSpec(networks=("generator",), run=self._made)}

    def roles(self) -> tuple[Role, ...]:
        return (
            Role(
                generator="generator",
                generator_phase="generator",
                discriminator="discriminator",
                discriminator_phase="discriminator",
                sampler="samples",
                at_chance=OBJECTIVE.at_chance,
            ),
        )

    def _school(self, networks: Networks, batch: Batch, draws: Draws) -> Loss:
        fakes = networks["generator"](self.config.latent.draw(draws))
        seen, wanted = (networks["eye"](samples) for samples in (fakes, batch[REAL].samples))
        return Loss(value=(seen - wanted).square().mean())

    def _tell_apart(self, networks: Networks, batch: Batch, draws: Draws) -> Loss:
        with torch.no_grad():
            fakes = networks["generator"](self.config.latent.draw(draws))
        real, fake = networks["discriminator"](torch.cat([batch[REAL].samples, fakes])).chunk(2)
        return Loss(value=OBJECTIVE.discriminator(real, fake), stats={"logits/real": real.detach().mean()})

    def _fool(self, networks: Networks, batch: Batch, draws: Draws) -> Loss:
        fakes = networks["generator"](self.config.latent.draw(draws))
        assert len(fakes) == len(batch[REAL].samples)
        return Loss(value=OBJECTIVE.generator(networks["discriminator"](fakes), None))

    def _made(self, networks: Networks, request: Request) -> Tensor:
        return networks["generator"](request.latents)


def _eye(path: Path) -> nn.Module:
    weight = load_file(path)["weight"]
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=False)
    layer.weight.data.copy_(weight)
    return nn.Sequential(nn.AdaptiveAvgPool2d(4), nn.Flatten(), layer)
