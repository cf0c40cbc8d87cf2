"""Penalties on a player. Each is a mean over samples, of a term that sees one sample."""

from collections.abc import Callable, Iterable
from math import sqrt

import torch
from torch import Tensor, nn

from trainers.objectives.double_backward import differentiable_twice

Discriminate = Callable[[Tensor], Tensor]  # samples -> logits [n], or [n, members] of a panel
Generate = Callable[[Tensor], Tensor]  # latents -> samples


def r1(discriminate: Discriminate, reals: Tensor) -> Tensor:
    """E[‖∇D(x)‖²] / 2 at real samples (Mescheder et al., 1801.04406); the weight γ is the caller's. At fakes it is R2."""
    return _mean(slope.square().flatten(1).sum(1).mean() for slope in _slopes(discriminate, reals)) / 2


def gradient_penalty(discriminate: Discriminate, reals: Tensor, fakes: Tensor, mix: Tensor) -> Tensor:
    """E[(‖∇D(x)‖ - 1)²] at x = mix · real + (1 - mix) · fake (Gulrajani et al., 1704.00028). mix: [n, 1, 1, 1]"""
    return unit_slope(discriminate, mix * reals + (1 - mix) * fakes)


def unit_slope(discriminate: Discriminate, at: Tensor) -> Tensor:
    """E[(‖∇D(x)‖ - 1)²]; with noise around reals it is DRAGAN's (Kodali et al., 1705.07215)."""
    return _mean((_length(slope) - 1).square().mean() for slope in _slopes(discriminate, at))


def path_lengths(generate: Generate, latents: Tensor, noise: Tensor) -> Tensor:
    """[n] of ‖Jᵀy‖, J the samples' Jacobian by the latents, y the noise, N(0, 1), over the root of the pixels: how far a
    sample goes where its latent goes a little (Karras et al., 1912.04958). noise: as the samples"""
    latents = latents.detach().requires_grad_(True)
    with differentiable_twice(latents.device):
        samples = generate(latents)
        pixels = noise[0, 0].numel()
        (slope,) = torch.autograd.grad((samples * noise).sum() / sqrt(pixels), latents, create_graph=True)
        return _length(slope)


def orthogonal(network: nn.Module) -> Tensor:
    """Σ ‖W Wᵀ ⊙ (1 - I)‖² over weights with more than one axis (Brock et al., 1809.11096)."""
    weights = [weight for weight in network.parameters() if weight.requires_grad]  # not those of a later stage
    return torch.stack([_off_diagonal(weight.flatten(1)) for weight in weights if weight.ndim > 1]).sum()


def consistency(logits: Tensor, changed: Tensor) -> Tensor:
    """E[(D(x) - D(T(x)))²] (Zhang et al., 1910.12027)."""
    return (logits - changed).square().mean()


def lecam(real: Tensor, fake: Tensor, mean_real: Tensor, mean_fake: Tensor) -> Tensor:
    """E[(D(x) - α_F)²] + E[(D(G(z)) - α_R)²] (Tseng et al., 2104.03310)."""
    return (real - mean_fake).square().mean() + (fake - mean_real).square().mean()


def no_part(network: nn.Module) -> Tensor:
    """0, made of every weight that is trained: with it those without part in a penalty (the last bias) get a zero gradient,
    not None. Adam treats the two differently, and DDP waits for each. A loss beside the penalty does as well, and 0 times
    the logits would, at the price of a whole backward."""
    return 0 * torch.stack([weight.sum() for weight in network.parameters() if weight.requires_grad]).sum()


def _slopes(discriminate: Discriminate, at: Tensor) -> list[Tensor]:
    """The gradient of each member's logits."""
    # Fakes may come in half precision, which the discriminator does not take here.
    at = at.detach().to(torch.promote_types(at.dtype, torch.float32)).requires_grad_(True)
    with differentiable_twice(at.device):
        logits = discriminate(at)
        members = logits.unbind(1) if logits.ndim == 2 else [logits]
        return [torch.autograd.grad(member.sum(), at, create_graph=True)[0] for member in members]


def _length(slope: Tensor) -> Tensor:
    """[n]"""
    return (slope.square().flatten(1).sum(1) + 1e-12).sqrt()  # a norm has no gradient at 0


def _off_diagonal(rows: Tensor) -> Tensor:
    products = rows @ rows.T
    return (products - torch.diag(products.diagonal())).square().sum()


def _mean(terms: Iterable[Tensor]) -> Tensor:
    return torch.stack(list(terms)).mean()
