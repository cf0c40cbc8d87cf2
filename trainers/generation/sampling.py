"""Latents to samples, by sample index.

Forward passes run on index-aligned blocks of one fixed size that is stored with the model, because odd batches change
floats: then shard borders, batch sizes and worker counts never change a sample's bytes on one kind of hardware.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from trainers.devices import prepare
from trainers.gan.family import Family, build
from trainers.generation.latents import latent_rows, uniforms
from trainers.randomness.permutation import permuted

BLOCK = 64  # samples in a forward pass
VERSION = 1
WEIGHTS, CONFIG = "generator.safetensors", "config.json"

Classes = str | Sequence[int | str] | None


class DamagedModel(ValueError):
    """A model folder is incomplete or does not hold what its config.json says."""


class Sampler:
    """A generator that makes sample i of a seed, for any i."""

    def __init__(
        self,
        family: Family,
        network: nn.Module,
        *,
        device: torch.device,
        block: int = BLOCK,
        class_names: tuple[str, ...] | None = None,
    ) -> None:
        self.classes, self.shape, self.class_names = family.classes, family.shape, class_names
        self.dtype = np.float32 if family.is_vector else np.uint8
        self._family, self._device, self._block = family, device, block
        self._network = network.eval().to(device)

    @classmethod
    def load(
        cls, model: Path, *, device: str = "cpu", threads: int = 1, family_object: type[Family] | None = None
    ) -> Self:
        """From a model folder; DamagedModel. family_object: instead of looking up the name in config.json."""
        place = prepare(device, threads)
        config = _read_config(model)
        family = build(
            family_object or config["family"], config["params"], shape=config["shape"], classes=config["classes"]
        )
        network = family.networks()[family.averaged]
        try:
            network.load_state_dict(load_file(model / WEIGHTS))
        except (OSError, RuntimeError, SafetensorError) as error:
            raise DamagedModel(f"{model / WEIGHTS}: {error}") from None
        names = config["class_names"]
        return cls(family, network, device=place, block=config["block"], class_names=names and tuple(names))

    def samples(
        self,
        start: int,
        stop: int,
        *,
        seed: int,
        truncation: float | None = None,
        classes: Classes = None,
        total: int | None = None,
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Samples [start, stop): uint8 [n, *shape], or float32 where they are vectors, and their labels [n] int64 where the model has classes.

        classes: None draws each label by (seed, i); "balanced", or a list of labels or names, gives each an equal
        share of `total`, in an order keyed by seed and total. truncation: see latents.latent_rows.
        """
        if not 0 <= start <= stop:
            raise ValueError(f"samples {start} to {stop}: start is at least 0 and at most stop")
        if truncation is not None and truncation <= 0:
            raise ValueError(f"truncation is {truncation}; it is more than 0, or left out")
        chosen = self._chosen(classes, total)
        blocks = range(start // self._block, -(-stop // self._block))
        parts = [self._make_block(block, seed, truncation, chosen, total) for block in blocks]
        cut = slice(start - blocks.start * self._block, stop - blocks.start * self._block)
        if not parts:
            return np.empty((0, *self.shape), self.dtype), None if self.classes is None else np.empty(0, np.int64)
        labels = None if self.classes is None else np.concatenate([label for _, label in parts])[cut]
        return np.concatenate([sample for sample, _ in parts])[cut], labels

    def _make_block(
        self, block: int, seed: int, truncation: float | None, chosen: np.ndarray | None, total: int | None
    ) -> tuple[np.ndarray, np.ndarray]:
        rows = range(block * self._block, (block + 1) * self._block)
        labels = self._labels(rows, seed, chosen, total)
        latents = latent_rows(self._family.config.latent, rows, seed=seed, truncation=truncation)
        return self._forward(latents, labels), labels

    @torch.inference_mode()
    def _forward(self, latents: Tensor, labels: np.ndarray) -> np.ndarray:
        given = None if self.classes is None else torch.from_numpy(labels).to(self._device)
        made = self._family.generate(self._network, latents.to(self._device), given)
        return made.float().cpu().numpy() if self._family.is_vector else to_bytes(made)

    def _labels(self, rows: range, seed: int, chosen: np.ndarray | None, total: int | None) -> np.ndarray:
        if self.classes is None:
            return np.zeros(len(rows), np.int64)
        if chosen is None or total is None:
            return (uniforms(rows, 1, seed, "label")[:, 0] * self.classes).astype(np.int64)
        places = permuted(np.arange(rows.start, rows.stop) % total, total, seed, total)
        return chosen[places % len(chosen)]

    def _chosen(self, classes: Classes, total: int | None) -> np.ndarray | None:
        """The labels that share the samples equally; None means drawn ones."""
        if classes is None:
            return None
        if self.classes is None:
            raise ValueError(f"classes is {classes!r}, and this model has no classes")
        if total is None:
            raise ValueError(f"classes is {classes!r}, which shares out a total: total is needed")
        wanted = range(self.classes) if classes == "balanced" else [classes] if isinstance(classes, str) else classes
        return np.array([self._label(name) for name in wanted], np.int64)

    def _label(self, wanted: int | str) -> int:
        names = self.class_names or tuple(str(c) for c in range(self.classes or 0))
        if isinstance(wanted, str) and wanted in names:
            return names.index(wanted)
        if isinstance(wanted, int) and 0 <= wanted < len(names):
            return wanted
        raise ValueError(f"no class {wanted!r}; there are {', '.join(names)}, or 'balanced'")


def to_bytes(samples: Tensor) -> np.ndarray:
    """-1..1 to 0..255, rounded to the nearest."""
    return ((samples.float() + 1) * 127.5).round_().clamp_(0, 255).to("cpu", torch.uint8).contiguous().numpy()


def save_model(folder: Path, weights: dict[str, Tensor], config: dict[str, Any]) -> None:
    """The model folder that Sampler.load reads."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file({name: tensor.contiguous() for name, tensor in weights.items()}, folder / WEIGHTS)
    (folder / CONFIG).write_text(json.dumps(complete(config), indent=1), "utf-8")


def complete(config: dict[str, Any]) -> dict[str, Any]:
    """What a config.json says beside the family: how its samples are drawn."""
    return {"version": VERSION, "block": BLOCK, **config}


def _read_config(model: Path) -> dict[str, Any]:
    try:
        config = json.loads((model / CONFIG).read_text("utf-8"))
        if config["version"] != VERSION:
            raise DamagedModel(f"{model / CONFIG} is of version {config['version']}, not {VERSION}")
        return config | {"shape": tuple(config["shape"])}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DamagedModel(f"{model / CONFIG}: {error!r}") from None
