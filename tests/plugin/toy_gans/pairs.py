"""Paired inputs, and dropout that is the only noise, also while sampling: pix2pix (1611.07004) at its least."""

from collections.abc import Mapping
from math import prod
from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from trainers.batch import Batch
from trainers.config import OptimizerConfig
from trainers.gan.family import Family, FamilyConfig, Input, Request, Role, SamplerSpec
from trainers.layers.dropout import Dropout
from trainers.objectives.losses import adversarial_loss
from trainers.phase import Loss, Networks, Phase
from trainers.randomness.draws import Draws

OBJECTIVE = adversarial_loss("non_saturating")


class Config(FamilyConfig):
    """The parameters of Pairs."""

    width: int = Field(default=256, ge=1, description="units of each hidden layer")
    distance: float = Field(default=100.0, ge=0, description="weight of |fake - its pair|")
    generator: OptimizerConfig = OptimizerConfig()
    discriminator: OptimizerConfig = OptimizerConfig()


class Pairs(Family[Config]):
    summary = "dense networks that make one of a pair from the other"
    paper = "https://arxiv.org/abs/1611.07004"
    resolutions = (16, 32)
    Config: ClassVar[type[FamilyConfig]] = Config

    @classmethod
    def inputs(cls) -> tuple[Input, ...]:
        return (Input(name="a"), Input(name="b", paired_with="a"))

    @classmethod
    def tiny(cls) -> dict[str, Any]:
        fast = {"lr": 1e-3}
        return {"width": 64, "distance": 10, "ema": {"half_life": 100}, "generator": fast, "discriminator": fast}

    def networks(self) -> dict[str, nn.Module]:
        width, start, end = self.config.width, self.examples["a"].shape, self.examples["b"].shape
        generator = nn.Sequential(
            nn.Flatten(), nn.Linear(prod(start), width), nn.ReLU(), Dropout(0.5, in_sampling=True),
            nn.Linear(width, width), nn.Dropout(0.1), nn.ReLU(), nn.Linear(width, prod(end)), nn.Tanh(),
            nn.Unflatten(1, end),
        )  # fmt: skip
        both = prod(start) + prod(end)
        judge = nn.Sequential(nn.Linear(both, width), nn.LeakyReLU(0.2), nn.Dropout(0.2), nn.Linear(width, 1))
        return {"generator": generator, "discriminator": judge}

    def phases(self) -> list[Phase]:
        return [
            Phase(
                name="discriminator",
                trains=("discriminator",),
                optimizer="discriminator",
                loss=self._tell_apart,
                new_batch=True,
            ),
            Phase(name="generator", trains=("generator",), optimizer="generator", loss=self._match),
        ]

    def optimizers(self) -> Mapping[str, OptimizerConfig]:
        return {"generator": self.config.generator, "discriminator": self.config.discriminator}

    def samplers(self) -> Mapping[str, SamplerSpec]:
        return {"a2b": SamplerSpec(networks=("generator",), run=self._translated, start="a", makes="b")}

    def roles(self) -> tuple[Role, ...]:
        return (
            Role(
                generator="generator",
                generator_phase="generator",
                discriminator="discriminator",
                discriminator_phase="discriminator",
                sampler="a2b",
                at_chance=OBJECTIVE.at_chance,
            ),
        )

    def judge(self, discriminator: nn.Module, examples: Any) -> Tensor:
        """Return what it says of some of b, each beside an a of nothing."""
        nothing = torch.zeros(len(examples.samples), *self.examples["a"].shape, device=examples.samples.device)
        return _judged(discriminator, nothing, examples.samples)

    def _tell_apart(self, networks: Networks, batch: Batch, draws: Draws) -> Loss:
        a, b = batch["a"].samples, batch["b"].samples
        with torch.no_grad():
            fakes = networks["generator"](a)
        real, fake = _judged(networks["discriminator"], torch.cat([a, a]), torch.cat([b, fakes])).chunk(2)
        stats = {"logits/real": real.detach().mean(), "logits/fake": fake.detach().mean()}
        return Loss(value=OBJECTIVE.discriminator(real, fake), stats=stats)

    def _match(self, networks: Networks, batch: Batch, draws: Draws) -> Loss:
        a, b = batch["a"].samples, batch["b"].samples
        fakes = networks["generator"](a)
        distance = self.config.distance * (fakes - b).abs().mean()
        adversarial = OBJECTIVE.generator(_judged(networks["discriminator"], a, fakes), None)
        return Loss(value=adversarial + distance, stats={"distance": distance.detach()})

    def _translated(self, networks: Networks, request: Request) -> Tensor:
        return networks["generator"](request.inputs)


def _judged(discriminator: nn.Module, a: Tensor, b: Tensor) -> Tensor:
    return discriminator(torch.cat([a.flatten(1), b.flatten(1)], 1))
