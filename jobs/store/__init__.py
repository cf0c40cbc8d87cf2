"""Object storage: one protocol; a directory, or S3 through boto3."""

import os
from collections.abc import Mapping
from pathlib import Path

from jobs.store.directory import DirectoryStore
from jobs.store.protocol import (
    AccessRefused,
    AlreadyExists,
    BucketMissing,
    Capabilities,
    NotFound,
    ObjectInfo,
    Store,
    StoreError,
    StoreFull,
    StoreUnreachable,
)

__all__ = [
    "AccessRefused",
    "AlreadyExists",
    "BucketMissing",
    "Capabilities",
    "NotFound",
    "ObjectInfo",
    "Store",
    "StoreError",
    "StoreFull",
    "StoreUnreachable",
    "open_store",
]


def open_store(uri: str, *, env: Mapping[str, str] | None = None, is_hasty: bool = False) -> Store:
    """Return the store at `s3://bucket/prefix`, `file:///path` or a path. `env` holds AWS_* settings; None: the process's own.

    A hasty one gives up within seconds: for people who wait for an answer, and can ask again.
    """
    if uri.startswith("s3://"):
        from jobs.store.s3 import HASTY, PATIENT, S3Store  # boto3 costs half a second; a directory does not need it

        return S3Store(uri, os.environ if env is None else env, HASTY if is_hasty else PATIENT)
    if "://" in uri and not uri.startswith("file://"):
        raise StoreError(f"store {uri!r}: unknown kind; choices: s3://bucket/prefix, file:///path, a path")
    return DirectoryStore(Path(uri.removeprefix("file://")).expanduser())
