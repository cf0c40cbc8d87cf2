"""Secrets of the server's own making: drawn, kept in files, derived, hashed."""

import hashlib
import hmac
import os
import secrets
from pathlib import Path


def fresh() -> str:
    return secrets.token_urlsafe(32)


def kept(path: Path) -> str:
    """Return the secret of this file, drawn on first use and readable by its owner alone."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        draft = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(fresh())
        draft.replace(path)  # whole or not at all: a reader never sees half a token
    return path.read_text().strip()


def derived(key: str, *parts: str) -> str:
    """Derive a secret, the same for the same parts: a repeated request can be answered alike though none is kept."""
    return hmac.new(key.encode(), "\0".join(parts).encode(), hashlib.sha256).hexdigest()


def digest(secret: str) -> str:
    """Return what the database keeps of a secret; they are long and random, so no salt is needed."""
    return hashlib.sha256(secret.encode()).hexdigest()


def matches(secret: str, stored: str | None) -> bool:
    return stored is not None and hmac.compare_digest(digest(secret), stored)
