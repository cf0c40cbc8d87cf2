"""A look at samples of fixed latents beside real data, cheap enough for a tick."""

import time

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainers.data.packed import PackedData
from trainers.gan.family import Family
from trainers.generation.latents import latent_rows
from trainers.monitoring.health import Portrait
from trainers.randomness.keys import torch_generator

COUNT = 64  # samples
TWIN = 0.05  # of the real data's median distance
RARE = 20  # times as long as a look took passes until the next


class Painter:
    """Portraits of one training's generator."""

    def __init__(self, family: Family, data: PackedData, *, seed: int, device: torch.device) -> None:
        self._family, self._device = family, device
        self._latents = latent_rows(family.config.latent, range(COUNT), seed=seed, truncation=None).to(device)
        chosen = np.linspace(0, data.count - 1, min(2 * COUNT, data.count)).astype(np.int64)
        reals = torch.from_numpy(np.array(data.samples[chosen])).to(device)
        self._reals = reals.float() / 127.5 - 1 if reals.dtype == torch.uint8 else reals.float()
        self._real_labels = None if data.labels is None else torch.from_numpy(data.labels[chosen]).to(device)
        self._labels = torch.arange(COUNT, device=device) % family.classes if family.classes else None
        self._next = 0.0

    @property
    def is_due(self) -> bool:
        return time.perf_counter() >= self._next

    @torch.no_grad()
    def look(self, generator: nn.Module) -> Portrait:
        begun = time.perf_counter()
        weight = next(generator.parameters())
        generator.eval()
        samples = self._family.generate(generator, self._latents.to(weight.dtype), self._labels).float()
        generator.train()
        portrait = compared(features(samples), features(self._reals), self._real_labels)
        self._next = time.perf_counter() + RARE * (time.perf_counter() - begun)
        return portrait


def compared(samples: Tensor, reals: Tensor, labels: Tensor | None = None) -> Portrait:
    """Of feature vectors [n, d], and labels [n] of the reals; every second real one is what samples are held to, the
    others are what they should be."""
    anchors, others = reals[::2], reals[1::2]
    between = torch.pdist(reals)
    near = TWIN * between.median()
    reached, expected = (torch.cdist(points, anchors).argmin(1) for points in (samples, others))
    return Portrait(
        diversity=float(torch.pdist(samples).mean() / between.mean().clamp_min(1e-12)),
        duplicates=max(0.0, _twins(samples, near) - _twins(others, near)),
        reach=len(reached.unique()) / len(expected.unique()),
        class_entropy=None if labels is None else _entropy_share(labels[::2], reached, expected),
    )


def _twins(points: Tensor, near: Tensor) -> float:
    """Share that has another one so near."""
    return float((torch.cdist(points, points).fill_diagonal_(torch.inf).amin(1) < near).float().mean())


def _entropy_share(labels: Tensor, reached: Tensor, expected: Tensor) -> float | None:
    """Of the labels that samples reached, beside those that they should; None where there is but one."""
    whole = _entropy(labels[expected])
    return _entropy(labels[reached]) / whole if whole else None


def _entropy(labels: Tensor) -> float:
    shares = labels.bincount() / len(labels)
    return abs(float(torch.special.entr(shares).sum()))


def features(samples: Tensor) -> Tensor:
    """[n, d]: vectors as they are; pictures through fixed random convolutions, which see shapes rather than pixels."""
    if samples.shape[2:] == (1, 1):
        return samples.flatten(1)
    generator = torch_generator(torch.device("cpu"), "portrait")
    for width in (16, 32):
        weight = torch.randn(width, samples.shape[1], 3, 3, generator=generator).to(samples.device)
        samples = F.leaky_relu(F.conv2d(samples, weight / (9 * samples.shape[1]) ** 0.5, stride=2, padding=1), 0.2)
    return F.adaptive_avg_pool2d(samples, 4).flatten(1)
