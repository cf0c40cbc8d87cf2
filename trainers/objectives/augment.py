"""Changes of pictures before the discriminator sees them; all can be differentiated, ADA's also twice."""

from collections.abc import Callable
from math import pi

import torch
import torch.nn.functional as F
from torch import Tensor

from trainers.config import Augment, DiffAugment
from trainers.randomness.draws import Draws


def augmented(samples: Tensor, augment: Augment, draws: Draws, purpose: str, probability: Tensor | None) -> Tensor:
    """purpose: keeps the draws for reals and fakes apart; probability: ADA's."""
    if augment.diffaugment:
        return diffaugment(samples, augment.diffaugment, draws, purpose)
    if augment.ada and probability is not None:
        return ada(samples, probability, draws, purpose)
    return samples


def mirrored(samples: Tensor, draws: Draws, purpose: str = "mirror") -> Tensor:
    """Each with probability 1/2."""
    return torch.where(draws.uniform(purpose, 1, 1, 1) < 0.5, samples.flip(3), samples)


def shifted(samples: Tensor, draws: Draws, share: float, purpose: str = "shift") -> Tensor:
    """By whole pixels, up to a share of the picture; what comes in is 0."""
    height, width = samples.shape[2:]
    offsets = (2 * draws.uniform(purpose, 2) - 1) * share
    down, right = (offsets[:, 0] * height).round().long(), (offsets[:, 1] * width).round().long()
    rows = torch.arange(height, device=samples.device) + down[:, None]
    columns = torch.arange(width, device=samples.device) + right[:, None]
    inside = _within(rows, height)[:, None, :, None] & _within(columns, width)[:, None, None, :]
    picked = samples[
        torch.arange(len(samples), device=samples.device)[:, None, None],
        :,
        rows.clamp(0, height - 1)[:, :, None],
        columns.clamp(0, width - 1)[:, None, :],
    ].permute(0, 3, 1, 2)
    return picked * inside.to(samples.dtype)


def _within(places: Tensor, size: int) -> Tensor:
    return (places >= 0) & (places < size)


def diffaugment(samples: Tensor, chosen: DiffAugment, draws: Draws, purpose: str) -> Tensor:
    """Zhao et al., 2006.10738: colour, translation, cut-out."""
    if chosen.colour:
        samples = _coloured(samples, draws.uniform(f"colour/{purpose}", 3))
    if chosen.translation:
        samples = shifted(samples, draws, chosen.translation, f"translation/{purpose}")
    if chosen.cutout:
        samples = samples * _holes(samples, draws.uniform(f"cutout/{purpose}", 2), chosen.cutout)
    return samples


def _coloured(samples: Tensor, drawn: Tensor) -> Tensor:
    brightness, saturation, contrast = drawn[:, :, None, None, None].unbind(1)
    samples = samples + (brightness - 0.5)
    grey = samples.mean(1, keepdim=True)
    samples = grey + (samples - grey) * (2 * saturation)
    mean = samples.mean((1, 2, 3), keepdim=True)
    return mean + (samples - mean) * (contrast + 0.5)


def _holes(samples: Tensor, drawn: Tensor, share: float) -> Tensor:
    """[n, 1, h, w]: 0 in a rectangle around a random place, which may stick out."""
    height, width = samples.shape[2:]
    rows = _hole(drawn[:, 0], height, share)
    columns = _hole(drawn[:, 1], width, share)
    return 1 - (rows[:, None, :, None] & columns[:, None, None, :]).to(samples.dtype)


def _hole(drawn: Tensor, size: int, share: float) -> Tensor:
    side = int(size * share + 0.5)
    start = (drawn * (size + 1 - side % 2)).long() - side // 2
    places = torch.arange(size, device=drawn.device)
    return (places >= start[:, None]) & (places < start[:, None] + side)


def ada(samples: Tensor, probability: Tensor, draws: Draws, purpose: str) -> Tensor:
    """Karras et al., 2006.06676: each change happens to each picture with the probability."""

    def drawn(name: str, neutral: float, change: Callable[[Tensor], Tensor]) -> Tensor:
        """[n]: the change of a uniform number, or the neutral value where it does not happen."""
        happens, value = draws.uniform(f"ada/{purpose}/{name}", 2).unbind(1)
        return torch.where(happens < probability, change(value), torch.full_like(value, neutral))

    return _recoloured(_warped(samples, _geometry(drawn)), drawn)


Drawn = Callable[[str, float, Callable[[Tensor], Tensor]], Tensor]


def _geometry(drawn: Drawn) -> Tensor:
    """[n, 2, 3] affine: flip, quarter turns, scale, stretch, turn, shift."""
    flip = drawn("flip", 1.0, lambda u: 1 - 2 * (u < 0.5).to(u.dtype))
    quarter = drawn("quarter", 0.0, lambda u: (u * 4).floor() * (pi / 2))
    turn = drawn("turn", 0.0, lambda u: (2 * u - 1) * pi) + quarter
    scale = drawn("scale", 1.0, lambda u: torch.exp2(0.2 * _normal(u)))
    stretch = drawn("stretch", 1.0, lambda u: torch.exp2(0.2 * _normal(u)))
    right = drawn("right", 0.0, lambda u: 0.25 * _normal(u))
    down = drawn("down", 0.0, lambda u: 0.25 * _normal(u))
    cos, sin = turn.cos(), turn.sin()
    first = torch.stack([flip * scale * stretch * cos, -scale * sin / stretch, right], 1)
    second = torch.stack([flip * scale * stretch * sin, scale * cos / stretch, down], 1)
    return torch.stack([first, second], 1)


def _normal(uniform: Tensor) -> Tensor:
    return torch.special.ndtri(uniform.clamp(1e-6, 1 - 1e-6))


def _warped(samples: Tensor, affine: Tensor) -> Tensor:
    grid = F.affine_grid(affine.to(samples.dtype), list(samples.shape), align_corners=False)
    return F.grid_sample(samples, grid, mode="bilinear", padding_mode="reflection", align_corners=False)


def _recoloured(samples: Tensor, drawn: Drawn) -> Tensor:
    def each(values: Tensor) -> Tensor:
        return values[:, None, None, None]

    samples = samples + each(drawn("brightness", 0.0, lambda u: 0.2 * _normal(u)))
    samples = samples * each(drawn("contrast", 1.0, lambda u: torch.exp2(0.5 * _normal(u))))
    grey = samples.mean(1, keepdim=True)
    flip = each(drawn("luma", 1.0, lambda u: 1 - 2 * (u < 0.5).to(u.dtype)))
    saturation = each(drawn("saturation", 1.0, lambda u: torch.exp2(_normal(u))))
    return grey * flip + (samples - grey) * saturation
