"""Generators out of checkpoints."""

import json
import shutil
from pathlib import Path


def as_model(checkpoint: Path, folder: Path) -> Path:
    """A checkpoint's averaged generator as a model folder."""
    folder.mkdir(parents=True)
    shutil.copy(checkpoint / "average-generator.safetensors", folder / "generator.safetensors")
    state = json.loads((checkpoint / "state.json").read_text("utf-8"))
    (folder / "config.json").write_text(json.dumps(state["model"]), "utf-8")
    return folder
