"""Secrets are taken out where text leaves or is kept: logs, messages of drivers."""

from collections.abc import Iterable, Mapping
from typing import Any

MASK = "[redacted]"
SECRET_KEYS = ("token", "secret", "password", "authorization", "claim", "nonce", "access_key")


class Redactor:
    """Masks known values anywhere, and whatever stands under a name that sounds like a secret."""

    def __init__(self, values: Iterable[str]) -> None:
        # Short values would eat ordinary words; longest first, as one may hold another.
        self._values = sorted({value for value in values if len(value) >= 8}, key=len, reverse=True)

    def text(self, text: str) -> str:
        for value in self._values:
            text = text.replace(value, MASK)
        return text

    @property
    def longest(self) -> int:
        """Return the bytes of the longest value, less one: what may belong to it on either side of a cut."""
        return max((len(value.encode()) for value in self._values), default=1) - 1

    def in_place(self, data: bytes) -> bytes:
        """Mask known values with as many bytes as they had."""
        for value in map(str.encode, self._values):
            data = data.replace(value, MASK.encode().ljust(len(value), b"*")[: len(value)])
        return data

    def any(self, value: Any) -> Any:
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {
                self.any(key): MASK if _is_secret(key) and inner else self.any(inner) for key, inner in value.items()
            }
        if isinstance(value, list | tuple):
            return [self.any(inner) for inner in value]
        return value

    def values(self, value: Any) -> Any:
        """Redact known values alone: for what people wrote, where a harmless field may be called `token`."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {self.values(key): self.values(inner) for key, inner in value.items()}
        if isinstance(value, list | tuple):
            return [self.values(inner) for inner in value]
        return value


def _is_secret(key: object) -> bool:
    return isinstance(key, str) and any(word in key.lower() for word in SECRET_KEYS)
