"""What a training leaves in its workspace beside its checkpoints: statistics, grids, the model, the curves."""

import json
from collections.abc import Container, Mapping
from dataclasses import asdict
from math import isfinite
from pathlib import Path
from typing import Any

import torch

from trainers import checkpoint
from trainers.data.packed import PackedData
from trainers.gan.family import Family
from trainers.generation.sampling import (
    Sampler,
    inputs_config,
    sampled_names,
    sampled_networks,
    save_model,
    weights_file,
)
from trainers.hooks import Tick
from trainers.monitoring.grids import save_grid
from trainers.monitoring.plots import loss_curves
from trainers.settings import Settings
from trainers.snapshot import State


class Results:
    """Written by rank 0. averages: the networks that samples are drawn with an average of."""

    def __init__(
        self,
        family: Family,
        data: Mapping[str, PackedData],
        settings: Settings,
        averages: Container[str],
        *,
        workspace: Path,
        device: torch.device,
    ) -> None:
        self._family, self._data, self._settings, self._averages = family, data, settings, averages
        self._workspace, self._device = workspace, device

    def append(self, tick: Tick) -> None:
        """Write a tick into stats.jsonl."""
        with open(self._stats, "a", encoding="utf-8") as file:
            file.write(_as_line(tick))

    def draw_grid(self, weights: Mapping[str, State], examples: int) -> Path:
        """Draw the same latents, or inputs, at every time, so that grids show one thing becoming another."""
        networks = sampled_networks(self._family)
        for name, network in networks.items():
            network.load_state_dict(weights[name])
        sampler = Sampler(self._family, networks, device=self._device)
        start = sampler.spec().start
        inputs = self._data[start] if start else None
        samples, _ = sampler.samples(0, self._settings.grid_count, seed=self._settings.seed, inputs=inputs)
        path = self._workspace / "grids" / f"{examples:012d}.png"
        save_grid(samples, path)
        return path

    def save_model(self, weights: Mapping[str, State], examples: int) -> Path:
        """Write model/, from which sampling.Sampler loads; return the folder."""
        save_model(self._workspace / "model", weights, self.model_config(examples))
        return self._workspace / "model"

    def draw_curves(self) -> None:
        """Draw losses.png from stats.jsonl, where there is one."""
        if self._stats.exists():
            loss_curves(self._stats, self._workspace / "losses.png")

    def model_config(self, examples: int) -> dict[str, Any]:
        """Return what rebuilds the networks that samples are drawn with, after so many examples."""
        family, settings = self._family, self._settings
        first = self._data[family.inputs()[0].name]
        return {
            "family": settings.family,
            "params": family.config.model_dump(mode="json"),
            "inputs": inputs_config(family.examples),
            "class_names": first.class_names if family.classes else None,
            "class_labels": first.class_labels if family.classes else None,
            "networks": {name: self._checkpoint_file(name) for name in sampled_names(family)},
            "latent": family.config.latent.model_dump(mode="json"),
            "examples": examples,
        }

    def _checkpoint_file(self, network: str) -> str:
        """Return which file of a checkpoint holds the weights that samples are drawn with."""
        return f"{checkpoint.AVERAGE if network in self._averages else ''}{weights_file(network)}"

    @property
    def _stats(self) -> Path:
        return self._workspace / "stats.jsonl"


def _as_line(tick: Tick) -> str:
    """Return it as JSON, which has no NaN: what is not finite becomes null."""
    row = asdict(tick)
    findings = [{**finding, "evidence": _finite(finding["evidence"])} for finding in row["findings"]]
    return json.dumps({**row, "stats": _finite(row["stats"]), "findings": findings}) + "\n"


def _finite(values: Mapping[str, float]) -> dict[str, float | None]:
    return {name: value if isfinite(value) else None for name, value in values.items()}
