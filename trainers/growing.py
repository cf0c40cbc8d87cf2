"""How large pictures are at each moment of a training in which they grow (Karras et al., 1710.10196).

A pure function of the share of the training that is done. Nothing of it is state: a resume finds its stage again.
"""

from dataclasses import dataclass

from trainers.config import Growing


@dataclass(frozen=True, kw_only=True)
class Stage:
    pixels: int  # of pictures
    alpha: float = 1.0  # weight of the newest layers; below 1 they are fading in

    @property
    def is_fading(self) -> bool:
        return self.alpha < 1

    def uses_layers_of(self, other: "Stage | None") -> bool:
        return other is not None and (self.pixels, self.is_fading) == (other.pixels, other.is_fading)


@dataclass(frozen=True, kw_only=True)
class Growth:
    """The stages of a training: all equally long but the last, whose fading ends at `until`."""

    sizes: tuple[int, ...]  # pixels, ascending
    config: Growing

    def at(self, progress: float) -> Stage:
        """Return the stage at `progress`, the share of the training that is done (0..1)."""
        length = self.config.until / (len(self.sizes) - 1 + self.config.fade)
        number = min(int(progress / length), len(self.sizes) - 1)
        if number == 0 or self.config.fade == 0:
            return Stage(pixels=self.sizes[number])
        return Stage(pixels=self.sizes[number], alpha=min((progress / length - number) / self.config.fade, 1.0))

    def layouts(self) -> list[Stage]:
        """Return a stage of each set of layers that run together, in the order in which they come."""
        fading = [Stage(pixels=size, alpha=0.5) for size in self.sizes[1:] if self.config.fade]
        whole = [Stage(pixels=size) for size in self.sizes]
        return sorted([*fading, *whole], key=lambda stage: (stage.pixels, stage.alpha))


def doublings(start: int, end: int) -> tuple[int, ...]:
    """Return start, 2 start, … end."""
    return (start,) if start >= end else (start, *doublings(2 * start, end))
