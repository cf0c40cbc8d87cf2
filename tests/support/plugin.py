"""tests/plugin as an installed package: a folder on the path with its dist-info."""

import sys
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "plugin"
BY_ENTRY_POINT, BY_MODULE = "spots", "toy_gans.spots:Spots"


def install() -> None:
    """For this process and those that it spawns."""
    if str(FOLDER) not in sys.path:
        sys.path.append(str(FOLDER))
