"""The folder where everything of this user's is kept."""

import os
from pathlib import Path

from orchestrator.cli.errors import CliError


def home() -> Path:
    """Return GANWORKS_HOME, or ~/.ganworks. CliError for a user without a home folder."""
    try:
        return Path(os.environ.get("GANWORKS_HOME") or "~/.ganworks").expanduser().absolute()
    except RuntimeError:
        raise CliError("this user has no home folder; set GANWORKS_HOME to a folder that can be written") from None
