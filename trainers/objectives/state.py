"""What a game remembers beside weights: buffers of one more network, so that checkpoints hold them.

Every rank computes the same values, from means over ranks.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from trainers.config import Ada, Augment, Penalties, Stabilisers
from trainers.parallel import mean_over_ranks
from trainers.randomness.draws import Draws

MEMORY = "memory"


class Memory(nn.Module):
    """Running logits (LeCam) and path length, mean weights (historical averaging), the augmentation's probability (ADA)."""

    path_length: Tensor
    lecam_real: Tensor
    lecam_fake: Tensor
    ada_p: Tensor
    ada_signs: Tensor
    ada_turns: Tensor

    def __init__(
        self,
        networks: Mapping[str, nn.Module],
        *,
        lecam: bool,
        ada: Ada | None,
        history: bool,
        path_length: bool,
    ) -> None:
        super().__init__()
        if path_length:
            self.register_buffer("path_length", torch.zeros(()))
        if lecam:
            self.register_buffer("lecam_real", torch.zeros(()))
            self.register_buffer("lecam_fake", torch.zeros(()))
        if ada:
            self.register_buffer("ada_p", torch.full((), float(ada.initial)))
            self.register_buffer("ada_signs", torch.zeros(()))
            self.register_buffer("ada_turns", torch.zeros(()))
        for name, network in networks.items() if history else ():
            self.register_buffer(f"mean_{name}", torch.zeros(sum(p.numel() for p in network.parameters())))
            self.register_buffer(f"turns_{name}", torch.zeros(()))

    @torch.no_grad()
    def see_path_lengths(self, lengths: Tensor, decay: float) -> Tensor:
        """Their running mean, these included."""
        self.path_length.lerp_(mean_over_ranks(lengths.mean()), 1 - decay)
        return self.path_length.clone()

    @torch.no_grad()
    def see_logits(self, real: Tensor, fake: Tensor, decay: float) -> None:
        self.lecam_real.lerp_(mean_over_ranks(real.mean()), 1 - decay)
        self.lecam_fake.lerp_(mean_over_ranks(fake.mean()), 1 - decay)

    def distance_from_past(self, name: str, network: nn.Module) -> Tensor:
        """‖θ - mean of earlier θ‖², which then moves on."""
        weights = torch.cat([p.flatten() for p in network.parameters()])
        mean, turns = self.get_buffer(f"mean_{name}"), self.get_buffer(f"turns_{name}")
        gap = (weights - mean.clone()).square().sum() * (turns > 0).to(weights.dtype)
        with torch.no_grad():
            turns += 1
            mean.lerp_(weights, 1 / turns)
        return gap

    @torch.no_grad()
    def adapt(self, real: Tensor, ada: Ada, draws: Draws) -> None:
        """The probability rises while the discriminator is surer of reals than `target`, and falls otherwise."""
        self.ada_signs += mean_over_ranks(real.sign().mean())
        self.ada_turns += 1
        if (draws.step + 1) % ada.every == 0:
            direction = (self.ada_signs / self.ada_turns - ada.target).sign()
            self.ada_p += direction * self.ada_turns * draws.share.batch_size / ada.ramp
            self.ada_p.clamp_(0, 1)
            self.ada_signs.zero_()
            self.ada_turns.zero_()


def memory_for(
    networks: Mapping[str, nn.Module], penalties: Penalties, stabilisers: Stabilisers, augment: Augment
) -> dict[str, nn.Module]:
    """{} where nothing is to be remembered."""
    path_length, lecam = penalties.path_length is not None, penalties.lecam is not None
    history = stabilisers.historical_averaging is not None
    if not (path_length or lecam or augment.ada or history):
        return {}
    return {MEMORY: Memory(networks, lecam=lecam, ada=augment.ada, history=history, path_length=path_length)}
