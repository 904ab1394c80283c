"""One task of `documents`: read the changed documents of some shards, have them parsed, write them.

The task reads the source and writes the store, so it holds credentials; it never looks into a
document. Parsers run in processes of their own (`parsing_worker`) that are given bytes.
"""

from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from platform_pipelines.compute.confinement import hide_from_peers
from platform_pipelines.compute.pool import WorkerPool
from platform_pipelines.compute.protocol import (
    Budget,
    FailureKind,
    ItemDone,
    ItemFailed,
    Task,
    Working,
)
from platform_pipelines.core.knowledge_base.documents import Reason, SourceObject
from platform_pipelines.core.road.identity import digest_bytes, digest_parts
from platform_pipelines.core.road.snapshot import source_digest
from platform_pipelines.errors import (
    ConfigurationError,
    DocumentError,
    IntegrityError,
    SourceForbiddenError,
    SourceNotFoundError,
)
from platform_pipelines.gateways.object_store import Fetched, ObjectStore
from platform_pipelines.stages.knowledge_base.parsing.ocr import OcrOptions
from platform_pipelines.stages.knowledge_base.parsing.parse import (
    ParseLimits,
    parse_document,
    parser_digest,
)
from platform_pipelines.stages.knowledge_base.parsing_worker import quarantined
from platform_pipelines.stages.knowledge_base.tables import (
    WriteTable,
    documents_schema,
    read_table,
    table_of,
    writing_beside,
)
from platform_pipelines.stages.road.access import open_named

MAX_PART_ITEMS = 32  # documents that travel to a parser together
MAX_PART_BYTES = 8 << 20  # or so many bytes: a few parts are in memory at a time
MANIFEST_COLUMNS = (
    "key", "version", "size_bytes", "state", "content_digest", "parser_digest", "document_digest"
)  # fmt: skip
TEXT_COLUMNS = (
    "content_digest", "type", "code_language", "title", "language", "blocks", "reason", "detail",
    "notes",
)  # fmt: skip
FAILURE_REASONS = {
    FailureKind.TIME_BUDGET: Reason.TIME_BUDGET,
    FailureKind.MEMORY_BUDGET: Reason.MEMORY_BUDGET,
    FailureKind.CRASHED: Reason.CRASHED,
}

Row = dict[str, Any]


def parse_shards(
    access: Mapping[str, Any], items: Iterator[Mapping[str, Any]]
) -> Iterator[Mapping[str, Any] | Working]:
    """Operation `documents.shards`: the task's `arguments` are `{source, shards, parse, digests}`.

    `shards` are `{shard, path, previous, again, objects}`: the earlier file, keys whose row in it
    does not stand, and the listing, `[key, version, size in bytes]`. `digests` are those of the
    parsers, `{parsed, quarantined}`; `parse` is the declaration's. The record is
    `{shards: [{shard, rows, digest}], counts}`; a shard without a document is left out.
    """
    hide_from_peers()  # this process holds what a parser must not see
    for spec in items:
        arguments = spec["arguments"]
        _check_parsers(arguments["digests"]["parsed"], OcrOptions.of(arguments["parse"]["ocr"]))
        store = open_named(access, spec["store"], create=True)
        source = open_named(access, arguments["source"])
        works = [_plan(store, one, arguments["digests"]) for one in arguments["shards"]]
        reading = Reading(source, works, digests=arguments["digests"], parse=arguments["parse"])
        shards: list[Row] = []
        counts: Counter[str] = Counter()
        with writing_beside(store) as write:
            for step in reading.run(access):
                if isinstance(step, Working):
                    yield step
                    continue
                made = _write_shard(store, step, write)
                step.made.clear()  # the text of a whole corpus does not fit into memory
                counts.update(step.counts)
                shards += [made] if made else []
        yield {"shards": shards, "counts": dict(counts)}


def _check_parsers(expected: str, ocr: OcrOptions | None) -> None:
    if parser_digest(ocr) != expected:
        raise ConfigurationError(
            "this process has other parsers than the stage that planned the task",
            stored=parser_digest(ocr),
            expected=expected,
            remedy="run tasks with the image of the step that planned them",
        )


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


def _plan(store: ObjectStore, given: Mapping[str, Any], digests: Mapping[str, str]) -> ShardWork:
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
    for item in objects:
        row = None if item.key in again else rows.get(item.key)
        if row is None or row["parser_digest"] != digests[row["state"]]:
            work.wanted[item.key] = item
        elif (row["version"], row["size_bytes"]) == (item.version, item.size_bytes):
            work.kept[item.key] = item
            continue
        else:
            work.wanted[item.key] = item
            work.known[item.key] = row["content_digest"] if row["state"] == "parsed" else ""
        work.counts["read_again" if item.key in rows else "added"] += 1
    work.counts["removed"] += len(rows.keys() - {o.key for o in objects})
    work.left = len(work.wanted)
    return work


class Reading:
    """Documents on their way: from the source to a parser, and their rows to their shard."""

    def __init__(
        self,
        source: ObjectStore,
        works: Sequence[ShardWork],
        *,
        digests: Mapping[str, str],
        parse: Mapping[str, Any],
    ) -> None:
        self._source = source
        self._works = works
        self._digests = digests
        self._limits = ParseLimits(max_bytes=parse["max_document_mb"] * 1024**2)
        self._parse = parse
        self._sent: dict[str, tuple[ShardWork, list[_Read]]] = {}  # by the parsers' task
        self._finished = deque(work for work in works if not work.left)

    def run(self, access: Mapping[str, Any]) -> Iterator[ShardWork | Working]:
        """Each shard once all of its documents are in; at most a few shards are in memory."""
        total = sum(work.left for work in self._works)
        yield from self._taken()
        if not total:
            return
        shared = {"max_bytes": self._limits.max_bytes, "ocr": self._parse["ocr"]}
        with _parsers(access, self._parse, total) as pool:
            for outcome in pool.run("documents.parse", self._tasks(), shared=shared):
                if isinstance(outcome, ItemDone | ItemFailed):
                    self._take(outcome)
                    yield Working({"documents": 1})
                yield from self._taken()
        yield from self._taken()

    def _taken(self) -> Iterator[ShardWork]:
        while self._finished:
            yield self._finished.popleft()

    def _tasks(self) -> Iterator[Task]:
        """Read parts of the shards, a little ahead of the parsers; what is new goes to them."""
        for work in self._works:
            for number, part in enumerate(_parts(work)):
                found = [f for f in self._source.get_many(part) if self._is_new(work, f)]
                if not found:
                    continue
                name = f"{work.shard}:{number}"
                self._sent[name] = (
                    work,
                    [_Read(f.key, f.version, digest_bytes(f.data)) for f in found],
                )
                yield Task(name, tuple({"key": f.key, "data": f.data} for f in found))

    def _is_new(self, work: ShardWork, found: Fetched) -> bool:
        """Whether it has to be parsed; else it is booked at once."""
        read = _Read(found.key, found.version)
        if isinstance(found.error, SourceNotFoundError):
            self._book(work, read, {"state": "gone"})
        elif isinstance(found.error, SourceForbiddenError):
            self._book(work, read, quarantined(Reason.FORBIDDEN, found.error.what))
        elif found.error is not None:
            raise found.error
        elif work.known.get(found.key) and digest_bytes(found.data) == work.known[found.key]:
            self._book(work, read, {"state": "same"})
        elif len(found.data) > self._limits.max_bytes:
            read = _Read(found.key, found.version, digest_bytes(found.data))
            self._book(work, read, _too_large(found, self._limits))
        else:
            return True
        return False

    def _take(self, outcome: ItemDone | ItemFailed) -> None:
        """Book what a parser said. A killed or crashed one is the document's reason."""
        work, sent = self._sent[outcome.task_id]
        read = sent[outcome.index]
        if isinstance(outcome, ItemDone):
            self._book(work, read, outcome.result)
            return
        reason = FAILURE_REASONS.get(outcome.kind)
        if reason is None:
            raise outcome.to_error()
        # What it was is not known: tried again when the listing, or the budget, is another one.
        self._book(work, _Read(read.key), quarantined(reason, outcome.detail))

    def _book(self, work: ShardWork, read: "_Read", result: Mapping[str, Any]) -> None:
        item, state = work.wanted[read.key], result["state"]
        work.counts[state] += 1
        work.left -= 1
        if not work.left:
            self._finished.append(work)
        if state == "gone":
            return
        if state == "same":
            work.same[item.key] = read.version
            work.kept[item.key] = item
            return
        parser = self._digests[state]
        named = digest_parts(item.key, read.content_digest, parser) if state == "parsed" else ""
        row = dict.fromkeys(TEXT_COLUMNS, "") | dict(result)
        row["key"] = item.key
        row["version"] = read.version or item.version
        row["size_bytes"] = item.size_bytes
        row["content_digest"] = read.content_digest
        row["parser_digest"] = parser
        row["document_digest"] = named
        work.made.append(row)


@dataclass(frozen=True, slots=True)
class _Read:
    """A document that was read: its version then, and the digest of its bytes; empty: unknown."""

    key: str
    version: str = ""
    content_digest: str = ""


def _parts(work: ShardWork) -> Iterator[list[str]]:
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


def _too_large(found: Fetched, limits: ParseLimits) -> Mapping[str, Any]:
    """Not even shown to a parser."""
    try:
        parse_document(found.data, key=found.key, limits=limits)
    except DocumentError as error:
        return quarantined(Reason(error.reason), error.what)
    raise IntegrityError("a document over the limit was parsed", where=found.key)


def _parsers(access: Mapping[str, Any], parse: Mapping[str, Any], documents: int) -> WorkerPool:
    """Processes that parse: each with the declared budget a document, and without a secret."""
    parts = -(-documents // MAX_PART_ITEMS)
    return WorkerPool(
        workers=max(1, min(access["workers"], parts)),
        budget=Budget(seconds_per_item=parse["seconds"], memory_bytes=parse["memory_mb"] * 1024**2),
        environment=access["parser_environment"],
    )


def _write_shard(store: ObjectStore, work: ShardWork, write: WriteTable) -> Row | None:
    """The shard's new file: kept rows as they were, made rows added, sorted by key."""
    rows = work.made
    if work.kept and work.previous is not None:
        old = read_table(store, work.previous).to_pylist()
        rows = rows + [_renewed(row, work) for row in old if row["key"] in work.kept]
    # A file of an earlier version has no notes.
    rows = sorted(({"notes": "", **row} for row in rows), key=lambda row: row["key"])
    if not rows:
        return None
    write(work.path, table_of(rows, documents_schema()))
    return {"shard": work.shard, "rows": len(rows), "digest": documents_digest(rows)}


def documents_digest(rows: Sequence[Row]) -> str:
    """Digest of a shard's parsed documents."""
    return source_digest((r["key"], r["document_digest"]) for r in rows if r["state"] == "parsed")


def _renewed(row: Row, work: ShardWork) -> Row:
    item = work.kept[row["key"]]
    version = work.same.get(row["key"], row["version"])
    return row | {"version": version, "size_bytes": item.size_bytes}
