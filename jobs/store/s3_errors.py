"""What boto3, botocore, s3transfer and urllib3 raise, as failures of a store: one table, for every request."""

from dataclasses import dataclass

import urllib3
from boto3 import exceptions as boto
from botocore import exceptions as aws
from botocore.parsers import ResponseParserError
from s3transfer import exceptions as transfer

from jobs.store.protocol import AccessRefused, BucketMissing, NotFound, StoreError, StoreFull, StoreUnreachable


class NotS3(Exception):
    """An answer that no S3 server gives: a proxy's page, or that of a network that wants a login first."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """What a message names."""

    uri: str  # of the store
    bucket: str
    where: str  # the endpoint
    object: str  # that was asked for


Meaning = tuple[type[StoreError], str]  # the failure, and its message: of a Place's fields, `code` and `why`

_NO_ANSWER = "{uri}: no answer from {where} ({why}); check AWS_ENDPOINT_URL_S3 and the network"
_REFUSED = (
    "{uri}: {where} refused the credentials ({code}); check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and their rights"
)
_NO_BUCKET = "{uri}: there is no bucket {bucket!r} at {where}; create it, or change GANWORKS_STORE"
_BUSY = "{object}: {where} keeps answering {code}"
_FULL = "{uri}: no room left at {where} ({code})"
_BROKEN_OFF = "{object}: the transfer from or to {where} broke off ({why})"
_SETTINGS = "{uri}: not usable as it is set up ({why}); check GANWORKS_STORE and the AWS_* settings"

# By the code in an error's answer. What is not here is a plain StoreError that quotes the answer.
CODES: dict[str, Meaning] = (
    dict.fromkeys(("NoSuchBucket",), (BucketMissing, _NO_BUCKET))
    | dict.fromkeys(("NoSuchKey", "NoSuchVersion", "NoSuchUpload", "404", "NotFound"), (NotFound, "{object}: not found"))
    | dict.fromkeys(
        ("InvalidAccessKeyId", "SignatureDoesNotMatch", "AccessDenied", "AllAccessDisabled", "AccountProblem",
         "InvalidToken", "ExpiredToken", "RequestTimeTooSkewed", "401", "Unauthorized", "403", "Forbidden"),
        (AccessRefused, _REFUSED),
    )
    | dict.fromkeys(
        ("InsufficientStorage", "QuotaExceeded", "XMinioStorageFull", "XMinioAdminBucketQuotaExceeded", "507"),
        (StoreFull, _FULL),
    )
    | dict.fromkeys(
        ("SlowDown", "ServiceUnavailable", "InternalError", "RequestTimeout", "Throttling", "ThrottlingException",
         "TooManyRequests", "OperationAborted", "ConditionalRequestConflict", "408", "409", "429", "500", "502", "503", "504"),
        (StoreUnreachable, _BUSY),
    )
)  # fmt: skip

# By class; the first that fits counts. The last line is for what a later version of these libraries may bring.
CLASSES: tuple[tuple[tuple[type[BaseException], ...], Meaning], ...] = (
    (
        (NotS3, ResponseParserError, KeyError),  # KeyError: a page that parses, without what every answer holds
        (StoreUnreachable, "{object}: what answers at {where} is no S3 server ({why}); a proxy, or a network that wants a login?"),
    ),
    (
        (aws.NoCredentialsError, aws.PartialCredentialsError),
        (AccessRefused, "{uri}: no credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"),
    ),
    (
        (aws.CredentialRetrievalError, aws.NoAuthTokenError, aws.TokenRetrievalError, aws.SSOError, aws.LoginError,
         aws.ProfileNotFound, aws.RefreshWithMFAUnsupportedError, aws.UnknownCredentialError, aws.MetadataRetrievalError),
        (AccessRefused, "{uri}: no credentials to be had ({why}); check the AWS_* settings"),
    ),
    (
        (aws.SSLError, urllib3.exceptions.SSLError),
        (StoreUnreachable, "{uri}: no trusted TLS connection to {where} ({why}); check https:// or http:// in AWS_ENDPOINT_URL_S3, and AWS_CA_BUNDLE"),
    ),
    (
        (aws.ProxyConnectionError, aws.InvalidProxiesConfigError),
        (StoreUnreachable, "{uri}: no way through the proxy to {where} ({why}); check HTTPS_PROXY and NO_PROXY"),
    ),
    (
        (aws.ResponseStreamingError, aws.IncompleteReadError, aws.ChecksumError, aws.FlexibleChecksumError,
         aws.AwsChunkedWrapperError, aws.ReadTimeoutError, boto.RetriesExceededError, transfer.RetriesExceededError,
         transfer.S3ValidationError, transfer.TransferNotDoneError, transfer.CancelledError, transfer.S3CopyFailedError,
         transfer.S3DownloadFailedError, transfer.S3UploadFailedError, boto.S3TransferFailedError, boto.S3UploadFailedError),
        (StoreUnreachable, _BROKEN_OFF),
    ),
    ((aws.HTTPClientError, aws.ConnectionError, urllib3.exceptions.HTTPError), (StoreUnreachable, _NO_ANSWER)),
    ((aws.CapacityNotAvailableError, aws.PaginationError, aws.WaiterError), (StoreUnreachable, "{object}: {where} fails ({why})")),
    ((aws.BotoCoreError, boto.Boto3Error), (StoreError, _SETTINGS)),
)  # fmt: skip

RAISED = (aws.ClientError, *(kind for kinds, _ in CLASSES for kind in kinds))


def explain(error: BaseException, place: Place) -> StoreError:
    """Return the failure that one of RAISED means: what, where, and the way out."""
    refused = _answer(error)
    if refused is not None:
        kind, message = CODES.get(code(refused), (StoreError, "{object}: {why}"))
        return kind(_said(message, place, code(refused), str(refused)))
    kind, message = next(meaning for kinds, meaning in CLASSES if isinstance(error, kinds))
    return kind(_said(message, place, "", f"{type(error).__name__}: {error}" if str(error) else type(error).__name__))


def _answer(error: BaseException) -> aws.ClientError | None:
    """Return the server's refusal: the error itself, or what a transfer's own error hides."""
    seen: BaseException | None = error
    while isinstance(seen, boto.Boto3Error):
        seen = seen.__cause__ or seen.__context__ or getattr(seen, "last_exception", None)
    return seen if isinstance(seen, aws.ClientError) else None


def _said(message: str, place: Place, code: str, why: str) -> str:
    return message.format(**vars(place), code=code, why=why)


def code(error: aws.ClientError) -> str:
    """Return the word or status with which the server refused."""
    return str(error.response.get("Error", {}).get("Code", ""))
