"""One object store for one URL: `file://` and `s3://` are the same to everybody above."""

import os
import re
from dataclasses import dataclass
from urllib.parse import unquote

from platform_pipelines.errors import ConfigurationError, hide_user
from platform_pipelines.gateways.local_store import LocalObjectStore
from platform_pipelines.gateways.object_store import ObjectStore, StoreOptions

_ALLOWED = "file:///absolute/folder or s3://bucket/prefix"
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.\-]{1,61}[a-z0-9]")


@dataclass(frozen=True, slots=True)
class _Given:
    """A URL and where it was written."""

    url: str
    named: str

    def wrong(self, what: str) -> ConfigurationError:
        shown = hide_user(self.url)
        return ConfigurationError(what, where=self.named, stored=shown, expected=_ALLOWED)


def open_store(
    url: str, *, options: StoreOptions | None = None, create: bool = False, named: str = "url"
) -> ObjectStore:
    """The store of a URL. Touches nothing: a missing folder or bucket shows at its first use.

    Args:
        url: `file:///folder`, percent-encoded where needed (an absolute path with plain spaces and
            Korean is understood too), or `s3://bucket/prefix`, taken literally.
        options: how to reach S3, and how many reads at a time.
        create: for the product's own stores: a missing folder is an empty store and is made by the
            first write. Never for a source of documents. Nothing to `s3://`.
        named: where the URL was written, for the message that refuses it.

    Raises:
        ConfigurationError: names what is wrong with the URL and what is allowed.
    """
    chosen, given = options or StoreOptions(), _Given(url, named)
    scheme, separator, rest = url.partition("://")
    if not separator:
        raise given.wrong("a store is named by a URL")
    match scheme.lower():
        case "file":
            return LocalObjectStore(
                _folder(given, rest), create=create, concurrency=chosen.concurrency
            )
        case "s3":
            return _s3(given, rest, chosen)
        case _:
            raise given.wrong(f"`{scheme}` is not a kind of store")


def _folder(given: _Given, rest: str) -> str:
    path = rest.removeprefix("localhost") if rest.startswith("localhost/") else rest
    if not path.startswith("/"):
        raise given.wrong("a file URL has three slashes and an absolute path, without a host")
    folder = unquote(path)
    if "\0" in folder or ".." in folder.split("/"):
        raise given.wrong("the path has a `..` or a NUL in it")
    return os.path.normpath("/" + folder.lstrip("/"))


def _s3(given: _Given, rest: str, options: StoreOptions) -> ObjectStore:
    bucket, _, path = rest.partition("/")
    if not bucket:
        raise given.wrong("the bucket is missing")
    if "@" in bucket or not _BUCKET.fullmatch(bucket):
        raise given.wrong(
            "a bucket's name is 3 to 63 lower-case letters, digits, `-` and `.`, without keys"
        )
    prefix = path.rstrip("/")
    if prefix and any(part in {"", ".", ".."} for part in prefix.split("/")):
        raise given.wrong("the prefix has an empty part, `.` or `..`")
    _check_options(given.url, options)
    from platform_pipelines.gateways.s3_store import S3ObjectStore

    return S3ObjectStore(bucket, prefix, options)


def _check_options(url: str, options: StoreOptions) -> None:
    endpoint = options.endpoint
    if endpoint is not None and not endpoint.startswith(("http://", "https://")):
        raise ConfigurationError(
            "the endpoint is not a web address",
            where=url,
            stored=hide_user(endpoint),
            expected="http://host:port or https://host",
        )
    if (options.access_key is None) != (options.secret_key is None):
        missing = "access_key" if options.access_key is None else "secret_key"
        raise ConfigurationError(
            "half of a key pair",
            where=url,
            stored=f"no {missing}",
            expected="both, or none for the machine's own credentials",
        )
