"""S3 and what speaks its language, through boto3."""

import hashlib
import os
import re
import secrets
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from boto3.s3.transfer import TransferConfig
from botocore import exceptions as aws
from botocore.config import Config
from tenacity import retry, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from jobs import digest
from jobs.store.probe import probe
from jobs.store.protocol import (
    AlreadyExists,
    Capabilities,
    NotFound,
    ObjectInfo,
    Progress,
    StoreError,
    StoreUnreachable,
)
from jobs.store.s3_errors import RAISED, NotS3, Place, code, explain

ONE_PUT = 64 << 20  # bytes; a larger file goes up in parts
PART = 32 << 20
_PAUSE = wait_random_exponential(multiplier=0.2, max=10)

_TAKEN = {"PreconditionFailed", "412", "ConditionalRequestConflict", "409"}
_UNKNOWN = {"NotImplemented", "501", "MethodNotAllowed", "405"}  # of a request that this store does not know
_MISSING = {"404", "NoSuchKey", "NotFound"}
_MD5 = re.compile(r'"?([0-9a-f]{32})"?')


@dataclass(frozen=True, kw_only=True)
class Patience:
    tries: int  # of one request
    connect: float  # seconds
    read: float  # seconds of silence within an answer


PATIENT = Patience(tries=8, connect=5, read=60)
HASTY = Patience(tries=2, connect=2, read=3)


class _Conflict(Exception):
    """Somebody else's put or delete of the same key was under way: nothing is there."""


class S3Store:
    def __init__(self, uri: str, env: Mapping[str, str], patience: Patience = PATIENT) -> None:
        self.uri = uri.rstrip("/")
        self.bucket, _, prefix = uri.removeprefix("s3://").strip("/").partition("/")
        if not self.bucket:
            raise StoreError(f"store {uri!r}: no bucket named; s3://BUCKET or s3://BUCKET/PREFIX is expected")
        self.prefix = f"{prefix}/" if prefix else ""
        self.endpoint = env.get("AWS_ENDPOINT_URL_S3") or env.get("AWS_ENDPOINT_URL")
        self.client = _client(env, self.endpoint, patience)
        self._transfer = TransferConfig(
            multipart_threshold=ONE_PUT,
            multipart_chunksize=PART,
            max_concurrency=4,
            preferred_transfer_client="classic",
        )

    def put(self, key: str, data: bytes, *, if_absent: bool = False) -> None:
        with self._explained(key):
            try:
                self._put(key, data, if_absent)
            except _Conflict:
                raise StoreUnreachable(
                    f"{self.locate(key)}: other writers of the same key are always in between"
                ) from None

    @retry(retry=retry_if_exception_type(_Conflict), stop=stop_after_attempt(5), wait=_PAUSE, reraise=True)
    def _put(self, key: str, data: bytes, if_absent: bool) -> None:
        sha256 = digest.of_bytes(data)
        extra: dict[str, Any] = {"IfNoneMatch": "*"} if if_absent else {}
        try:
            answer = self.client.put_object(**self._name(key), Body=data, Metadata={"sha256": sha256}, **extra)
        except aws.ClientError as error:
            if not if_absent or code(error) not in _TAKEN:
                raise
            return self._adopt(key, sha256)
        etag = _MD5.fullmatch(answer.get("ETag", ""))
        if not (etag and etag[1] == hashlib.md5(data, usedforsecurity=False).hexdigest()):
            self._check_stored(key, len(data), sha256)

    def _adopt(self, key: str, sha256: str) -> None:
        """Accept that someone was first: fine if it is the same content, which may be our own timed-out try."""
        try:
            stored = self.sha256(key)
        except NotFound:
            raise _Conflict from None
        if stored != sha256:
            raise AlreadyExists(f"{self.locate(key)}: already there with another content")

    def _check_stored(self, key: str, size: int, sha256: str) -> None:
        """Check that what was put is there, where an answer proves nothing (encrypted, in parts, from a stranger)."""
        found = self._head(key) or {}
        stored = (found.get("ContentLength"), found.get("Metadata", {}).get("sha256", sha256))  # not all stores keep it
        if stored != (size, sha256):
            raise NotS3(f"a put was answered as done, and what is there is {stored}, not {(size, sha256)}")

    def put_file(self, key: str, path: Path, *, progress: Progress | None = None) -> None:
        sha256 = digest.of_file(path)
        with self._explained(key):
            name = self._name(key)
            self.client.upload_file(
                str(path),
                name["Bucket"],
                name["Key"],
                ExtraArgs={"Metadata": {"sha256": sha256}},
                Callback=progress,
                Config=self._transfer,
            )
            self._check_stored(key, path.stat().st_size, sha256)

    def copy(self, source: str, target: str) -> None:
        found = self._head(source)
        if found is None:
            raise NotFound(f"{self.locate(source)}: not found")
        about = {"sha256": self.sha256(source)}
        with self._explained(target):
            name = self._name(target)
            extra = {"Metadata": about, "MetadataDirective": "REPLACE"}  # in parts, nothing comes along by itself
            try:
                self.client.copy(
                    self._name(source), name["Bucket"], name["Key"], ExtraArgs=extra, Config=self._transfer
                )
            except aws.ClientError as error:
                if code(error) not in _UNKNOWN:
                    raise
                return self._carry(source, target)
            self._check_stored(target, found["ContentLength"], about["sha256"])

    def _carry(self, source: str, target: str) -> None:
        """Copy for a store that copies nothing by itself: the content comes here and goes back."""
        with tempfile.TemporaryDirectory(prefix="ganworks-copy-") as folder:
            self.get_file(source, Path(folder) / "object")
            self.put_file(target, Path(folder) / "object")

    # botocore repeats refused and failed requests; a connection that breaks inside a body is repeated here.
    @retry(
        retry=retry_if_exception_type(
            (aws.ResponseStreamingError, aws.IncompleteReadError, aws.ReadTimeoutError, aws.ChecksumError)
        ),
        stop=stop_after_attempt(5),
        wait=_PAUSE,
        reraise=True,
    )
    def _read(self, key: str, span: dict[str, str]) -> bytes:
        answer = self.client.get_object(**self._name(key), **span)
        with closing(answer["Body"]) as body:
            _from_s3(answer)
            return body.read()

    def get(self, key: str, *, start: int = 0, stop: int | None = None) -> bytes:
        if stop is not None and stop <= start:
            return b""
        span = {"Range": f"bytes={start}-{'' if stop is None else stop - 1}"} if start or stop is not None else {}
        with self._explained(key):
            try:
                return self._read(key, span)
            except aws.ClientError as error:
                if code(error) in ("InvalidRange", "416"):
                    return b""
                raise

    def get_file(self, key: str, path: Path, *, progress: Progress | None = None) -> None:
        found = self._head(key)
        if found is None:
            raise NotFound(f"{self.locate(key)}: not found")
        half = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        try:
            with self._explained(key):
                name = self._name(key)
                options: dict[str, Any] = {"Callback": progress, "Config": self._transfer}
                self.client.download_file(name["Bucket"], name["Key"], str(half), **options)
            if half.stat().st_size != found["ContentLength"]:
                raise StoreUnreachable(f"{self.locate(key)}: it changed while it was read, or broke off")
            os.replace(half, path)
        finally:
            half.unlink(missing_ok=True)

    def _head(self, key: str) -> dict[str, Any] | None:
        with self._explained(key):
            try:
                return _from_s3(self.client.head_object(**self._name(key)))
            except aws.ClientError as error:
                if code(error) in _MISSING:
                    return None
                raise

    def head(self, key: str) -> ObjectInfo | None:
        found = self._head(key)
        if found is None:
            return None
        return ObjectInfo(key=key, size=found["ContentLength"], modified=found["LastModified"].timestamp())

    def sha256(self, key: str) -> str:
        found = self._head(key)
        if found is None:
            raise NotFound(f"{self.locate(key)}: not found")
        stored = found.get("Metadata", {}).get("sha256")
        return stored or digest.of_bytes(self.get(key))

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        with self._explained(prefix):
            pages = self.client.get_paginator("list_objects_v2").paginate(
                Bucket=self.bucket, Prefix=self.prefix + prefix
            )
            for page in pages:
                if "Name" not in page:
                    raise NotS3("a listing without its bucket's name")
                for entry in page.get("Contents", ()):
                    key = entry["Key"][len(self.prefix) :]
                    if key.endswith("/") or not key:  # what consoles make for a folder is no file
                        continue
                    yield ObjectInfo(
                        key=key,
                        size=entry["Size"],
                        modified=entry["LastModified"].timestamp(),
                        etag=entry.get("ETag", ""),
                    )

    def delete(self, key: str) -> None:
        with self._explained(key):
            answer = self.client.delete_object(**self._name(key))
            if "html" in answer["ResponseMetadata"]["HTTPHeaders"].get("content-type", ""):
                raise NotS3("a page, where nothing is to be said")

    def probe(self) -> Capabilities:
        return probe(self)

    def locate(self, key: str) -> str:
        return f"s3://{self.bucket}/{self.prefix}{key}"

    def _name(self, key: str) -> dict[str, str]:
        if not key or key.endswith("/"):
            raise StoreError(f"{key!r} is not a key")
        return {"Bucket": self.bucket, "Key": self.prefix + key}

    @contextmanager
    def _explained(self, key: str) -> Iterator[None]:
        """Explain boto3's errors in our words: what, where, and the way out."""
        try:
            yield
        except RAISED as error:
            place = Place(uri=self.uri, bucket=self.bucket, where=self._where, object=self.locate(key))
            raise explain(error, place) from None

    @property
    def _where(self) -> str:
        return self.endpoint or "Amazon S3"


def _from_s3(answer: Any) -> Any:
    """Refuse what has no ETag: every object has one, the page of a proxy or of a network that wants a login none."""
    if not answer.get("ETag"):
        raise NotS3("an object without an ETag")
    return answer


def _client(env: Mapping[str, str], endpoint: str | None, patience: Patience) -> Any:
    session = boto3.session.Session(
        aws_access_key_id=env.get("AWS_ACCESS_KEY_ID"),
        aws_secret_access_key=env.get("AWS_SECRET_ACCESS_KEY"),
        aws_session_token=env.get("AWS_SESSION_TOKEN"),
        region_name=env.get("AWS_REGION") or env.get("AWS_DEFAULT_REGION") or "us-east-1",
    )
    # Checksums only where asked for: other stores than Amazon's refuse the trailers boto3 adds by itself.
    checksums: dict[str, Any] = (
        {"request_checksum_calculation": "when_required", "response_checksum_validation": "when_required"}
        if endpoint
        else {}
    )
    config = Config(
        retries={"mode": "standard", "total_max_attempts": patience.tries},
        connect_timeout=patience.connect,
        read_timeout=patience.read,
        max_pool_connections=32,
        s3={"addressing_style": "path"} if endpoint else None,
        **checksums,
    )
    try:
        return session.client("s3", endpoint_url=endpoint, config=config)
    except ValueError as error:
        raise StoreError(f"AWS_ENDPOINT_URL_S3 is {endpoint!r}, which is no URL of a server ({error})") from None
