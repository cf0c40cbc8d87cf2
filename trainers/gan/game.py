"""A family of one generator and one discriminator (or a panel of them): what such families have in common."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, TypeVar

from pydantic import Field, model_validator
from torch import Tensor, nn

from trainers.config import Augment, Growing, Part, Penalties, Player, Stabilisers
from trainers.gan.family import Family, FamilyConfig, LabelsNeeded, UnsupportedShape
from trainers.gan.two_player import DISCRIMINATOR, GENERATOR, TwoPlayers
from trainers.growing import Growth, doublings
from trainers.layers.head import Conditioning, Minibatch, Verdict, panel
from trainers.layers.norms import NormName, limited
from trainers.layers.views import ViewName, halvings, possible_halvings, views
from trainers.objectives.losses import LossName, adversarial_loss
from trainers.objectives.state import memory_for
from trainers.phase import Batch, Phase
from trainers.randomness.draws import Draws

__all__ = ["DISCRIMINATOR", "GENERATOR", "Conditional", "Discriminator", "Game", "GameConfig", "Generator"]


class Generator(Player):
    """How the generator is trained, and what is peculiar to it."""

    norm: NormName = Field(
        default="batch", description="of its feature maps, or of its weights (spectral); a path length bars batch"
    )


class Discriminator(Player):
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


class GameConfig(FamilyConfig):
    """The parts that every game of two has."""

    loss: LossName = Field(default="non_saturating", description="the adversarial loss")
    penalties: Penalties = Penalties()
    stabilisers: Stabilisers = Stabilisers()
    augment: Augment = Augment()
    attention: int | None = Field(
        default=None, description="pixels of the feature maps that get self-attention, in both networks; null: none"
    )
    growing: Growing | None = Field(default=None, description="of pictures and networks; null: one size throughout")
    generator: Generator = Generator()
    discriminator: Discriminator = Discriminator()

    @model_validator(mode="after")
    def _slopes_need_independent_samples(self) -> "GameConfig":
        for player, name in self.penalties.per_sample:
            if getattr(self, player).norm == "batch":
                raise ValueError(
                    f"penalties.{name} is a gradient per sample, and {player}.norm 'batch' "
                    f"couples the samples; set {player}.norm to 'none', 'layer', 'instance' or 'spectral'"
                )
        return self

    @model_validator(mode="after")
    def _views_are_of_one_size(self) -> "GameConfig":
        if self.growing and self.discriminator.view != "same":
            raise ValueError(
                f"growing changes the size of pictures, and discriminator.view is {self.discriminator.view!r}, of pictures "
                "of one size; set discriminator.view to 'same', or leave growing out"
            )
        return self

    @model_validator(mode="after")
    def _smooth_labels_need_labels(self) -> "GameConfig":
        if self.stabilisers.label_smoothing and adversarial_loss(self.loss).smooth is None:
            raise ValueError(
                f"stabilisers.label_smoothing is a target of cross-entropy, and loss {self.loss!r} has no target; "
                "it goes with non_saturating, logistic and minimax"
            )
        return self

    @model_validator(mode="after")
    def _passes_need_terms_of_single_groups(self) -> "GameConfig":
        terms = {
            "penalties.lecam": self.penalties.lecam,
            "penalties.dragan": self.penalties.dragan,
            "penalties.path_length": self.penalties.path_length,
            "stabilisers.feature_matching": self.stabilisers.feature_matching,
            "stabilisers.historical_averaging": self.stabilisers.historical_averaging,
            "augment.ada": self.augment.ada,
        }
        if self.execution.passes > 1 and (whole := [name for name, value in terms.items() if value]):
            raise ValueError(
                f"execution.passes is {self.execution.passes}, and {whole[0]} needs the whole batch at once"
            )
        return self


class Conditional(Part):
    """How a family uses labels."""

    conditioning: Conditioning = Field(
        default="none",
        description="none ignores labels; projection (1802.05637), auxiliary classifier (1610.09585), concat (1411.1784)",
    )
    auxiliary_weight: float = Field(default=1.0, gt=0, description="of the class loss of conditioning 'auxiliary'")


G = TypeVar("G", bound=GameConfig)


class Game(Family[G]):
    """generator(latents [n, dim], labels) -> samples; discriminator(samples, labels) -> Verdict."""

    needs_labels: ClassVar[bool] = False  # it has no meaning without
    least_pixels: ClassVar[int] = 8  # of a side of what a discriminator sees

    def __init__(self, config: G, *, shape: tuple[int, int, int], classes: int | None) -> None:
        super().__init__(config, shape=shape, classes=classes)
        if self.conditioning == "none":
            self.classes = None
        elif self.classes is None:
            raise LabelsNeeded(f"conditioning is {self.conditioning!r}, and the data has no labels")
        if config.attention is not None and config.attention not in self.feature_maps():
            raise UnsupportedShape(f"attention is {config.attention}; feature maps are of {self.feature_maps()} pixels")
        if config.growing and config.growing.start not in self.starts():
            raise UnsupportedShape(self._why_not_from(config.growing.start))
        if self.is_vector and (config.augment.diffaugment or config.augment.ada or config.augment.flips):
            raise UnsupportedShape("augment changes pictures, and the data is vectors")
        if config.discriminator.view != "same":
            self._check_views(config.discriminator)

    @property
    def conditioning(self) -> Conditioning:
        return self.config.conditioning if isinstance(self.config, Conditional) else "none"

    @abstractmethod
    def generator_network(self) -> nn.Module: ...

    @abstractmethod
    def discriminator_network(self, shape: tuple[int, int, int]) -> nn.Module:
        """For samples of this shape, of which a view may have taken pixels."""

    def feature_maps(self) -> tuple[int, ...]:
        """Pixels of the feature maps that can have attention."""
        return ()

    def starts(self) -> tuple[int, ...]:
        """Pixels at which growing pictures may start."""
        return ()

    def _why_not_from(self, start: int) -> str:
        if not self.starts():
            return f"growing.start is {start}, and the networks of {type(self).__name__} do not grow; leave growing out"
        sizes = " or ".join(map(str, self.starts()))
        return f"growing.start is {start}; pictures of {self.shape[1]} pixels grow from {sizes}"

    @property
    def growth(self) -> Growth | None:
        growing = self.config.growing
        return Growth(sizes=doublings(growing.start, self.shape[1]), config=growing) if growing else None

    def networks(self) -> dict[str, nn.Module]:
        generator = self.generator_network()
        discriminator = self._panel()
        if self.config.generator.norm == "spectral":
            limited(generator)
        if self.config.discriminator.norm == "spectral":
            limited(discriminator)
        networks = {GENERATOR: generator, DISCRIMINATOR: discriminator}
        return networks | memory_for(networks, self.config.penalties, self.config.stabilisers, self.config.augment)

    def phases(self) -> list[Phase]:
        auxiliary = self.conditioning == "auxiliary" and isinstance(self.config, Conditional)
        return TwoPlayers(
            loss=self.config.loss,
            penalties=self.config.penalties,
            discriminator=self.config.discriminator,
            generator=self.config.generator,
            stabilisers=self.config.stabilisers,
            augment=self.config.augment,
            auxiliary=self.config.auxiliary_weight if auxiliary else 0.0,  # type: ignore[attr-defined]
            fakes=self._fakes,
            latents=self.config.latent.draw,
            fakes_from=self._fakes_from,
            judge=self._judge,
        ).phases()

    def players(self) -> Mapping[str, Player]:
        return {GENERATOR: self.config.generator, DISCRIMINATOR: self.config.discriminator}

    def generate(self, network: nn.Module, latents: Tensor, labels: Tensor | None) -> Tensor:
        return network(latents, labels)

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

    def _fakes(self, generator: nn.Module, reals: Batch, draws: Draws) -> Batch:
        return self._fakes_from(generator, reals, self.config.latent.draw(draws))

    def _fakes_from(self, generator: nn.Module, reals: Batch, latents: Tensor) -> Batch:
        """Of the same classes as the reals, so that pairs and shares of classes agree."""
        labels = reals.labels if self.classes else None
        return Batch(samples=self.generate(generator, latents, labels), labels=labels)

    def _judge(self, discriminator: nn.Module, batch: Batch) -> Verdict:
        return discriminator(batch.samples, batch.labels if self.classes else None)


def params(**changes: Any) -> dict[str, Any]:
    """For tiny(): 16 latents and an average that follows quickly."""
    return {"latent": {"dim": 16}, "ema": {"half_life": 100}} | changes
