"""S3 and what speaks its language, through boto3."""

import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
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
    AccessRefused,
    AlreadyExists,
    BucketMissing,
    Capabilities,
    NotFound,
    ObjectInfo,
    Progress,
    StoreError,
    StoreFull,
    StoreUnreachable,
)

ONE_PUT = 64 << 20  # bytes; a larger file goes up in parts
PART = 32 << 20
TRIES = 8  # of one request

_WRONG_KEY = {
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "AccessDenied",
    "InvalidToken",
    "ExpiredToken",
    "403",
    "Forbidden",
}
_TAKEN = {"PreconditionFailed", "412", "ConditionalRequestConflict", "409"}
_FULL = {"InsufficientStorage", "QuotaExceeded", "XMinioStorageFull", "507"}
_BUSY = {"SlowDown", "ServiceUnavailable", "InternalError", "RequestTimeout", "Throttling", "500", "502", "503", "504"}


class S3Store:
    def __init__(self, uri: str, env: Mapping[str, str]) -> None:
        self.uri = uri.rstrip("/")
        self.bucket, _, prefix = uri.removeprefix("s3://").strip("/").partition("/")
        if not self.bucket:
            raise StoreError(f"store {uri!r}: no bucket named; s3://BUCKET or s3://BUCKET/PREFIX is expected")
        self.prefix = f"{prefix}/" if prefix else ""
        self.endpoint = env.get("AWS_ENDPOINT_URL_S3") or env.get("AWS_ENDPOINT_URL")
        self.client = _client(env, self.endpoint)
        self._transfer = TransferConfig(
            multipart_threshold=ONE_PUT,
            multipart_chunksize=PART,
            max_concurrency=4,
            preferred_transfer_client="classic",
        )

    def put(self, key: str, data: bytes, *, if_absent: bool = False) -> None:
        sha256 = digest.of_bytes(data)
        extra: dict[str, Any] = {"IfNoneMatch": "*"} if if_absent else {}
        with self._explained(key):
            try:
                self.client.put_object(
                    Bucket=self.bucket, Key=self.prefix + key, Body=data, Metadata={"sha256": sha256}, **extra
                )
            except aws.ClientError as error:
                if not if_absent or _code(error) not in _TAKEN:
                    raise
                self._adopt(key, sha256)

    def _adopt(self, key: str, sha256: str) -> None:
        """Someone was first: fine if it is the same content, which may be our own timed-out try."""
        if self.sha256(key) != sha256:
            raise AlreadyExists(f"{self.locate(key)}: already there with another content")

    def put_file(self, key: str, path: Path, *, progress: Progress | None = None) -> None:
        sha256 = digest.of_file(path)
        with self._explained(key):
            self.client.upload_file(
                str(path),
                self.bucket,
                self.prefix + key,
                ExtraArgs={"Metadata": {"sha256": sha256}},
                Callback=progress,
                Config=self._transfer,
            )

    # botocore repeats refused and failed requests; a connection that breaks inside a body is repeated here.
    @retry(
        retry=retry_if_exception_type((aws.ResponseStreamingError, aws.IncompleteReadError, aws.ReadTimeoutError)),
        stop=stop_after_attempt(5),
        wait=wait_random_exponential(multiplier=0.2, max=10),
        reraise=True,
    )
    def _read(self, key: str, span: dict[str, str]) -> bytes:
        return self.client.get_object(Bucket=self.bucket, Key=self.prefix + key, **span)["Body"].read()

    def get(self, key: str, *, start: int = 0, stop: int | None = None) -> bytes:
        if stop is not None and stop <= start:
            return b""
        span = {"Range": f"bytes={start}-{'' if stop is None else stop - 1}"} if start or stop is not None else {}
        with self._explained(key):
            try:
                return self._read(key, span)
            except aws.ClientError as error:
                if _code(error) in ("InvalidRange", "416"):
                    return b""
                raise

    def get_file(self, key: str, path: Path, *, progress: Progress | None = None) -> None:
        half = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        with self._explained(key):
            try:
                self.client.download_file(
                    self.bucket, self.prefix + key, str(half), Callback=progress, Config=self._transfer
                )
                os.replace(half, path)
            finally:
                half.unlink(missing_ok=True)

    def _head(self, key: str) -> dict[str, Any] | None:
        with self._explained(key):
            try:
                return self.client.head_object(Bucket=self.bucket, Key=self.prefix + key)
            except aws.ClientError as error:
                if _code(error) in ("404", "NoSuchKey", "NotFound"):
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
                for entry in page.get("Contents", ()):
                    key = entry["Key"][len(self.prefix) :]
                    yield ObjectInfo(key=key, size=entry["Size"], modified=entry["LastModified"].timestamp())

    def delete(self, key: str) -> None:
        with self._explained(key):
            self.client.delete_object(Bucket=self.bucket, Key=self.prefix + key)

    def probe(self) -> Capabilities:
        return probe(self)

    def locate(self, key: str) -> str:
        return f"s3://{self.bucket}/{self.prefix}{key}"

    @contextmanager
    def _explained(self, key: str) -> Iterator[None]:
        """boto3's errors in our words: what, where, and the way out."""
        try:
            yield
        except aws.ClientError as error:
            raise self._explain(error, key) from None
        except boto3.exceptions.S3UploadFailedError as error:
            cause = error.__cause__ or error.__context__
            if isinstance(cause, aws.ClientError):
                raise self._explain(cause, key) from None
            raise StoreUnreachable(f"{self.locate(key)}: {error}") from None
        except (aws.NoCredentialsError, aws.PartialCredentialsError):
            raise AccessRefused(
                f"{self.uri}: no credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
            ) from None
        except (aws.EndpointConnectionError, aws.ConnectTimeoutError, aws.HTTPClientError) as error:
            raise StoreUnreachable(
                f"{self.uri}: no answer from {self._where} ({type(error).__name__}); check AWS_ENDPOINT_URL_S3 and the network"
            ) from None

    @property
    def _where(self) -> str:
        return self.endpoint or "Amazon S3"

    def _explain(self, error: aws.ClientError, key: str) -> StoreError:
        code = _code(error)
        if code == "NoSuchBucket":
            return BucketMissing(
                f"{self.uri}: there is no bucket {self.bucket!r} at {self._where}; create it, or change GANWORKS_STORE"
            )
        if code in ("NoSuchKey", "404", "NotFound"):
            return NotFound(f"{self.locate(key)}: not found")
        if code in _WRONG_KEY:
            return AccessRefused(
                f"{self.uri}: {self._where} refused the credentials ({code}); check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and their rights"
            )
        if code in _FULL:
            return StoreFull(f"{self.uri}: no room left at {self._where} ({code})")
        if code in _BUSY:
            return StoreUnreachable(f"{self.locate(key)}: {self._where} keeps answering {code}")
        return StoreError(f"{self.locate(key)}: {error}")


def _code(error: aws.ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def _client(env: Mapping[str, str], endpoint: str | None) -> Any:
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
        retries={"mode": "standard", "total_max_attempts": TRIES},
        connect_timeout=5,
        read_timeout=60,
        max_pool_connections=32,
        s3={"addressing_style": "path"} if endpoint else None,
        **checksums,
    )
    return session.client("s3", endpoint_url=endpoint, config=config)
