"""What an object store promises, whichever it is. tests/contract/test_store.py holds every store to it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

Progress = Callable[[int], None]  # called with the bytes moved since the last call


class StoreError(RuntimeError):
    """A store did not do what was asked; the message names the store and the way out."""


class NotFound(StoreError):
    """No object has this key."""


class AlreadyExists(StoreError):
    """Another content already has this key, and was to be left alone."""


class StoreUnreachable(StoreError):
    """No answer; it may come back."""


class AccessRefused(StoreError):
    """The credentials are wrong, or do not allow this."""


class BucketMissing(StoreError):
    """The bucket is not there."""


class StoreFull(StoreError):
    """No room is left."""


@dataclass(frozen=True, kw_only=True)
class ObjectInfo:
    key: str
    size: int  # bytes
    modified: float  # seconds since the epoch
    etag: str = ""  # of the content, where a listing tells it


@dataclass(frozen=True, kw_only=True)
class Capabilities:
    """What this store can do, found by trying."""

    put_if_absent: bool


class Store(Protocol):
    """Keys are relative to the store's root, with forward slashes.

    One that ends in `/` is no file: the empty objects that consoles make for folders are in no listing.
    """

    uri: str

    def put(self, key: str, data: bytes, *, if_absent: bool = False) -> None:
        """Write one object, whole or not at all.

        With `if_absent` the first writer wins: the same bytes again are fine (they may be one's own
        timed-out try), others raise AlreadyExists.
        """

    def put_file(self, key: str, path: Path, *, progress: Progress | None = None) -> None:
        """Upload a file of any size, whole or not at all; large ones in parts."""

    def get(self, key: str, *, start: int = 0, stop: int | None = None) -> bytes:
        """Return the bytes [start, stop) of an object; None: to its end. Raises NotFound."""

    def get_file(self, key: str, path: Path, *, progress: Progress | None = None) -> None:
        """Download an object; the file appears whole or not at all. Raises NotFound."""

    def copy(self, source: str, target: str) -> None:
        """Put the same content under another key, whole or not at all, without its coming here. Raises NotFound."""

    def head(self, key: str) -> ObjectInfo | None:
        """Return size and age, or None."""

    def sha256(self, key: str) -> str:
        """Return the hex digest of an object as it was put. Raises NotFound."""

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """Return every object whose key begins with `prefix`, in the order of keys."""

    def delete(self, key: str) -> None:
        """Remove an object; fine if it is not there."""

    def probe(self) -> Capabilities:
        """Try the store for real: write, read, list, delete. Raises a StoreError that says what is wrong."""

    def locate(self, key: str) -> str:
        """Return where people find it: a path or an s3:// URI."""
