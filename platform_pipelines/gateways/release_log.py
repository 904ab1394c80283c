"""The release log on the object store: one object an entry, created once, never changed.

`releases/<name>/<sequence, 8 digits>.json` is created if absent, which is a compare-and-swap on the
sequence number: of two releases at once, one is recorded.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, cast

from platform_pipelines.core.road.identity import canonical_json
from platform_pipelines.core.road.releases import (
    ReleaseEntry,
    entry_from_record,
    entry_record,
    verify_chain,
)
from platform_pipelines.errors import ConflictError, IntegrityError, SourceNotFoundError
from platform_pipelines.gateways.object_store import ObjectStore

_DIGITS = 8
_SUFFIX = ".json"


class ReleaseLog:
    """The log of one knowledge base.

    Raises (from every method): IntegrityError for an entry that is not what was written, or that is
    missing, and the store's own errors.
    """

    def __init__(self, store: ObjectStore, name: str) -> None:
        self.name = name
        self._store = store
        self._folder = f"releases/{name}"

    def head(self) -> ReleaseEntry | None:
        """The last entry, or None before the first. Lists names; reads one object."""
        last = self._last_sequence()
        return self._read([last])[0] if last else None

    def entries(self, limit: int | None = None) -> tuple[ReleaseEntry, ...]:
        """The entries (the last `limit` of them), oldest first, their chain verified."""
        last = self._last_sequence()
        first = 1 if limit is None else max(1, last - limit + 1)
        found = self._read(range(first, last + 1))
        verify_chain(found, name=self.name)
        return tuple(found)

    def append(self, entry: ReleaseEntry) -> None:
        """Record an entry that follows the last one; recording the same one again changes nothing.

        Raises:
            ConflictError: another entry was recorded first; plan again on the new log.
        """
        if entry.sequence > 1:
            verify_chain([*self._read([entry.sequence - 1]), entry], name=self.name)
        else:
            verify_chain([entry], name=self.name)
        key = self._key(entry.sequence)
        try:
            self._store.put(key, _encode(entry), if_absent=True)
        except ConflictError:
            # The answer to our own write may have been lost, and the client tried again.
            if self._read([entry.sequence])[0] != entry:
                raise
            return
        # Not every S3 server excludes two writers of one key: who is not there has lost.
        if self._read([entry.sequence])[0] != entry:
            raise ConflictError("another release was recorded first", where=self._where(key))

    def _last_sequence(self) -> int:
        """The highest sequence number, 0 when there is none; a gap is an IntegrityError."""
        listed = self._store.list_objects(self._folder)
        numbers = [self._sequence(found.key) for batch in listed for found in batch]
        last = max(numbers, default=0)
        if len(numbers) != last:
            raise IntegrityError(
                "entries of the release log are missing",
                where=self._where(self._folder),
                stored=f"{len(numbers)} entries",
                expected=f"{last} entries, numbered from 1",
                remedy="restore the missing objects from a backup",
            )
        return last

    def _sequence(self, key: str) -> int:
        stem = key.removeprefix(f"{self._folder}/").removesuffix(_SUFFIX)
        if not (stem.isascii() and stem.isdigit() and self._key(int(stem)) == key):
            raise IntegrityError(
                "a foreign object in the release log",
                where=self._where(key),
                remedy="move it elsewhere",
            )
        return int(stem)

    def _key(self, sequence: int) -> str:
        return f"{self._folder}/{sequence:0{_DIGITS}d}{_SUFFIX}"

    def _read(self, sequences: Sequence[int]) -> list[ReleaseEntry]:
        found: list[ReleaseEntry] = []
        for fetched in self._store.get_many([self._key(number) for number in sequences]):
            if isinstance(fetched.error, SourceNotFoundError):
                raise IntegrityError(
                    "an entry of the release log is missing", where=self._where(fetched.key)
                ) from fetched.error
            if fetched.error is not None:
                raise fetched.error
            found.append(_decode(fetched.data, where=self._where(fetched.key)))
        return found

    def _where(self, key: str) -> str:
        return f"{self._store.url}/{key}"


def _encode(entry: ReleaseEntry) -> bytes:
    return canonical_json({"digest": entry.digest, "entry": entry_record(entry)}).encode()


def _decode(data: bytes, *, where: str) -> ReleaseEntry:
    try:
        document: Any = json.loads(data)
    except ValueError as error:
        raise IntegrityError("not a release entry", where=where, expected="JSON") from error
    if not isinstance(document, dict):
        raise IntegrityError("not a release entry", where=where, expected="a JSON object")
    record = cast("Mapping[str, Any]", document)
    inner: Any = record.get("entry")
    if not isinstance(inner, dict):
        raise IntegrityError("not a release entry", where=where, expected="the field `entry`")
    entry = entry_from_record(cast("Mapping[str, Any]", inner), where=where)
    if record.get("digest") != entry.digest:
        raise IntegrityError(
            "the release entry was changed after it was written",
            where=where,
            stored=record.get("digest"),
            expected=entry.digest,
            remedy="restore it from a backup",
        )
    return entry
