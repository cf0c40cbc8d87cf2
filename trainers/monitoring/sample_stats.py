"""A look at samples of fixed latents beside real data, cheap enough for a tick."""

import time
from collections.abc import Mapping

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from trainers.data.packed import PackedData
from trainers.gan.family import Family, Request, Role
from trainers.generation.latents import latent_rows
from trainers.generation.row_draws import RowDraws
from trainers.layers.modes import in_eval_mode
from trainers.monitoring.health import SampleStatistics
from trainers.phase import Networks
from trainers.randomness.keys import torch_generator
from trainers.randomness.source import drawing_from

COUNT = 64  # samples
TWIN = 0.05  # of the real data's median distance
RARE = 20  # times as long as a look took passes until the next


class SampleMonitor:
    """Looks at the samples of every role of a family: of fixed latents, or of fixed inputs."""

    def __init__(self, family: Family, data: Mapping[str, PackedData], *, seed: int, device: torch.device) -> None:
        self._family = family
        self._looks = [_Look(family, role, data, seed, device) for role in family.roles()]
        self._next = 0.0

    @property
    def is_due(self) -> bool:
        return time.perf_counter() >= self._next

    @torch.no_grad()
    def look(self, networks: Networks) -> list[SampleStatistics]:
        """Return how the samples of each role look. networks: those that samplers run."""
        begun = time.perf_counter()
        seen = [look.at(networks) for look in self._looks]
        self._next = time.perf_counter() + RARE * (time.perf_counter() - begun)
        return seen


class _Look:
    """One sampler's fixed request, and the real examples that its samples are held to."""

    def __init__(
        self, family: Family, role: Role, data: Mapping[str, PackedData], seed: int, device: torch.device
    ) -> None:
        self._spec = spec = family.samplers()[role.sampler]
        wanted = data[spec.makes]
        self._reals, self._labels = _spread(wanted, 2 * COUNT, device)
        start = None if spec.start is None else _spread(data[spec.start], COUNT, device)[0]
        count = COUNT if start is None else len(start)
        labels = torch.arange(count, device=device) % family.classes if family.classes else None
        self._draws = RowDraws(seed=seed, rows=range(count), device=device)
        latents = latent_rows(family.config.latent, range(count), seed=seed, truncation=None).to(device)
        self._request = Request(
            latents=latents if start is None else None, inputs=start, labels=labels, draws=self._draws
        )

    def at(self, networks: Networks) -> SampleStatistics:
        dtype = next(networks[self._spec.networks[0]].parameters()).dtype
        with in_eval_mode(networks[name] for name in self._spec.networks), drawing_from(self._draws):
            samples = self._spec.run(networks, self._request.to(dtype)).float()
        return compared(features(samples), features(self._reals), self._labels)


def _spread(data: PackedData, count: int, device: torch.device) -> tuple[Tensor, Tensor | None]:
    """Return so many examples from all over a data set, or all of them (a single one twice: looks compare pairs), in -1..1, and their labels."""
    chosen = np.linspace(0, data.count - 1, max(2, min(count, data.count))).astype(np.int64)
    samples = torch.from_numpy(np.array(data.samples[chosen])).to(device)
    labels = None if data.labels is None else torch.from_numpy(data.labels[chosen]).to(device)
    return samples.float() / 127.5 - 1 if samples.dtype == torch.uint8 else samples.float(), labels


def compared(samples: Tensor, reals: Tensor, labels: Tensor | None = None) -> SampleStatistics:
    """Compare feature vectors [n, d], and labels [n] of the reals; every second real one is what samples are held to, the
    others are what they should be."""
    anchors, others = reals[::2], reals[1::2]
    between = torch.pdist(reals)
    near = TWIN * between.median()
    reached, expected = (torch.cdist(points, anchors).argmin(1) for points in (samples, others))
    return SampleStatistics(
        diversity=float(torch.pdist(samples).mean() / between.mean().clamp_min(1e-12)),
        duplicates=max(0.0, _twins(samples, near) - _twins(others, near)),
        reach=len(reached.unique()) / len(expected.unique()),
        class_entropy=None if labels is None else _entropy_share(labels[::2], reached, expected),
    )


def _twins(points: Tensor, near: Tensor) -> float:
    """Return the share that has another one so near."""
    return float((torch.cdist(points, points).fill_diagonal_(torch.inf).amin(1) < near).float().mean())


def _entropy_share(labels: Tensor, reached: Tensor, expected: Tensor) -> float | None:
    """Return that of the labels that samples reached, beside those that they should; None where there is but one."""
    whole = _entropy(labels[expected])
    return _entropy(labels[reached]) / whole if whole else None


def _entropy(labels: Tensor) -> float:
    shares = labels.bincount() / len(labels)
    return abs(float(torch.special.entr(shares).sum()))


def features(samples: Tensor) -> Tensor:
    """Return [n, d]: vectors as they are; pictures through fixed random convolutions, which see shapes rather than pixels."""
    if samples.shape[2:] == (1, 1):
        return samples.flatten(1)
    generator = torch_generator(torch.device("cpu"), "portrait")
    for width in (16, 32):
        weight = torch.randn(width, samples.shape[1], 3, 3, generator=generator).to(samples.device)
        samples = F.leaky_relu(F.conv2d(samples, weight / (9 * samples.shape[1]) ** 0.5, stride=2, padding=1), 0.2)
    return F.adaptive_avg_pool2d(samples, 4).flatten(1)
