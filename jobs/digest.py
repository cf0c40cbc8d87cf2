"""SHA-256 of what is stored and compared, in hexadecimal."""

import hashlib
import json
from pathlib import Path
from typing import Any


def of_bytes(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def of_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def of_json(value: Any) -> str:
    """Return the digest of plain data, whatever the order of its keys."""
    return of_bytes(json.dumps(value, sort_keys=True).encode())
