"""The object store's role: named bytes under one root URL, with versions and compare-and-swap.

`file://` and `s3://` behave alike; `gateways.obstore_store.open_store` makes one from a URL.
Keys are relative to the root, NFC, `/` between parts. A name stored in another normal form (NFD
from a Mac) is listed under its NFC key and read by it.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import BinaryIO, Protocol

from platform_pipelines.core.knowledge_base.documents import SourceObject
from platform_pipelines.errors import PlatformError


@dataclass(frozen=True, slots=True)
class StoreOptions:
    """How to reach a store. Everything but the last three is for `s3://` only.

    Without `access_key` the default credential chain of the machine is used (environment, web
    identity, container or instance role).
    """

    endpoint: str | None = None  # of an S3-compatible server, `http://` or `https://`; None is AWS
    region: str | None = None
    path_style: bool = True
    access_key: str | None = field(default=None, repr=False)
    secret_key: str | None = field(default=None, repr=False)
    session_token: str | None = field(default=None, repr=False)
    timeout_seconds: float = 30.0  # of one request
    retries: int = 3  # of one request, on 5xx, 429 and lost connections
    concurrency: int = 16  # requests at a time in `get_many`


@dataclass(frozen=True, slots=True)
class Fetched:
    """One object of `get_many`: its bytes and their version, or why this one could not be read.

    `error` is SourceNotFoundError (gone since it was listed), SourceForbiddenError, or
    ConflictError (it changes while it is read).
    """

    key: str
    data: bytes = b""
    version: str = ""
    error: PlatformError | None = None


@dataclass(slots=True)
class Skipped:
    """What a listing left out; complete once the listing is exhausted."""

    hidden: int = 0  # a part of the key starts with `.`; a hidden folder counts once
    markers: int = 0  # keys that end in `/`, made by consoles to show a folder
    links: int = 0  # links to folders or out of the root, pipes, devices
    unreadable: list[str] = field(default_factory=list[str])  # not UTF-8 or control characters
    duplicates: list[str] = field(default_factory=list[str])  # keys that two names share after NFC

    @property
    def total(self) -> int:
        """How many names were left out."""
        names = len(self.unreadable) + len(self.duplicates)
        return self.hidden + self.markers + self.links + names


class ObjectStore(Protocol):
    """Named bytes under one root.

    Raises (from every method): SourceNotFoundError (no such folder, bucket or object),
    SourceForbiddenError, UnavailableError (time-out, 5xx, refused connection), RateLimitedError,
    StorageFullError, and ConfigurationError for a key that leaves the root.
    """

    url: str  # of the root, without a trailing `/` and without credentials

    def list_objects(
        self, prefix: str = "", *, skipped: Skipped | None = None
    ) -> Iterator[Sequence[SourceObject]]:
        """Objects below `prefix`, in batches of at most 1,000, each key once, in no promised order.

        `prefix` is whole parts (`a/b`, a trailing `/` changes nothing): `a/b` never lists `a/bc`.
        What is left out is counted in `skipped`. No object below a prefix is an empty listing; a
        missing root folder or bucket is SourceNotFoundError, a folder that may not be read
        SourceForbiddenError: neither ever looks like an empty corpus.
        """
        ...

    def get(self, key: str) -> tuple[bytes, str]:
        """The bytes and the version that they are of."""
        ...

    def get_many(self, keys: Iterable[str]) -> Iterator[Fetched]:
        """The objects in the order of `keys`, read concurrently; 2 x concurrency in memory."""
        ...

    def open_reader(self, key: str) -> BinaryIO:
        """A seekable file of one version, e.g. for pyarrow; close it.

        Raises ConflictError from a read when an S3 object was replaced meanwhile.
        """
        ...

    def open_writer(self, key: str) -> AbstractContextManager[BinaryIO]:
        """A file that becomes the object when the block ends well; nothing stays if it raises."""
        ...

    def put(
        self, key: str, data: bytes, *, if_absent: bool = False, if_version: str | None = None
    ) -> str:
        """Write the object whole; returns its version.

        On S3 a version is the etag, which equal bytes share: put a nonce into what must not be
        mistaken for its own past.

        Raises:
            ConflictError: `if_absent` and it exists, or its version is not `if_version` (or it is
                gone).
        """
        ...

    def delete(self, keys: Iterable[str]) -> None:
        """Delete; absent is fine. Keys are exact: a prefix is not followed."""
        ...

    def head(self, key: str) -> SourceObject | None:
        """Size and version, equal to what a listing says, or None when there is no such object."""
        ...

    def exists(self, key: str) -> bool:
        """Whether there is such an object."""
        ...
