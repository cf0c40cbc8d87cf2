"""The optimizers of one training: built from their configs, their rates set by the share of the training that is done."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from trainers.config import OptimizerConfig
from trainers.phase import Phase
from trainers.snapshot import on_host


class Optimizers:
    """One for each name that phases use; it holds the weights of every network that those phases train."""

    def __init__(
        self, configs: Mapping[str, OptimizerConfig], phases: Sequence[Phase], networks: Mapping[str, nn.Module]
    ) -> None:
        self._configs = configs
        self._intervals = {name: _lazy_interval(name, phases) for name in configs}
        self._own = {name: self._build(name, phases, networks) for name in configs}

    def __getitem__(self, name: str) -> torch.optim.Optimizer:
        return self._own[name]

    def set_rates(self, progress: float, factor: float) -> None:
        """Set learning rates and betas. progress: share of the training that is done (0..1); factor: of every rate."""
        for name, optimizer in self._own.items():
            betas = self._configs[name].betas_at(progress, self._intervals[name])
            for group in optimizer.param_groups:
                group["lr"] = group["initial_lr"] * self._configs[name].factor(progress) * factor
                if betas:
                    group["betas"] = betas

    def step(self, phase: Phase, networks: Mapping[str, nn.Module]) -> None:
        """Move the weights that a phase trains along their gradients, and clear these."""
        optimizer = self._own[phase.optimizer]
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if clip := self._configs[phase.optimizer].clip:
            _clip([p for name in phase.trains for p in networks[name].parameters()], clip)

    def rates(self) -> dict[str, float]:
        """Return the learning rates as they are now, as stats."""
        return {f"lr/{name}": float(optimizer.param_groups[0]["lr"]) for name, optimizer in self._own.items()}

    def read(self) -> dict[str, Any]:
        """Return a copy of all state on the host."""
        return {name: on_host(optimizer.state_dict()) for name, optimizer in self._own.items()}

    def restore(self, states: Mapping[str, Any]) -> None:
        for name, optimizer in self._own.items():
            optimizer.load_state_dict(states[name])
            _match_memory_format(optimizer)

    def _build(self, name: str, phases: Sequence[Phase], networks: Mapping[str, nn.Module]) -> torch.optim.Optimizer:
        trained = dict.fromkeys(network for phase in phases if phase.optimizer == name for network in phase.trains)
        parameters = [p for network in trained for p in networks[network].requires_grad_(True).parameters()]
        optimizer = self._configs[name].build(parameters, self._intervals[name])
        for group in optimizer.param_groups:
            group["initial_lr"] = group["lr"]
        return optimizer


def _lazy_interval(name: str, phases: Sequence[Phase]) -> int | None:
    """Return that of the lazy penalty that steps this optimizer too."""
    return min((phase.interval for phase in phases if phase.optimizer == name and phase.interval > 1), default=None)


@torch.no_grad()
def _clip(weights: list[Tensor], edge: float) -> None:
    torch._foreach_clamp_min_(weights, -edge)
    torch._foreach_clamp_max_(weights, edge)


def _match_memory_format(optimizer: torch.optim.Optimizer) -> None:
    """Give moments their weight's strides again: fused kernels walk both as they lie in memory."""
    for parameter, state in optimizer.state.items():
        for name, value in state.items():
            if isinstance(value, Tensor) and value.shape == parameter.shape:
                state[name] = torch.empty_like(parameter).copy_(value)
