"""tests/plugin as an installed package: a folder on the path with its dist-info. Each of its families is one file."""

import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from trainers.gan.family import Helper

FOLDER = Path(__file__).parents[1] / "plugin"
BY_ENTRY_POINT, BY_MODULE = "spots", "toy_gans.spots:Spots"
TOYS = ("toy_gans.twins:Twins", "toy_gans.pairs:Pairs", "toy_gans.schooled:Schooled", "toy_gans.styled:Styled")


def install() -> None:
    """Put it on the path of this process and of those that it spawns."""
    if str(FOLDER) not in sys.path:
        sys.path.append(str(FOLDER))


def find_helper(helper: Helper) -> Path:
    """Return a small random network's file: always the same bytes."""
    path = Path(tempfile.mkdtemp(prefix="toy-eye-")) / helper.file
    weight = np.random.Generator(np.random.Philox(key=7)).standard_normal((8, 16), np.float32) / 4
    save_file({"weight": torch.from_numpy(weight)}, path)
    return path
