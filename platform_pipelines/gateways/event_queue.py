"""An SQS queue of a bucket's events: what is there is taken, and deleted when it was acted on."""

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from platform_pipelines.errors import (
    ConfigurationError,
    CredentialsError,
    PlatformError,
    SourceForbiddenError,
    SourceNotFoundError,
    UnavailableError,
)
from platform_pipelines.gateways.network import boto3_network
from platform_pipelines.gateways.object_store import StoreOptions

_BATCH = 10  # the most of one request
_MOST = 50  # batches a look: a queue that grew over night is emptied in a few looks
_REFUSALS: dict[str, type[PlatformError]] = {
    "AccessDenied": SourceForbiddenError,
    "AccessDeniedException": SourceForbiddenError,
    "InvalidClientTokenId": CredentialsError,
    "SignatureDoesNotMatch": CredentialsError,
    "ExpiredToken": CredentialsError,
    "UnrecognizedClientException": CredentialsError,
    "QueueDoesNotExist": SourceNotFoundError,
    "AWS.SimpleQueueService.NonExistentQueue": SourceNotFoundError,
}


@dataclass(frozen=True, slots=True)
class QueuedMessage:
    """A message, and the handle by which it is deleted."""

    body: str
    handle: str


class SqsQueue:
    """The queue of a URL.

    Raises (from every method): SourceNotFoundError, SourceForbiddenError, CredentialsError,
    UnavailableError.
    """

    def __init__(self, url: str, options: StoreOptions) -> None:
        """Raises ConfigurationError: the URL is not one of a queue."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or parts.path.count("/") < 2:
            raise ConfigurationError(
                f"{url!r} is no URL of a queue",
                where="source.events.queue",
                expected="https://sqs.REGION.amazonaws.com/ACCOUNT/NAME",
                remedy="copy the queue's URL from SQS",
            )
        self.url = url
        self._endpoint = f"{parts.scheme}://{parts.netloc}"
        self._region = _region_of(parts.netloc) or options.region
        self._options = options

    def receive(self) -> list[QueuedMessage]:
        """All that is visible now, without waiting for more."""
        found: list[QueuedMessage] = []
        with _Client(self) as client:
            for _ in range(_MOST):
                answer = client.receive_message(
                    QueueUrl=self.url, MaxNumberOfMessages=_BATCH, WaitTimeSeconds=0
                )
                batch = answer.get("Messages", [])
                found += [QueuedMessage(one["Body"], one["ReceiptHandle"]) for one in batch]
                if not batch:
                    break
        return found

    def delete(self, messages: Sequence[QueuedMessage]) -> None:
        """They were acted on. One whose handle has run out comes again, and does no harm."""
        with _Client(self) as client:
            for start in range(0, len(messages), _BATCH):
                entries = [
                    {"Id": str(place), "ReceiptHandle": one.handle}
                    for place, one in enumerate(messages[start : start + _BATCH])
                ]
                client.delete_message_batch(QueueUrl=self.url, Entries=entries)

    def open(self) -> Any:
        """A client of boto3, with bounded time-outs."""
        library: Any = importlib.import_module("boto3")  # untyped
        config: Any = importlib.import_module("botocore.config")
        verify, proxies = boto3_network(self._endpoint)
        return library.client(
            "sqs",
            verify=verify,
            endpoint_url=self._endpoint,
            region_name=self._region,
            aws_access_key_id=self._options.access_key,
            aws_secret_access_key=self._options.secret_key,
            aws_session_token=self._options.session_token,
            config=config.Config(
                connect_timeout=5,
                read_timeout=20,
                retries={"max_attempts": 3},
                proxies=proxies,
            ),
        )


class _Client:
    """A client that closes, and whose failures are ours."""

    def __init__(self, queue: SqsQueue) -> None:
        self._queue = queue

    def __enter__(self) -> Any:
        self._client = self._queue.open()
        return self._client

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self._client.close()
        failures: Any = importlib.import_module("botocore.exceptions")
        if isinstance(error, failures.ClientError):
            told: Any = error
            code = str(told.response.get("Error", {}).get("Code", ""))
            refusal = _REFUSALS.get(code, UnavailableError)
            raise refusal(
                "the queue of the bucket's events refuses", where=self._queue.url, stored=code,
                remedy="allow sqs:ReceiveMessage and sqs:DeleteMessage on it, or correct "
                "source.events.queue",
            ) from error  # fmt: skip
        if isinstance(error, failures.BotoCoreError):
            raise UnavailableError(
                "the queue of the bucket's events does not answer", where=self._queue.url,
                stored=str(error),
            ) from error  # fmt: skip


def _region_of(host: str) -> str | None:
    """`sqs.ap-northeast-2.amazonaws.com` -> ap-northeast-2."""
    parts = host.split(".")
    return parts[1] if len(parts) > 3 and parts[0] == "sqs" else None
