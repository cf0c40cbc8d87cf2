"""The whole state of a training at one step, copied to the host: training goes on while it is written."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from trainers.layers.grouped import running_statistics
from trainers.layers.per_position import per_position_buffers
from trainers.parallel import mean_over_ranks, of_each_rank, world
from trainers.randomness.groups import Share

State = dict[str, Tensor]


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    networks: Mapping[str, State]  # running statistics averaged over ranks
    averages: Mapping[str, State]  # of those networks that are averaged, likewise
    ranks: State  # <network>.<buffer> [world size, …]: every rank's own running statistics
    optimizers: Mapping[str, Any]
    progress: Mapping[str, Any]  # plain values: examples, steps, and what a resume must agree with

    @property
    def is_finite(self) -> bool:
        """Return whether all weights are finite: a step may ruin them after its loss was still sound."""
        # A sum is finite only if all that it is made of are, and is had much sooner.
        return all(bool(t.sum().isfinite()) for state in self.networks.values() for t in state.values())


def read_state(network: nn.Module) -> State:
    """Return a copy on the host: running statistics averaged over ranks, what is kept per position in the order of the
    whole batch. Every rank must call it."""
    state = {name: on_host(tensor) for name, tensor in network.state_dict().items()}
    for name, buffer in running_statistics(network):
        state[name] = mean_over_ranks(buffer).cpu()
    for name, buffer in per_position_buffers(network):
        state[name] = of_each_rank(buffer).flatten(0, 1).cpu()
    return state


def restore_state(network: nn.Module, state: Mapping[str, Tensor], share: Share) -> None:
    """Load what `read_state` returned; of what is kept per position this rank's own rows."""
    rows = {name: state[name][share.samples.start : share.samples.stop] for name, _ in per_position_buffers(network)}
    network.load_state_dict({**state, **rows})


def read_ranks(networks: Mapping[str, nn.Module]) -> State:
    """Return every rank's own running statistics: with them a resume of the same size is exact. Every rank must call it."""
    return {
        f"{name}.{key}": of_each_rank(buffer).cpu()
        for name, network in networks.items()
        for key, buffer in running_statistics(network)
    }


@torch.no_grad()
def restore_rank(networks: Mapping[str, nn.Module], ranks: State) -> None:
    """Load this rank's own running statistics, if the world has the size it had; else the averages stay."""
    for name, network in networks.items():
        for key, buffer in running_statistics(network):
            saved = ranks.get(f"{name}.{key}")
            if saved is not None and len(saved) == world().size:
                buffer.copy_(saved[world().rank])


def on_host(value: Any) -> Any:
    """Return a deep copy of nested dicts and lists, with tensors copied to the host in their own memory format."""
    if isinstance(value, Tensor):
        return value.detach().to("cpu", copy=True)
    if isinstance(value, dict):
        return {key: on_host(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(on_host(item) for item in value)
    return value
