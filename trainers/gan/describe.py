"""Families in words and JSON Schema, for those who validate and list without torch: a file a family in jobs/families.

python -m trainers.gan.describe FOLDER             writes all built-in ones; the same families give the same bytes
python -m trainers.gan.describe FOLDER FAMILY…     these: a plug-in package carries such a folder `families`, too
"""

import json
import sys
from collections.abc import Callable, Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from trainers.batch import Examples
from trainers.gan.family import ExampleShape, Family, Request, SamplerSpec
from trainers.gan.registry import build, built_in, get
from trainers.randomness.source import drawing_from

EXAMPLE_CHANNELS, EXAMPLE_CLASSES = 3, 10
EXAMPLE_RESOLUTION = 64  # or the one nearest to it that the family makes


def describe(*wanted: str) -> dict[str, dict[str, Any]]:
    """Describe families, all built-in ones by default.

    {family: {schema, defaults, summary, paper, resolutions, conditional, parameters, flops}}
    """
    return {name: described(get(name)) for name in wanted or built_in()}


@cache
def described(family: type[Family]) -> dict[str, Any]:
    return {
        "summary": family.summary,
        "paper": family.paper,
        "resolutions": list(family.resolutions),
        "any_size": family.check_shape is not Family.check_shape,
        "conditional": family.conditional,
        "schema": family.Config.model_json_schema(),
        "defaults": family.Config().model_dump(mode="json"),
        **_capacity(family),
    }


def _capacity(family: type[Family]) -> dict[str, Any]:
    """Count each network's parameters at the defaults, and floating-point operations of one sample's forward pass."""
    side = min(family.resolutions, key=lambda resolution: abs(resolution - EXAMPLE_RESOLUTION))
    shape = (EXAMPLE_CHANNELS, side, side)
    with torch.device("meta"):  # shapes without numbers: nothing is drawn or computed
        built = build(family, {}, shape=shape, classes=EXAMPLE_CLASSES)
        networks = built.networks()
        flops = _flops(built, networks)
    counts = {name: sum(p.numel() for p in network.parameters()) for name, network in networks.items()}
    return {
        "parameters": {"shape": list(shape), **{name: count for name, count in counts.items() if count}},
        "flops": {"shape": list(shape), **{name: count for name, count in flops.items() if count}},
    }


def _flops(family: Family, networks: Mapping[str, nn.Module]) -> dict[str, int]:
    """Return those of one sample of each sampler, under its first network, and of one judgement of each discriminator."""
    for network in networks.values():
        network.eval().requires_grad_(False)
    passes: dict[str, Callable[[], object]] = {}
    for spec in family.samplers().values():
        passes[spec.networks[0]] = partial(spec.run, networks, _request(family, spec))
    for role in family.roles():
        if role.discriminator is not None:
            makes = family.examples[family.samplers()[role.sampler].makes]
            passes[role.discriminator] = partial(family.judge, networks[role.discriminator], _example(family, makes))
    return {name: _counted(run) for name, run in passes.items()}


class _Nothing:
    """A draw source of zeros: shapes are all that is asked for."""

    count = 1

    def normal(self, purpose: str, *shape: int) -> torch.Tensor:
        return torch.zeros(self.count, *shape)

    uniform = normal


def _request(family: Family, spec: SamplerSpec) -> Request:
    start = None if spec.start is None else torch.zeros(1, *family.examples[spec.start].shape)
    latents = torch.zeros(1, family.config.latent.dim) if spec.start is None else None
    labels = torch.zeros(1, dtype=torch.int64) if family.classes else None
    return Request(latents=latents, inputs=start, labels=labels, draws=_Nothing())


def _example(family: Family, like: ExampleShape) -> Examples:
    labels = torch.zeros(1, dtype=torch.int64) if family.classes else None
    return Examples(samples=torch.zeros(1, *like.shape), labels=labels)


def _counted(run: Callable[[], object]) -> int:
    with torch.no_grad(), drawing_from(_Nothing()), FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops()


def as_text(description: dict[str, Any]) -> str:
    """Return JSON with a line for each entry, so that a change shows where it is."""
    rows = [
        f"{json.dumps(name)}: {json.dumps(description[name], sort_keys=True, ensure_ascii=False)}"
        for name in sorted(description)
    ]
    return "{\n" + ",\n".join(rows) + "\n}\n"


def main(folder: str, *wanted: str) -> None:
    """Write a file a family, and remove those of families that are no more."""
    described = describe(*wanted)
    Path(folder).mkdir(parents=True, exist_ok=True)
    for name, description in described.items():
        (Path(folder) / f"{name}.json").write_text(as_text(description), "utf-8")
    for path in Path(folder).glob("*.json"):
        if path.stem not in described:
            path.unlink()


if __name__ == "__main__":
    main(*sys.argv[1:])
