"""The object store over an S3 bucket (`s3://`), by obstore."""

import contextlib
import functools
import io
import tempfile
import unicodedata
from collections.abc import Generator, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, BinaryIO, cast

from platform_pipelines.core.knowledge_base.documents import SourceObject
from platform_pipelines.errors import SourceNotFoundError
from platform_pipelines.gateways.concurrent_reads import read_many
from platform_pipelines.gateways.object_store import Fetched, Skipped, StoreOptions
from platform_pipelines.gateways.obstore_errors import typed_errors
from platform_pipelines.gateways.s3_client import Found, get_with_boto3, obstore_client
from platform_pipelines.gateways.s3_listing import children, marker_paths, names, pages
from platform_pipelines.gateways.s3_reader import S3File
from platform_pipelines.gateways.store_keys import (
    Listing,
    checked_key,
    checked_prefix,
    nfc,
    stored_names,
)

if TYPE_CHECKING:
    from obstore import ObjectMeta, PutMode
    from obstore.store import S3Store

_SPOOL_BYTES = 8 * 1024 * 1024  # a writer keeps this much in memory, the rest on disk
_READ_AHEAD_BYTES = 1024 * 1024
_DELETE_KEYS = 1000  # of one request


class S3ObjectStore:
    """An `ObjectStore` over a bucket, or over a prefix of it.

    A version is the etag: listings of S3 say no version id, and what a listing says must equal what
    a read says.
    """

    def __init__(self, bucket: str, prefix: str, options: StoreOptions) -> None:
        self.url = f"s3://{bucket}/{prefix}" if prefix else f"s3://{bucket}"
        self._bucket = bucket
        self._root = f"{prefix}/" if prefix else ""
        self._options = options

    @functools.cached_property
    def _client(self) -> "S3Store":
        with typed_errors(self.url):
            return obstore_client(self._bucket, self._options)

    def list_objects(
        self, prefix: str = "", *, skipped: Skipped | None = None
    ) -> Iterator[Sequence[SourceObject]]:
        """See `ObjectStore.list_objects`."""
        base = checked_prefix(prefix, url=self.url)
        left_out = Skipped() if skipped is None else skipped
        listing = Listing(left_out, lambda key: self._meta(self._root + key) is not None)
        for below in self._folders(base):
            for page in pages(self._client, self._bucket, below, self._options, where=self.url):
                for raw, found in names(page, left_out, root=self._root, markers=self._markers):
                    yield from listing.add(raw, found.size_bytes, _version(found.etag))
        yield from listing.finish()

    def get(self, key: str) -> tuple[bytes, str]:
        """See `ObjectStore.get`."""
        import obstore

        path = self._path(key)
        try:
            with typed_errors(self._where(key)):
                result = obstore.get(self._client, path)
        except SourceNotFoundError:
            other = self._other_name(key)
            if other is None:
                found = self._odd(key)
                if found is None:
                    raise
                return found[0], _version(found[1])
            with typed_errors(self._where(key)):
                result = obstore.get(self._client, other)
        with typed_errors(self._where(key)):
            return bytes(result.bytes()), _version(result.meta["e_tag"])

    def get_many(self, keys: Iterable[str]) -> Iterator[Fetched]:
        """See `ObjectStore.get_many`."""
        return read_many(self.get, keys, concurrency=self._options.concurrency)

    def open_reader(self, key: str) -> BinaryIO:
        """See `ObjectStore.open_reader`."""
        meta = self._find(key)
        if meta is None:
            raise SourceNotFoundError("there is no such object", where=self._where(key))
        file = S3File(
            self._client,
            meta["path"],
            size=meta["size"],
            etag=meta["e_tag"] or "*",
            where=self._where(key),
        )
        return cast("BinaryIO", io.BufferedReader(file, _READ_AHEAD_BYTES))

    @contextlib.contextmanager
    def open_writer(self, key: str) -> Generator[BinaryIO]:
        """See `ObjectStore.open_writer`. Spooled to this machine, then sent in parts."""
        import obstore

        path = self._path(key)
        with tempfile.SpooledTemporaryFile(_SPOOL_BYTES, "w+b") as spool:
            yield cast("BinaryIO", spool)
            spool.seek(0)
            with typed_errors(self._where(key)):
                obstore.put(self._client, path, cast("BinaryIO", spool))

    def put(
        self, key: str, data: bytes, *, if_absent: bool = False, if_version: str | None = None
    ) -> str:
        """See `ObjectStore.put`."""
        import obstore

        mode: PutMode = "create" if if_absent else "overwrite"
        if if_version is not None:
            mode = {"e_tag": f'"{if_version}"'}
        path = self._path(key)
        with typed_errors(self._where(key)):
            result = obstore.put(self._client, path, data, mode=mode)
        return _version(result["e_tag"])

    def delete(self, keys: Iterable[str]) -> None:
        """See `ObjectStore.delete`."""
        import obstore

        paths = [self._path(key) for key in keys]
        for start in range(0, len(paths), _DELETE_KEYS):
            with typed_errors(self.url):
                obstore.delete(self._client, paths[start : start + _DELETE_KEYS])

    def head(self, key: str) -> SourceObject | None:
        """See `ObjectStore.head`."""
        meta = self._find(key)
        return (
            None if meta is None else SourceObject(nfc(key), meta["size"], _version(meta["e_tag"]))
        )

    def exists(self, key: str) -> bool:
        """See `ObjectStore.exists`."""
        return self.head(key) is not None

    def _where(self, key: str) -> str:
        return f"{self.url}/{key}"

    def _path(self, key: str) -> str:
        return self._root + checked_key(key, url=self.url)

    def _find(self, key: str) -> "ObjectMeta | None":
        meta = self._meta(self._path(key))
        if meta is None:
            other = self._other_name(key)
            meta = None if other is None else self._meta(other)
        return meta

    def _meta(self, path: str) -> "ObjectMeta | None":
        import obstore

        try:
            with typed_errors(f"s3://{self._bucket}/{path}"):
                return obstore.head(self._client, path)
        except SourceNotFoundError:
            return None

    def _markers(self, empty: list[Found]) -> set[str]:
        return marker_paths(self._bucket, self._root, empty, self._options)

    def _odd(self, key: str) -> tuple[bytes, str] | None:
        """An object under a name that obstore shows without its slash: `folder/`, `/leading.md`."""
        path = self._root + key
        odd = (f"{path}/", *(() if self._root else (f"/{path}",)))
        read = (get_with_boto3(self._bucket, name, self._options) for name in odd)
        return next((found for found in read if found is not None), None)

    def _other_name(self, key: str) -> str | None:
        """The path of an object whose name is not NFC; ASCII has no other normal form."""
        if key.isascii():
            return None
        decomposed = self._root + unicodedata.normalize("NFD", key)
        if self._meta(decomposed) is not None:
            return decomposed  # the common case, without a listing
        others = stored_names(nfc(key), self._children)
        return self._root + others[0] if others else None

    def _folders(self, base: str) -> list[str]:
        """The prefixes in the bucket that a prefix means, each with its trailing `/`."""
        if not base:
            return [self._root]
        raw = [base] if base.isascii() else stored_names(nfc(base), self._children)
        return [f"{self._root}{name}/" for name in raw]

    def _children(self, folder: str) -> Iterator[str]:
        below = f"{self._root}{folder}/" if folder else self._root
        return children(self._client, self._bucket, below, self._options, where=self.url)


def _version(etag: str | None) -> str:
    return (etag or "").strip('"')
