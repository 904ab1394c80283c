"""Clients of one S3 bucket: obstore for the work, boto3 for the names that obstore cannot say."""

import contextlib
import importlib
from collections.abc import Generator, Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from platform_pipelines.errors import UnavailableError
from platform_pipelines.gateways.network import boto3_network, obstore_network
from platform_pipelines.gateways.object_store import StoreOptions

if TYPE_CHECKING:
    from obstore.store import ClientConfig, RetryConfig, S3Store

_DEFAULT_REGION = "us-east-1"
_AWS = "https://s3.amazonaws.com"
_NOT_THERE = {"NoSuchKey", "NoSuchBucket", "AccessDenied", "404", "403"}


class Found(NamedTuple):
    """One listed name, relative to nothing: the key in the bucket."""

    path: str
    size_bytes: int
    etag: str


def obstore_client(bucket: str, options: StoreOptions) -> "S3Store":
    """A client with bounded time-outs and retries (obstore's own would try for three minutes)."""
    from obstore.store import S3Store

    given: dict[str, Any] = {
        "endpoint": options.endpoint,
        "region": options.region or (_DEFAULT_REGION if options.endpoint else None),
        "access_key_id": options.access_key,
        "secret_access_key": options.secret_key,
        "session_token": options.session_token,
    }
    return S3Store(
        bucket,
        virtual_hosted_style_request=not options.path_style,
        client_options=_client_options(options),
        retry_config=_retry_config(options),
        **{name: value for name, value in given.items() if value is not None},
    )


def list_with_boto3(
    bucket: str, prefix: str, start_after: str, options: StoreOptions
) -> Iterator[list[Found]]:
    """Pages of at most 1,000 names, raw: also those with control characters, `//` or `/./`."""
    for page in _boto3_pages(bucket, options, Prefix=prefix, StartAfter=start_after):
        yield [Found(o["Key"], o["Size"], o["ETag"]) for o in page.get("Contents", [])]


def children_with_boto3(bucket: str, prefix: str, options: StoreOptions) -> Iterator[str]:
    """Raw paths directly below a prefix (with its trailing `/`, or empty); folders end in `/`."""
    for page in _boto3_pages(bucket, options, Prefix=prefix, Delimiter="/"):
        yield from (folder["Prefix"] for folder in page.get("CommonPrefixes", []))
        yield from (found["Key"] for found in page.get("Contents", []))


def get_with_boto3(bucket: str, path: str, options: StoreOptions) -> tuple[bytes, str] | None:
    """The bytes and the etag of a name that obstore cannot say (`folder/`, `/leading.md`)."""
    failures: Any = importlib.import_module("botocore.exceptions")
    with _boto3_client(options) as client:
        try:
            found = client.get_object(Bucket=bucket, Key=path)
            return found["Body"].read(), found["ETag"]
        except failures.ClientError as error:
            if error.response["Error"]["Code"] in _NOT_THERE:
                return None
            raise UnavailableError(
                "an object cannot be read", where=f"s3://{bucket}/{path}", stored=str(error)
            ) from error
        except failures.BotoCoreError as error:
            raise UnavailableError(
                "an object cannot be read", where=f"s3://{bucket}/{path}", stored=str(error)
            ) from error


@contextlib.contextmanager
def _boto3_client(options: StoreOptions) -> Generator[Any]:
    library: Any = importlib.import_module("boto3")  # untyped
    verify, proxies = boto3_network(options.endpoint or _AWS)
    client = library.client(
        "s3",
        verify=verify,
        endpoint_url=options.endpoint,
        region_name=options.region or _DEFAULT_REGION,
        aws_access_key_id=options.access_key,
        aws_secret_access_key=options.secret_key,
        aws_session_token=options.session_token,
        config=_boto3_config(options, proxies),
    )
    try:
        yield client
    finally:
        client.close()


def _boto3_pages(bucket: str, options: StoreOptions, **asked: str) -> Iterator[Any]:
    failures: Any = importlib.import_module("botocore.exceptions")
    with _boto3_client(options) as client:
        try:
            yield from client.get_paginator("list_objects_v2").paginate(Bucket=bucket, **asked)
        except (failures.ClientError, failures.BotoCoreError) as error:
            raise UnavailableError(
                "the listing broke off", where=f"s3://{bucket}/{asked['Prefix']}", stored=str(error)
            ) from error


def _boto3_config(options: StoreOptions, proxies: dict[str, str]) -> Any:
    config: Any = importlib.import_module("botocore.config")
    return config.Config(
        connect_timeout=min(5.0, options.timeout_seconds),
        read_timeout=options.timeout_seconds,
        retries={"max_attempts": options.retries},
        proxies=proxies,
        s3={"addressing_style": "path" if options.path_style else "virtual"},
    )


def _client_options(options: StoreOptions) -> "ClientConfig":
    network = cast("ClientConfig", obstore_network(options.endpoint or _AWS))
    return {
        **network,
        "allow_http": (options.endpoint or "").startswith("http://"),
        "timeout": timedelta(seconds=options.timeout_seconds),
        "connect_timeout": timedelta(seconds=min(5.0, options.timeout_seconds)),
    }


def _retry_config(options: StoreOptions) -> "RetryConfig":
    return {
        "max_retries": options.retries,
        "retry_timeout": timedelta(seconds=options.timeout_seconds * (options.retries + 1)),
        "backoff": {
            "init_backoff": timedelta(milliseconds=100),
            "max_backoff": timedelta(seconds=5),
            "base": 2,
        },
    }
