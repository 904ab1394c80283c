"""Lists of people beside chat exports: Slack's `users.json` names who speaks in a channel's files.

A file that such a list stands beside, or above, is read again when the list changes: the list's
version is a part of its own, and the list's bytes of its content.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import PurePosixPath
from typing import TypeVar

from platform_pipelines.core.knowledge_base.documents import SourceObject
from platform_pipelines.gateways.object_store import ObjectStore

LIST_NAME = "users.json"
MOST_BYTES = 32 << 20  # of all lists of a task; what is beyond names nobody
_CHATS = (".json", ".jsonl", ".ndjson")

_List = TypeVar("_List")


def lists_of(objects: Iterable[SourceObject]) -> dict[str, SourceObject]:
    """The lists among what is listed, by the folder that they stand in."""
    return {_folder(o.key): o for o in objects if o.key.rpartition("/")[2] == LIST_NAME}


def list_for(key: str, lists: Mapping[str, _List]) -> _List | None:
    """The list that names the people of a document, if it may be a chat: beside it, or above."""
    if not lists:
        return None
    path = PurePosixPath(key)
    if path.suffix.lower() not in _CHATS or path.name == LIST_NAME:
        return None
    beside = lists.get(_folder(key))
    return beside if beside is not None else lists.get(_folder(_folder(key)))


def versioned(item: SourceObject, lists: Mapping[str, SourceObject]) -> SourceObject:
    """A listed object whose version also says which list names its people."""
    found = list_for(item.key, lists)
    return item if found is None else replace(item, version=_joined(item.version, found.version))


def version_read(key: str, version: str, lists: Mapping[str, tuple[str, str]]) -> str:
    """The same of the version that was read; `lists` are `(key, version)` by folder."""
    found = list_for(key, lists)
    return version if found is None or not version else _joined(version, found[1])


def read_lists(
    source: ObjectStore, keys: Iterable[str], lists: Mapping[str, tuple[str, str]]
) -> dict[str, bytes]:
    """The bytes of the lists that some documents need, by folder; one that is gone names nobody."""
    needed = {found[0] for key in keys if (found := list_for(key, lists)) is not None}
    folders = {key: folder for folder, (key, _) in lists.items()}
    held: dict[str, bytes] = {}
    size = 0
    for fetched in source.get_many(sorted(needed)):
        size += len(fetched.data)
        if fetched.error is None and size <= MOST_BYTES:
            held[folders[fetched.key]] = fetched.data
    return held


def _joined(version: str, of_list: str) -> str:
    return f"{version}~{of_list}"


def _folder(key: str) -> str:
    return str(PurePosixPath(key).parent)
