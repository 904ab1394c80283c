"""The object store over a folder (`file://`), with the semantics of S3.

Plain files instead of obstore's LocalStore, which (0.12) fails a whole listing on one odd name,
cannot read a name that ends in `#1`, and updates nothing conditionally.
"""

import contextlib
import os
import stat
from collections.abc import Generator, Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from platform_pipelines.core.knowledge_base.documents import SourceObject
from platform_pipelines.errors import ConflictError, SourceNotFoundError
from platform_pipelines.gateways.concurrent_reads import read_many_files
from platform_pipelines.gateways.local_files import settle, stat_or_none, typed_errors, version_of
from platform_pipelines.gateways.local_staging import publish, remove, staged
from platform_pipelines.gateways.local_walk import children, walk
from platform_pipelines.gateways.object_store import Fetched, Skipped
from platform_pipelines.gateways.store_keys import (
    Listing,
    checked_key,
    checked_prefix,
    nfc,
    stored_names,
)

_READ_ATTEMPTS = 3


class LocalObjectStore:
    """An `ObjectStore` over one folder. With `create`, a missing folder is an empty store."""

    def __init__(self, root: str, *, create: bool = False, concurrency: int = 16) -> None:
        self.url = Path(root).as_uri()
        self._root = root
        self._create = create
        self._concurrency = concurrency

    def list_objects(
        self, prefix: str = "", *, skipped: Skipped | None = None
    ) -> Iterator[Sequence[SourceObject]]:
        """See `ObjectStore.list_objects`."""
        base = checked_prefix(prefix, url=self.url)
        left_out = Skipped() if skipped is None else skipped
        self._require_root()
        listing = Listing(left_out, lambda key: os.path.lexists(os.path.join(self._root, key)))
        for folder in self._stored(base) if base else [""]:
            for raw, status in walk(self._root, folder, left_out):
                yield from listing.add(raw, status.st_size, version_of(status))
        yield from listing.finish()

    def get(self, key: str) -> tuple[bytes, str]:
        """See `ObjectStore.get`. ConflictError when the file changes all the time."""
        with self._open(key) as file, typed_errors(self._where(key)):
            for _ in range(_READ_ATTEMPTS):
                file.seek(0)
                before = os.fstat(file.fileno())
                settle(before)
                data = file.read()
                if version_of(os.fstat(file.fileno())) == version_of(before):
                    return data, version_of(before)
        raise ConflictError("the file changes while it is read", where=self._where(key))

    def get_many(self, keys: Iterable[str]) -> Iterator[Fetched]:
        """See `ObjectStore.get_many`."""
        return read_many_files(self.get, keys, concurrency=self._concurrency)

    def open_reader(self, key: str) -> BinaryIO:
        """See `ObjectStore.open_reader`; a replaced file stays readable until it is closed."""
        return self._open(key)

    @contextlib.contextmanager
    def open_writer(self, key: str) -> Generator[BinaryIO]:
        """See `ObjectStore.open_writer`."""
        target = self._target(key)
        with typed_errors(self._where(key)), staged(self._root) as new:
            yield new.file
            publish(new, root=self._root, target=target, if_absent=False, if_version=None)

    def put(
        self, key: str, data: bytes, *, if_absent: bool = False, if_version: str | None = None
    ) -> str:
        """See `ObjectStore.put`."""
        target = self._target(key)
        with typed_errors(self._where(key)), staged(self._root) as new:
            new.file.write(data)
            return publish(
                new, root=self._root, target=target, if_absent=if_absent, if_version=if_version
            )

    def delete(self, keys: Iterable[str]) -> None:
        """See `ObjectStore.delete`."""
        self._require_root()
        for key in keys:
            with typed_errors(self._where(key)):
                remove(self._root, self._path(key))

    def head(self, key: str) -> SourceObject | None:
        """See `ObjectStore.head`."""
        path = self._file(key)
        with typed_errors(self._where(key)):
            status = None if path is None else stat_or_none(path)
        if status is None or not stat.S_ISREG(status.st_mode):
            return None
        return SourceObject(nfc(key), status.st_size, version_of(status))

    def exists(self, key: str) -> bool:
        """See `ObjectStore.exists`."""
        return self.head(key) is not None

    def _where(self, key: str) -> str:
        return f"{self.url}/{key}"

    def _path(self, key: str) -> str:
        return os.path.join(self._root, checked_key(key, url=self.url))

    def _target(self, key: str) -> str:
        """Where to write a key; makes the root when the store may."""
        path = self._path(key)
        if self._create:
            with typed_errors(self.url):
                os.makedirs(self._root, exist_ok=True)
        else:
            self._require_root()
        return path

    def _require_root(self) -> None:
        with typed_errors(self.url):
            status = stat_or_none(self._root)
        if status is None and self._create:
            return
        if status is None or not stat.S_ISDIR(status.st_mode):
            raise SourceNotFoundError(
                "there is no such folder",
                where=self.url,
                stored="nothing" if status is None else "a file",
                remedy="create it, or correct the URL; a missing folder is not an empty corpus",
            )

    def _stored(self, key: str) -> list[str]:
        """The stored names behind a key or a prefix; ASCII has no other normal form."""
        if key.isascii():
            return [key]
        with typed_errors(self._where(key)):
            return stored_names(nfc(key), lambda folder: children(self._root, folder))

    def _file(self, key: str) -> str | None:
        """The path behind a key: its own if that exists, else one of another normal form."""
        path = self._path(key)
        with typed_errors(self._where(key)):
            if stat_or_none(path) is not None:
                return path
        others = self._stored(key)
        return os.path.join(self._root, others[0]) if others else None

    def _open(self, key: str) -> BinaryIO:
        path = self._file(key)
        if path is None:
            raise SourceNotFoundError("there is no such file", where=self._where(key))
        with typed_errors(self._where(key)):
            return open(path, "rb")
