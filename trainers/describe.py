"""All families in words and JSON Schema, for those who validate and list without torch: jobs/families.json.

python -m trainers.describe PATH     writes it; the same families give the same bytes
"""

import json
import sys
from pathlib import Path
from typing import Any

from trainers.family import Family, build, get, names

EXAMPLE_CHANNELS, EXAMPLE_CLASSES = 3, 10
EXAMPLE_RESOLUTION = 64  # or the one nearest to it that the family makes


def describe() -> dict[str, dict[str, Any]]:
    """{family: {schema, defaults, summary, paper, resolutions, conditional, parameters}}"""
    return {name: _described(get(name)) for name in names()}


def _described(family: type[Family]) -> dict[str, Any]:
    return {
        "summary": family.summary,
        "paper": family.paper,
        "resolutions": list(family.resolutions),
        "conditional": family.conditional,
        "schema": family.Config.model_json_schema(),
        "defaults": family.Config().model_dump(mode="json"),
        "parameters": _parameters(family),
    }


def _parameters(family: type[Family]) -> dict[str, Any]:
    """How many numbers each network has at the defaults, and for which shape."""
    side = min(family.resolutions, key=lambda resolution: abs(resolution - EXAMPLE_RESOLUTION))
    shape = (EXAMPLE_CHANNELS, side, side)
    networks = build(family, {}, shape=shape, classes=EXAMPLE_CLASSES).networks()
    return {"shape": list(shape)} | {name: sum(p.numel() for p in net.parameters()) for name, net in networks.items()}


def main(path: str) -> None:
    Path(path).write_text(json.dumps(describe(), indent=1, sort_keys=True, ensure_ascii=False) + "\n", "utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
