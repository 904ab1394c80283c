"""Keys of an object store: which are legal, which are skipped, and which name is behind one."""

import unicodedata
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from platform_pipelines.core.knowledge_base.documents import SourceObject
from platform_pipelines.errors import ConfigurationError
from platform_pipelines.gateways.object_store import Skipped

BATCH_OBJECTS = 1000

Children = Callable[[str], Iterable[str]]  # raw folder name, "" is the root -> raw names in it


def nfc(text: str) -> str:
    """The normal form in which every key is compared and kept."""
    return unicodedata.normalize("NFC", text)


def checked_key(key: str, *, url: str) -> str:
    """The key itself when it names something below the root.

    Raises:
        ConfigurationError: empty, absolute, or with an empty, `.` or `..` part, or a NUL.
    """
    parts = key.split("/")
    if "\0" in key or any(part in {"", ".", ".."} for part in parts):
        raise ConfigurationError(
            "a key names nothing below the root of its store",
            where=url,
            stored=repr(key),
            expected="parts joined by `/`, none of them empty, `.` or `..`",
        )
    return key


def checked_prefix(prefix: str, *, url: str) -> str:
    """A prefix without its trailing `/`; "" is the whole store. Raises ConfigurationError."""
    stripped = prefix.removesuffix("/")
    return checked_key(stripped, url=url) if stripped else ""


def is_hidden(key: str) -> bool:
    """Whether a part of the key starts with a dot (`.DS_Store`, `.git/config`)."""
    return key.startswith(".") or "/." in key


@dataclass(slots=True)
class Listing:
    """Turns raw names into keys that are each listed once.

    Two names may share a key after NFC (a folder copied from a Mac twice). The one that is NFC
    already wins, because reading by key finds it first. Names that are not NFC are therefore held
    back to the end: memory grows with them alone. Feed names in byte order, as S3 lists them: a
    decomposed name then comes before its composed twin (`exists` covers the few that do not).
    """

    skipped: Skipped
    exists: Callable[[str], bool]
    _held: dict[str, SourceObject] = field(default_factory=dict[str, SourceObject])
    _raw: dict[str, str] = field(default_factory=dict[str, str])
    _batch: list[SourceObject] = field(default_factory=list[SourceObject])

    def add(self, raw: str, size_bytes: int, version: str) -> Iterator[list[SourceObject]]:
        """Take one name; yields a batch when it is full."""
        key = nfc(raw)
        if key != raw:
            self._hold(raw, SourceObject(key, size_bytes, version))
            return
        if self._held.pop(key, None) is not None:
            self.skipped.duplicates.append(key)
        yield from self._emit(SourceObject(key, size_bytes, version))

    def finish(self) -> Iterator[list[SourceObject]]:
        """The held names and the last batch."""
        for key, found in self._held.items():
            if self._raw[key].encode() > key.encode() and self.exists(key):
                self.skipped.duplicates.append(key)
            else:
                yield from self._emit(found)
        if self._batch:
            yield self._batch

    def _hold(self, raw: str, found: SourceObject) -> None:
        if found.key in self._held:
            self.skipped.duplicates.append(found.key)
            return
        self._held[found.key] = found
        self._raw[found.key] = raw

    def _emit(self, found: SourceObject) -> Iterator[list[SourceObject]]:
        self._batch.append(found)
        if len(self._batch) >= BATCH_OBJECTS:
            full, self._batch = self._batch, []
            yield full


def stored_names(key: str, children: Children) -> list[str]:
    """The names whose NFC is `key`, found part by part, in byte order. One listing a part."""
    found = [""]
    for part in key.split("/"):
        found = [
            f"{folder}/{name}" if folder else name
            for folder in found
            for name in children(folder)
            if nfc(name) == part
        ]
    return sorted(found)
