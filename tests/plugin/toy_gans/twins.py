"""Four networks, two unpaired sets of different sizes, and a pool of earlier fakes: CycleGAN (1703.10593) at its least."""

from collections.abc import Mapping
from math import prod
from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from trainers.batch import Batch, Examples
from trainers.config import OptimizerConfig
from trainers.gan.family import Family, FamilyConfig, Input, Request, Role, SamplerSpec
from trainers.layers.per_position import ImagePool
from trainers.objectives.losses import adversarial_loss
from trainers.phase import Loss, Networks, Phase
from trainers.randomness.draws import Draws

OBJECTIVE = adversarial_loss("least_squares")
WAYS = {"a2b": ("a", "b"), "b2a": ("b", "a")}


class Config(FamilyConfig):
    """The parameters of Twins."""

    width: int = Field(default=256, ge=1, description="units of each hidden layer")
    cycle: float = Field(default=10.0, ge=0, description="weight of |there and back - x|")
    pool: int = Field(default=50, ge=1, description="earlier fakes that are kept, of each kind")
    generators: OptimizerConfig = OptimizerConfig(schedule="linear", decay_from=0.5)
    discriminators: OptimizerConfig = OptimizerConfig(schedule="linear", decay_from=0.5)


class Twins(Family[Config]):
    summary = "four dense networks that translate between two unpaired sets"
    paper = "https://arxiv.org/abs/1703.10593"
    resolutions = (16, 32)
    Config: ClassVar[type[FamilyConfig]] = Config

    @classmethod
    def inputs(cls) -> tuple[Input, ...]:
        return (Input(name="a"), Input(name="b"))

    @classmethod
    def tiny(cls) -> dict[str, Any]:
        fast = {"lr": 1e-3}
        return {"width": 64, "pool": 20, "ema": {"half_life": 100}, "generators": fast, "discriminators": fast}

    def networks(self) -> dict[str, nn.Module]:
        networks: dict[str, nn.Module] = {}
        for way, (start, end) in WAYS.items():
            networks[way] = self._generator(self.examples[start].shape, self.examples[end].shape)
            networks[f"judge-{end}"] = self._discriminator(self.examples[end].shape)
        pools = {end: ImagePool(self.examples[end].shape, self.config.pool, f"pool {end}") for _, end in WAYS.values()}
        return networks | {"pools": nn.ModuleDict(pools)}

    def _generator(self, start: tuple[int, ...], end: tuple[int, ...]) -> nn.Module:
        width = self.config.width
        hidden = [nn.Flatten(), nn.Linear(prod(start), width), nn.ReLU()]
        return nn.Sequential(*hidden, nn.Linear(width, prod(end)), nn.Tanh(), nn.Unflatten(1, end))

    def _discriminator(self, shape: tuple[int, ...]) -> nn.Module:
        width = self.config.width
        return nn.Sequential(nn.Flatten(), nn.Linear(prod(shape), width), nn.LeakyReLU(0.2), nn.Linear(width, 1))

    def phases(self) -> list[Phase]:
        judges, generators = ("judge-a", "judge-b"), tuple(WAYS)
        return [
            Phase(name="generators", trains=generators, optimizer="generators", loss=self._translate, new_batch=True),
            Phase(name="discriminators", trains=judges, optimizer="discriminators", loss=self._tell_apart),
        ]

    def optimizers(self) -> Mapping[str, OptimizerConfig]:
        return {"generators": self.config.generators, "discriminators": self.config.discriminators}

    def samplers(self) -> Mapping[str, SamplerSpec]:
        return {
            way: SamplerSpec(networks=(way,), run=_run(way), start=start, makes=end)
            for way, (start, end) in WAYS.items()
        }

    def roles(self) -> tuple[Role, ...]:
        return tuple(
            Role(
                generator=way,
                generator_phase="generators",
                discriminator=f"judge-{end}",
                discriminator_phase="discriminators",
                sampler=way,
                at_chance=2 * (OBJECTIVE.at_chance or 0.0),
            )
            for way, (_, end) in WAYS.items()
        )

    def _translate(self, networks: Networks, batch: Batch, draws: Draws) -> Loss:
        value, stats = torch.zeros((), dtype=batch["a"].samples.dtype, device=batch["a"].samples.device), {}
        for way, (start, end) in WAYS.items():
            real = batch[start].samples
            fake = networks[way](real)
            back = networks[f"{end}2{start}"](fake)
            cycle = self.config.cycle * (back - real).abs().mean()
            value = value + OBJECTIVE.generator(networks[f"judge-{end}"](fake), None) + cycle
            stats[f"{way}/cycle"] = cycle.detach()
        return Loss(value=value, stats=stats)

    def _tell_apart(self, networks: Networks, batch: Batch, draws: Draws) -> Loss:
        losses, stats = [], {}
        for way, (start, end) in WAYS.items():
            with torch.no_grad():
                fake = networks[way](batch[start].samples)
            earlier = networks["pools"].get_submodule(end)(fake, draws)
            judge = networks[f"judge-{end}"]
            reals, fakes = judge(batch[end].samples), judge(earlier)
            losses.append(OBJECTIVE.discriminator(reals, fakes))
            stats[f"{way}/logits/real"] = reals.detach().mean()
        return Loss(value=torch.stack(losses).sum(), stats=stats)

    def judge(self, discriminator: nn.Module, examples: Examples) -> Tensor:
        return discriminator(examples.samples)


def _run(way: str) -> Any:
    def run(networks: Networks, request: Request) -> Tensor:
        return networks[way](request.inputs)

    return run
