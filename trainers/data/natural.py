"""The order in which people count: 2 stands before 10."""

import re
from pathlib import PurePosixPath


def natural(name: str | PurePosixPath) -> list[tuple[int, int, str]]:
    """Return a sort key in which 2 stands before 10."""
    parts = re.findall(r"\d+|\D+", str(name))
    return [(0, int(part), part) if part.isdecimal() else (1, 0, part) for part in parts]
