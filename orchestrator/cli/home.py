"""The folder where everything of this user's is kept."""

import os
from pathlib import Path


def home() -> Path:
    """Return GANWORKS_HOME, or ~/.ganworks."""
    return Path(os.environ.get("GANWORKS_HOME") or "~/.ganworks").expanduser().absolute()
