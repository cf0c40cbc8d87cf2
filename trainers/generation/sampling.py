"""Samples by index, from latents or from inputs.

Forward passes run on index-aligned blocks of one fixed size that is stored with the model, because odd batches change
floats: then shard borders, batch sizes and worker counts never change a sample's bytes on one kind of hardware.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from trainers.data.packed import PackedData
from trainers.devices import prepare
from trainers.gan.family import ExampleShape, Family, Request, SamplerSpec, Shape
from trainers.gan.registry import build
from trainers.generation.latents import latent_rows, uniforms
from trainers.generation.row_draws import RowDraws
from trainers.phase import Networks
from trainers.randomness.permutation import permuted
from trainers.randomness.source import drawing_from

BLOCK = 64  # samples in a forward pass
VERSION = 2
CONFIG = "config.json"

Classes = str | Sequence[int | str] | None


class DamagedModel(ValueError):
    """A model folder is incomplete or does not hold what its config.json says."""


class Sampler:
    """Generators that make sample i of a seed, for any i."""

    def __init__(
        self,
        family: Family,
        networks: Networks,
        *,
        device: torch.device,
        block: int = BLOCK,
        class_names: tuple[str, ...] | None = None,
    ) -> None:
        """Take the networks that the family's samplers run, by name."""
        self.classes, self.class_names, self.specs = family.classes, class_names, dict(family.samplers())
        self._family, self._device, self._block = family, device, block
        self._networks = {name: network.eval().to(device) for name, network in networks.items()}

    @classmethod
    def load(
        cls, model: Path, *, device: str = "cpu", threads: int = 1, family_object: type[Family] | None = None
    ) -> Self:
        """Return that of a model folder; DamagedModel. family_object: instead of looking up the name in config.json."""
        place = prepare(device, threads)
        config = _read_config(model)
        family = build(family_object or config["family"], config["params"], examples=_examples(config["inputs"]))
        networks = sampled_networks(family)
        for name, network in networks.items():
            path = model / weights_file(name)
            try:
                network.load_state_dict(load_file(path))
            except (OSError, RuntimeError, SafetensorError) as error:
                raise DamagedModel(f"{path}: {error}") from None
        names = config["class_names"]
        return cls(family, networks, device=place, block=config["block"], class_names=names and tuple(names))

    def shape(self, sampler: str | None = None) -> Shape:
        """Return channels, height and width of what a sampler makes."""
        return self._family.examples[self.spec(sampler).makes].shape

    def dtype(self, sampler: str | None = None) -> type:
        """Return uint8, or float32 where samples are vectors."""
        return np.float32 if self.shape(sampler)[1:] == (1, 1) else np.uint8

    def spec(self, sampler: str | None = None) -> SamplerSpec:
        """Return the sampler of this name; None: the family's first. ValueError names the choices."""
        name = sampler if sampler is not None else next(iter(self.specs))
        if name not in self.specs:
            raise ValueError(f"no sampler {name!r}; there are {', '.join(self.specs)}")
        return self.specs[name]

    def samples(
        self,
        start: int,
        stop: int,
        *,
        seed: int,
        sampler: str | None = None,
        inputs: PackedData | None = None,
        truncation: float | None = None,
        cutoff: int | None = None,
        classes: Classes = None,
        total: int | None = None,
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Return samples [start, stop): uint8 [n, *shape], or float32 where they are vectors, and their labels [n] int64
        where the model has classes.

        sampler: its name, None for the family's first. inputs: for one that starts from examples, sample i is made of
        number i. classes: None draws each label by (seed, i); "balanced", or a list of labels or names, gives each an
        equal share of `total`, in an order keyed by seed and total. truncation: see latents.latent_rows, or what the
        family makes of it. cutoff: layers that a truncation of the networks' own concerns.
        """
        spec = self.spec(sampler)
        _check_request(start, stop, truncation, spec, inputs)
        chosen = self._chosen(classes, total)
        asked = _Asked(spec=spec, seed=seed, inputs=inputs, truncation=truncation, cutoff=cutoff)
        blocks = range(start // self._block, -(-stop // self._block))
        parts = [self._make_block(asked, block, chosen, total) for block in blocks]
        cut = slice(start - blocks.start * self._block, stop - blocks.start * self._block)
        if not parts:
            empty: np.ndarray = np.empty((0, *self.shape(sampler)), self.dtype(sampler))
            return empty, None if self.classes is None else np.empty(0, np.int64)
        labels = None if self.classes is None else np.concatenate([label for _, label in parts])[cut]
        return np.concatenate([sample for sample, _ in parts])[cut], labels

    def _make_block(
        self, asked: "_Asked", block: int, chosen: np.ndarray | None, total: int | None
    ) -> tuple[np.ndarray, np.ndarray]:
        rows = range(block * self._block, (block + 1) * self._block)
        labels = self._labels(rows, asked.seed, chosen, total)
        return self._forward(asked, rows, labels), labels

    @torch.inference_mode()
    def _forward(self, asked: "_Asked", rows: range, labels: np.ndarray) -> np.ndarray:
        draws = RowDraws(seed=asked.seed, rows=rows, device=self._device)
        request = Request(
            latents=self._latents(asked, rows),
            inputs=self._inputs(asked, rows),
            labels=None if self.classes is None else torch.from_numpy(labels).to(self._device),
            truncation=asked.truncation if asked.spec.truncation == "network" else None,
            cutoff=asked.cutoff,
            draws=draws,
        )
        with drawing_from(draws):
            made = asked.spec.run(self._networks, request)
        return made.float().cpu().numpy() if made.shape[2:] == (1, 1) else to_bytes(made)

    def _latents(self, asked: "_Asked", rows: range) -> Tensor | None:
        if asked.spec.start is not None:
            return None
        truncation = asked.truncation if asked.spec.truncation == "latents" else None
        return latent_rows(self._family.config.latent, rows, seed=asked.seed, truncation=truncation).to(self._device)

    def _inputs(self, asked: "_Asked", rows: range) -> Tensor | None:
        if asked.inputs is None:
            return None
        # The last block is filled up with the last example: odd batches would change floats.
        picked = np.minimum(np.arange(rows.start, rows.stop), asked.inputs.count - 1)
        return to_unit_range(torch.from_numpy(np.array(asked.inputs.samples[picked]))).to(self._device)

    def _labels(self, rows: range, seed: int, chosen: np.ndarray | None, total: int | None) -> np.ndarray:
        if self.classes is None:
            return np.zeros(len(rows), np.int64)
        if chosen is None or total is None:
            return (uniforms(rows, 1, seed, "label")[:, 0] * self.classes).astype(np.int64)
        places = permuted(np.arange(rows.start, rows.stop) % total, total, seed, total)
        return chosen[places % len(chosen)]

    def _chosen(self, classes: Classes, total: int | None) -> np.ndarray | None:
        """Return the labels that share the samples equally; None means drawn ones."""
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


@dataclass(frozen=True, kw_only=True)
class _Asked:
    """What is the same for all blocks of a call."""

    spec: SamplerSpec
    seed: int
    inputs: PackedData | None
    truncation: float | None
    cutoff: int | None


def _check_request(start: int, stop: int, truncation: float | None, spec: SamplerSpec, inputs: Any) -> None:
    if not 0 <= start <= stop:
        raise ValueError(f"samples {start} to {stop}: start is at least 0 and at most stop")
    if truncation is not None and truncation <= 0:
        raise ValueError(f"truncation is {truncation}; it is more than 0, or left out")
    if (spec.start is None) != (inputs is None):
        wanted = "starts from latents" if spec.start is None else f"starts from examples of {spec.start!r}"
        raise ValueError(f"this sampler {wanted}; inputs are {'not ' if spec.start is None else ''}wanted")


def sampled_networks(family: Family) -> dict[str, nn.Module]:
    """Return fresh networks, of those alone that the family's samplers run."""
    wanted = sampled_names(family)
    return {name: network for name, network in family.networks().items() if name in wanted}


def sampled_names(family: Family) -> list[str]:
    """Return the names of the networks that the family's samplers run."""
    return list(dict.fromkeys(name for spec in family.samplers().values() for name in spec.networks))


def weights_file(network: str) -> str:
    """Return the name of a network's file in a model folder."""
    return f"{network}.safetensors"


def to_unit_range(samples: Tensor) -> Tensor:
    """Return them as float32 in -1..1. samples: uint8 in 0..255, or float32 in -1..1 already."""
    return samples.float() / 127.5 - 1 if samples.dtype == torch.uint8 else samples.float()


def to_bytes(samples: Tensor) -> np.ndarray:
    """Return -1..1 as 0..255, rounded to the nearest."""
    return ((samples.float() + 1) * 127.5).round_().clamp_(0, 255).to("cpu", torch.uint8).contiguous().numpy()


def save_model(folder: Path, weights: Mapping[str, Mapping[str, Tensor]], config: dict[str, Any]) -> None:
    """Write the model folder that Sampler.load reads. weights: of each network that samplers run."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, state in weights.items():
        save_file({key: tensor.contiguous() for key, tensor in state.items()}, folder / weights_file(name))
    (folder / CONFIG).write_text(json.dumps(complete(config), indent=1), "utf-8")


def inputs_config(examples: Mapping[str, ExampleShape]) -> dict[str, Any]:
    """Return what a config.json says of a family's inputs."""
    return {name: {"shape": list(like.shape), "classes": like.classes} for name, like in examples.items()}


def _examples(inputs: Mapping[str, Any]) -> dict[str, ExampleShape]:
    return {name: ExampleShape(shape=tuple(like["shape"]), classes=like["classes"]) for name, like in inputs.items()}


def complete(config: dict[str, Any]) -> dict[str, Any]:
    """Return what a config.json says beside the family: how its samples are drawn."""
    return {"version": VERSION, "block": BLOCK, **config}


def _read_config(model: Path) -> dict[str, Any]:
    try:
        config = json.loads((model / CONFIG).read_text("utf-8"))
        if config["version"] != VERSION:
            raise DamagedModel(f"{model / CONFIG} is of version {config['version']}, not {VERSION}")
        return config | {"inputs": dict(config["inputs"])}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DamagedModel(f"{model / CONFIG}: {error!r}") from None
