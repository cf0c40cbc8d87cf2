"""A family of one generator and one discriminator (or a panel of them): what such families have in common."""

from abc import abstractmethod
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, ClassVar, TypeVar

from pydantic import Field, model_validator
from torch import Tensor, nn

from trainers.batch import Batch, Examples
from trainers.config import Growing, OptimizerConfig, Part
from trainers.gan.family import (
    ExampleShape,
    Family,
    FamilyConfig,
    LabelsNeeded,
    Request,
    Role,
    SamplerSpec,
    Shape,
    UnsupportedShape,
)
from trainers.gan.turn import Turn
from trainers.growing import Growth, doublings
from trainers.layers.head import Conditioning, DiscriminatorOutput, Minibatch, panel
from trainers.layers.norms import NormName, with_spectral_norm
from trainers.layers.views import ViewName, halvings, possible_halvings, views
from trainers.objectives.augment import Augment
from trainers.objectives.losses import LossName, adversarial_loss
from trainers.objectives.penalties import Penalties
from trainers.objectives.penalty import DISCRIMINATOR, GENERATOR, Penalty
from trainers.objectives.stabilisers import Stabilisers
from trainers.objectives.state import OBJECTIVES, ObjectiveState
from trainers.phase import Loss, Networks, Phase
from trainers.randomness.draws import Draws

__all__ = ["DISCRIMINATOR", "GENERATOR", "Conditional", "Discriminator", "Generator", "TwoPlayer", "TwoPlayerConfig"]
SAMPLES = "samples"  # the name of the one sampler


class Generator(OptimizerConfig):
    """How the generator is trained, and what is peculiar to it."""

    norm: NormName = Field(
        default="batch", description="of its feature maps, or of its weights (spectral); a path length bars batch"
    )
    batch_multiple: int = Field(
        default=1, ge=1, le=64, description="fakes of its optimizer steps, as a multiple of the batch size"
    )


class Discriminator(OptimizerConfig):
    """How the discriminator is trained, and what is peculiar to it."""

    norm: NormName = Field(
        default="batch",
        description="of its feature maps, or of its weights (spectral); penalties on gradients bar batch",
    )
    minibatch: Minibatch = Field(
        default="none", description="how it compares the samples of a group (1710.10196, 1606.03498)"
    )
    count: int = Field(default=1, ge=1, le=16, description="discriminators; losses are the mean over them (1611.01673)")
    view: ViewName = Field(
        default="same",
        description="of several: the picture for all; scales, halved k times for the k-th from 0 (1711.11585); "
        "projections, halved for each by random filters of its own, which never train (1705.07831); "
        "attention is only where a view leaves feature maps of its size",
    )

    @model_validator(mode="after")
    def _views_need_members(self) -> "Discriminator":
        if self.view != "same" and self.count == 1:
            raise ValueError(
                f"view {self.view!r} shows each discriminator something else, and count is 1; set count to 2 or more"
            )
        return self


class TwoPlayerConfig(FamilyConfig):
    """The parts that every game of two has."""

    loss: LossName = Field(default="non_saturating", description="the adversarial loss")
    penalties: Penalties = Penalties()
    stabilisers: Stabilisers = Stabilisers()
    augment: Augment = Augment()
    attention: int | None = Field(
        default=None,
        ge=1,
        description="pixels of the feature maps that get self-attention, in both networks; null: none",
    )
    growing: Growing | None = Field(default=None, description="of pictures and networks; null: one size throughout")
    generator: Generator = Generator()
    discriminator: Discriminator = Discriminator()

    @model_validator(mode="after")
    def _slopes_need_independent_samples(self) -> "TwoPlayerConfig":
        for name, penalty in self.penalties.all.items():
            if penalty.per_sample and getattr(self, penalty.player).norm == "batch":
                raise ValueError(
                    f"penalties.{name} is a gradient per sample, and {penalty.player}.norm 'batch' "
                    f"couples the samples; set {penalty.player}.norm to 'none', 'layer', 'instance' or 'spectral'"
                )
        return self

    @model_validator(mode="after")
    def _views_are_of_one_size(self) -> "TwoPlayerConfig":
        if self.growing and self.discriminator.view != "same":
            raise ValueError(
                f"growing changes the size of pictures, and discriminator.view is {self.discriminator.view!r}, of pictures "
                "of one size; set discriminator.view to 'same', or leave growing out"
            )
        return self

    @model_validator(mode="after")
    def _smooth_labels_need_labels(self) -> "TwoPlayerConfig":
        if self.stabilisers.label_smoothing and adversarial_loss(self.loss).smooth is None:
            raise ValueError(
                f"stabilisers.label_smoothing is a target of cross-entropy, and loss {self.loss!r} has no target; "
                "it goes with non_saturating, logistic and minimax"
            )
        return self

    @model_validator(mode="after")
    def _accumulation_needs_terms_of_single_groups(self) -> "TwoPlayerConfig":
        if self.execution.gradient_accumulation > 1 and (whole := self._whole_batch_terms()):
            raise ValueError(
                f"execution.gradient_accumulation is {self.execution.gradient_accumulation}, and {whole[0]} needs the "
                "whole batch at once"
            )
        return self

    def _whole_batch_terms(self) -> list[str]:
        chosen = {f"penalties.{name}": penalty for name, penalty in self.penalties.all.items()}
        chosen |= {f"augment.{name}": augmentation for name, augmentation in self.augment.all.items()}  # type: ignore[misc]
        found = [name for name, part in chosen.items() if part.whole_batch]
        stabilisers = ("feature_matching", "historical_averaging")
        return found + [f"stabilisers.{name}" for name in stabilisers if getattr(self.stabilisers, name)]


class Conditional(Part):
    """How a family uses labels."""

    conditioning: Conditioning = Field(
        default="none",
        description="none ignores labels; projection (1802.05637), auxiliary classifier (1610.09585), concat (1411.1784)",
    )
    auxiliary_weight: float = Field(default=1.0, gt=0, description="of the class loss of conditioning 'auxiliary'")


G = TypeVar("G", bound=TwoPlayerConfig)


class TwoPlayer(Family[G]):
    """generator(latents [n, dim], labels) -> samples; discriminator(samples, labels) -> DiscriminatorOutput."""

    needs_labels: ClassVar[bool] = False  # it has no meaning without
    least_pixels: ClassVar[int] = 8  # of a side of what a discriminator sees

    def __init__(self, config: G, *, examples: Mapping[str, ExampleShape]) -> None:
        super().__init__(config, examples=examples)
        if self.conditioning == "none":
            self.classes = None
        elif self.classes is None:
            raise LabelsNeeded(f"conditioning is {self.conditioning!r}, and the data has no labels")
        if config.attention is not None and config.attention not in self.feature_maps():
            raise UnsupportedShape(self._why_no_attention(config.attention))
        if config.growing and config.growing.start not in self.starts():
            raise UnsupportedShape(self._why_not_from(config.growing.start))
        if self.is_vector and (config.augment.all or config.augment.flips):
            raise UnsupportedShape("augment changes pictures, and the data is vectors")
        if config.discriminator.view != "same":
            self._check_views(config.discriminator)

    @property
    def conditioning(self) -> Conditioning:
        return self.config.conditioning if isinstance(self.config, Conditional) else "none"

    @abstractmethod
    def generator_network(self) -> nn.Module: ...

    @abstractmethod
    def discriminator_network(self, shape: Shape) -> nn.Module:
        """Build one for samples of this shape, of which a view may have taken pixels."""

    def feature_maps(self) -> tuple[int, ...]:
        """Return the pixels of the feature maps that can have attention."""
        return ()

    def starts(self) -> tuple[int, ...]:
        """Return the pixels at which growing pictures may start."""
        return ()

    def _why_no_attention(self, attention: int) -> str:
        if not self.feature_maps():
            return f"attention is {attention}, and the networks of {type(self).__name__} take none; leave attention out"
        return f"attention is {attention}; feature maps are of {' or '.join(map(str, self.feature_maps()))} pixels"

    def _why_not_from(self, start: int) -> str:
        if not self.starts():
            return f"growing.start is {start}, and the networks of {type(self).__name__} do not grow; leave growing out"
        sizes = " or ".join(map(str, self.starts()))
        return f"growing.start is {start}; pictures of {self.shape[1]} pixels grow from {sizes}"

    @property
    def growth(self) -> Growth | None:
        growing = self.config.growing
        return Growth(sizes=doublings(growing.start, self.shape[1]), config=growing) if growing else None

    @property
    def auxiliary_weight(self) -> float:
        """Return the weight of the class loss; 0 where no discriminator names classes."""
        is_auxiliary = self.conditioning == "auxiliary" and isinstance(self.config, Conditional)
        return self.config.auxiliary_weight if is_auxiliary else 0.0  # type: ignore[attr-defined]

    def networks(self) -> dict[str, nn.Module]:
        networks = {GENERATOR: self.generator_network(), DISCRIMINATOR: self._panel()}
        for name, network in networks.items():
            if getattr(self.config, name).norm == "spectral":
                with_spectral_norm(network)
        remembered = self._objective_state(networks)
        return networks | ({OBJECTIVES: ObjectiveState(remembered)} if remembered else {})

    def _objective_state(self, networks: Mapping[str, nn.Module]) -> dict[str, Tensor]:
        found: dict[str, Tensor] = {}
        for penalty in self.config.penalties.all.values():
            found |= penalty.state()
        for augmentation in self.config.augment.all.values():
            found |= augmentation.state()
        history = self.config.stabilisers.historical_averaging
        return found | (history.state(networks) if history else {})

    def phases(self) -> list[Phase]:
        generator = self.config.generator
        return [
            Phase(
                name=DISCRIMINATOR,
                trains=(DISCRIMINATOR,),
                optimizer=DISCRIMINATOR,
                loss=self._loss(Turn.discriminator_loss),
                steps=self.discriminator_steps(),
                new_batch=True,
            ),
            *self._penalty_phases(DISCRIMINATOR),
            Phase(
                name=GENERATOR,
                trains=(GENERATOR,),
                optimizer=GENERATOR,
                loss=self._loss(Turn.generator_loss),
                steps=generator.steps,
                batch_multiple=generator.batch_multiple,
            ),
            *self._penalty_phases(GENERATOR),
        ]

    def discriminator_steps(self) -> int | Callable[[int], int]:
        """Return the discriminator's optimizer steps within a training step, or a function of that step's number."""
        return self.config.discriminator.steps

    def _penalty_phases(self, player: str) -> list[Phase]:
        lazy = self.config.penalties.of(player, lazy=True)
        return [self._penalty_phase(player, name, penalty) for name, penalty in lazy.items()]

    def _penalty_phase(self, player: str, name: str, penalty: Penalty) -> Phase:
        loss = self._loss(partial(Turn.penalty_loss, name=name, penalty=penalty))
        interval = penalty.interval
        return Phase(name=f"{player}_{name}", trains=(player,), optimizer=player, loss=loss, interval=interval)

    def _loss(self, of_turn: Callable[[Turn], Loss]) -> Callable[[Networks, Batch, Draws], Loss]:
        return lambda networks, batch, draws: of_turn(Turn(self, networks, batch, draws))

    def optimizers(self) -> Mapping[str, OptimizerConfig]:
        return {GENERATOR: self.config.generator, DISCRIMINATOR: self.config.discriminator}

    def samplers(self) -> Mapping[str, SamplerSpec]:
        return {SAMPLES: SamplerSpec(networks=(GENERATOR,), run=self._sampled)}

    def roles(self) -> tuple[Role, ...]:
        return (
            Role(
                generator=GENERATOR,
                generator_phase=GENERATOR,
                discriminator=DISCRIMINATOR,
                discriminator_phase=DISCRIMINATOR,
                sampler=SAMPLES,
                at_chance=adversarial_loss(self.config.loss).at_chance,
            ),
        )

    def generate(self, network: nn.Module, latents: Tensor, labels: Tensor | None) -> Tensor:
        """Return [n, *shape] in -1..1 of latents [n, dim] and labels [n]."""
        return network(latents, labels)

    def fakes(self, generator: nn.Module, reals: Examples, latents: Tensor) -> Examples:
        """Return fakes of the same classes as the reals, so that pairs and shares of classes agree."""
        labels = reals.labels if self.classes else None
        return Examples(samples=self.generate(generator, latents, labels), labels=labels)

    def path_start(self, generator: nn.Module, reals: Examples, latents: Tensor) -> Tensor:
        """Return where path lengths are measured from: the latents themselves, or what a mapping network makes of them."""
        return latents

    def path_end(self, generator: nn.Module, reals: Examples, start: Tensor) -> Tensor:
        """Return the samples that the generator makes of such a start."""
        return self.fakes(generator, reals, start).samples

    def judge(self, discriminator: nn.Module, examples: Examples) -> DiscriminatorOutput:
        return discriminator(examples.samples, examples.labels if self.classes else None)

    def _sampled(self, networks: Networks, request: Request) -> Tensor:
        assert request.latents is not None
        return self.generate(networks[GENERATOR], request.latents, request.labels)

    def _check_views(self, player: Discriminator) -> None:
        if self.is_vector:
            raise UnsupportedShape(f"discriminator.view {player.view!r} is of pictures, and the data is vectors")
        _, height, width = self.shape
        wanted = max(halvings(player.view, player.count))
        possible = min(possible_halvings(side, self.least_pixels) for side in (height, width))
        if wanted > possible:
            raise UnsupportedShape(
                f"discriminator.view {player.view!r} with discriminator.count {player.count} halves pictures {wanted} times, "
                f"and {height}x{width} can be halved {possible} times here (evenly, to {self.least_pixels} pixels or more); "
                "lower discriminator.count, or set discriminator.view to 'same'"
            )

    def _panel(self) -> nn.Module:
        player, (channels, height, width) = self.config.discriminator, self.shape
        members = [
            self.discriminator_network((channels, height >> n, width >> n)) for n in halvings(player.view, player.count)
        ]
        return panel(members, views(player.view, player.count, channels))


def refuse_norms(config: TwoPlayerConfig, why: str) -> None:
    """Raise ValueError where a norm is asked for that a family's networks have no place for."""
    for name in (GENERATOR, DISCRIMINATOR):
        if (norm := getattr(config, name).norm) != "none":
            raise ValueError(f"{name}.norm is {norm!r}, and {why}; set it to 'none'")


def params(**changes: Any) -> dict[str, Any]:
    """Return params for tiny(): 16 latents and an average that follows quickly."""
    return {"latent": {"dim": 16}, "ema": {"half_life": 100}} | changes
