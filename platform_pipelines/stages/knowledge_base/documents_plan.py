"""What of a shard is read, and what becomes its new file: rows kept as they were, rows made."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from platform_pipelines.core.knowledge_base.documents import SourceObject, container_of
from platform_pipelines.core.road.identity import digest_parts
from platform_pipelines.core.road.snapshot import source_digest
from platform_pipelines.gateways.object_store import ObjectStore
from platform_pipelines.stages.knowledge_base.layering import layer_on, take_rows
from platform_pipelines.stages.knowledge_base.layers import layer_path, write_layer
from platform_pipelines.stages.knowledge_base.tables import (
    WriteTable,
    documents_schema,
    read_table,
    table_of,
)

MAX_PART_ITEMS = 32  # documents that travel to a parser together
MAX_PART_BYTES = 8 << 20  # or so many bytes: a few parts are in memory at a time
MANIFEST_COLUMNS = (
    "key", "version", "size_bytes", "state", "content_digest", "parser_digest", "document_digest"
)  # fmt: skip
TEXT_COLUMNS = (
    "content_digest", "type", "code_language", "title", "language", "blocks", "reason", "detail",
    "notes",
)  # fmt: skip
Row = dict[str, Any]


@dataclass(slots=True)
class ShardWork:
    """One changed shard: what is kept by key, what is still to be read."""

    shard: int
    path: str
    previous: str | None
    kept: dict[str, SourceObject] = field(default_factory=dict[str, SourceObject])
    wanted: dict[str, SourceObject] = field(default_factory=dict[str, SourceObject])
    known: dict[str, str] = field(default_factory=dict[str, str])
    made: list[Row] = field(default_factory=list[Row])
    same: dict[str, str] = field(default_factory=dict[str, str])  # key -> version just read
    counts: Counter[str] = field(default_factory=Counter[str])
    left: int = 0  # documents that have no row yet


def plan_shard(
    store: ObjectStore, given: Mapping[str, Any], digests: Mapping[str, str]
) -> ShardWork:
    """Sort the shard's objects into those whose row stands and those to read."""
    work = ShardWork(given["shard"], given["path"], given["previous"])
    again = frozenset(given["again"])
    rows: dict[str, Row] = {}
    if work.previous is not None:
        table = read_table(store, work.previous, MANIFEST_COLUMNS)
        rows = {row["key"]: row for row in table.to_pylist()}
    objects = [
        SourceObject(key=key, version=version, size_bytes=size)
        for key, version, size in given["objects"]
    ]
    keys = {item.key for item in objects}
    stale = {
        root_of(key, keys) for key, row in rows.items()
        if row["parser_digest"] != digests[row["state"]]
    }  # fmt: skip
    for item in objects:
        row = None if item.key in again else rows.get(item.key)
        if row is None or item.key in stale:
            work.wanted[item.key] = item
        elif (row["version"], row["size_bytes"]) == (item.version, item.size_bytes):
            work.kept[item.key] = item
            continue
        else:
            work.wanted[item.key] = item
            work.known[item.key] = row["content_digest"] if row["state"] == "parsed" else ""
        work.counts["read_again" if item.key in rows else "added"] += 1
    work.counts["removed"] += sum(root_of(key, keys) not in keys for key in rows)
    work.left = len(work.wanted)
    return work


@dataclass(frozen=True, slots=True)
class Read:
    """A document that was read: its version then, and the digest of its bytes; empty: unknown."""

    key: str
    version: str = ""
    content_digest: str = ""


def rows_of(
    item: SourceObject,
    read: Read,
    result: Mapping[str, Any],
    digests: Mapping[str, str],
    listed: Collection[str],
) -> list[Row]:
    """The row of a document that was read, and one of each document attached to it."""
    version = read.version or item.version
    made = [_row(item.key, version, item.size_bytes, read.content_digest, result, digests)]
    taken = {item.key, *listed}
    for one in result.get("attached", ()):
        key, number = one["key"], 1
        while key in taken:  # two of one name, or an object that is called so
            number += 1
            key = f"{one['key']} ({number})"
        taken.add(key)
        made.append(_row(key, version, one["size_bytes"], one["content_digest"], one, digests))
    return made


def _row(
    key: str,
    version: str,
    size_bytes: int,
    content_digest: str,
    result: Mapping[str, Any],
    digests: Mapping[str, str],
) -> Row:
    state = result["state"]
    parser = digests[state]
    named = digest_parts(key, content_digest, parser) if state == "parsed" else ""
    own = {name: result[name] for name in ("state", *TEXT_COLUMNS) if name in result}
    return dict.fromkeys(TEXT_COLUMNS, "") | own | {
        "key": key,
        "version": version,
        "size_bytes": size_bytes,
        "content_digest": content_digest,
        "parser_digest": parser,
        "document_digest": named,
    }  # fmt: skip


def parts_of(work: ShardWork) -> Iterator[list[str]]:
    """Keys of the documents to read, in order, some at a time."""
    part: list[str] = []
    size = 0
    for key in sorted(work.wanted):
        part.append(key)
        size += work.wanted[key].size_bytes
        if len(part) >= MAX_PART_ITEMS or size >= MAX_PART_BYTES:
            yield part
            part, size = [], 0
    if part:
        yield part


def write_shard(store: ObjectStore, work: ShardWork, write: WriteTable) -> Row | None:
    """The shard's new file: kept rows as they were, made rows added, sorted by key.

    Where few rows are made, it is a layer on the earlier file, whose texts are not read.
    """
    stays, renewed = _staying(store, work)
    made = sorted([*work.made, *renewed], key=lambda row: row["key"])
    told = [*made, *({"key": k, **one.told} for k, one in stays.items())]
    if not told:
        return None
    path = _write_layer(store, work, stays, made)
    if path is None:
        path = work.path
        places = sorted(one.place for one in stays.values())
        rows = [*made, *_texts(store, work, places)]
        write(path, table_of(sorted(rows, key=lambda row: row["key"]), documents_schema()))
    return {"shard": work.shard, "rows": len(told), "digest": documents_digest(told), "path": path}


@dataclass(frozen=True, slots=True)
class _Stays:
    """A row of the earlier file that stays as it is."""

    place: int
    told: Row  # what names its content


def _staying(store: ObjectStore, work: ShardWork) -> tuple[dict[str, _Stays], list[Row]]:
    """Rows that stay, by key; and those whose object has another version and equal content."""
    if not work.kept or work.previous is None:
        return {}, []
    names = ("key", "version", "size_bytes", "state", "document_digest")
    rows = read_table(store, work.previous, names).to_pylist()
    listed = work.kept.keys() | work.wanted.keys()
    stays: dict[str, _Stays] = {}
    others: dict[int, str] = {}  # place -> listed object
    for place, row in enumerate(rows):
        root = root_of(row["key"], listed)
        if root not in work.kept:
            continue
        is_own = row["key"] == root
        if root not in work.same and not (
            is_own and row["size_bytes"] != work.kept[root].size_bytes
        ):
            told = {"state": row["state"], "document_digest": row["document_digest"]}
            stays[row["key"]] = _Stays(place, told)
        else:
            others[place] = root
    texts = _texts(store, work, list(others))
    return stays, [_renewed(row, others[at], work) for at, row in zip(others, texts, strict=True)]


def _texts(store: ObjectStore, work: ShardWork, places: Sequence[int]) -> list[Row]:
    """Whole rows of the earlier file; one of an earlier version has no notes."""
    if not places or work.previous is None:
        return []
    columns = documents_schema().names
    found = take_rows(store, work.previous, places, columns).to_pylist()
    return [{"notes": "", **row} for row in found]


def _write_layer(
    store: ObjectStore, work: ShardWork, stays: Mapping[str, _Stays], made: Sequence[Row]
) -> str | None:
    """Where it was written; None when it has to be written whole."""
    if not stays or work.previous is None:
        return None
    places = {key: one.place for key, one in stays.items()}
    places |= {row["key"]: -1 - number for number, row in enumerate(made)}
    if len(places) != len(stays) + len(made):
        return None
    order = [places[key] for key in sorted(places)]
    layer = layer_on(store, work.previous, order, table_of(made, documents_schema()))
    if layer is None:
        return None
    path = layer_path(work.path, layer.base)
    write_layer(store, path, layer)
    return path


def documents_digest(rows: Sequence[Row]) -> str:
    """Digest of a shard's parsed documents."""
    return source_digest((r["key"], r["document_digest"]) for r in rows if r["state"] == "parsed")


def _renewed(row: Row, root: str, work: ShardWork) -> Row:
    """An earlier row beside what its object is now; an attachment's size is its own."""
    version = work.same.get(root, row["version"])
    is_own = row["key"] == root
    size = work.kept[root].size_bytes if is_own else row["size_bytes"]
    return row | {"version": version, "size_bytes": size}


def root_of(key: str, listed: Collection[str]) -> str:
    """The listed object that a row's document is, or is inside of."""
    return key if key in listed else container_of(key)
