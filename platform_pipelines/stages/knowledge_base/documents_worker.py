"""One task of `documents`: read the changed documents of some shards, have them parsed, write them.

The task reads the source and writes the store, so it holds credentials; it never looks into a
document. Parsers run in processes of their own (`parsing_worker`) that are given bytes.
"""

from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
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
from platform_pipelines.core.knowledge_base.documents import Reason
from platform_pipelines.core.road.identity import digest_bytes, digest_parts
from platform_pipelines.errors import (
    ConfigurationError,
    ConflictError,
    DocumentError,
    IntegrityError,
    SourceForbiddenError,
    SourceNotFoundError,
)
from platform_pipelines.gateways.object_store import Fetched, ObjectStore
from platform_pipelines.stages.knowledge_base.documents_plan import (
    MAX_PART_ITEMS,
    Read,
    ShardWork,
    parts_of,
    plan_shard,
    rows_of,
    write_shard,
)
from platform_pipelines.stages.knowledge_base.parsing.ocr import OcrOptions
from platform_pipelines.stages.knowledge_base.parsing.parse import (
    ParseLimits,
    parse_document,
    parser_digest,
)
from platform_pipelines.stages.knowledge_base.parsing_worker import quarantined
from platform_pipelines.stages.knowledge_base.people import list_for, read_lists, version_read
from platform_pipelines.stages.knowledge_base.tables import writing_beside
from platform_pipelines.stages.road.access import open_named

FAILURE_REASONS = {
    FailureKind.TIME_BUDGET: Reason.TIME_BUDGET,
    FailureKind.MEMORY_BUDGET: Reason.MEMORY_BUDGET,
    FailureKind.CRASHED: Reason.CRASHED,
}

Row = dict[str, Any]


def parse_shards(
    access: Mapping[str, Any], items: Iterator[Mapping[str, Any]]
) -> Iterator[Mapping[str, Any] | Working]:
    """Operation `documents.shards`: the task's `arguments` are `{source, shards, parse, digests,
    people}`.

    `shards` are `{shard, path, previous, again, objects}`: the earlier file, keys whose row in it
    does not stand, and the listing, `[key, version, size in bytes]`. `digests` are those of the
    parsers, `{parsed, quarantined}`; `parse` is the declaration's; `people` are
    the lists of people, `[key, version]` by folder. The record is
    `{shards: [{shard, rows, digest, path}], counts}`; a shard without a document is left out.
    """
    hide_from_peers()  # this process holds what a parser must not see
    for spec in items:
        arguments = spec["arguments"]
        _check_parsers(arguments["digests"]["parsed"], OcrOptions.of(arguments["parse"]["ocr"]))
        store = open_named(access, spec["store"], create=True)
        source = open_named(access, arguments["source"])
        works = [plan_shard(store, one, arguments["digests"]) for one in arguments["shards"]]
        reading = Reading(source, works, arguments)
        shards: list[Row] = []
        counts: Counter[str] = Counter()
        with writing_beside(store) as write:
            for step in reading.run(access):
                if isinstance(step, Working):
                    yield step
                    continue
                made = write_shard(store, step, write)
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


class Reading:
    """Documents on their way: from the source to a parser, and their rows to their shard."""

    def __init__(
        self,
        source: ObjectStore,
        works: Sequence[ShardWork],
        arguments: Mapping[str, Any],
    ) -> None:
        self._source = source
        self._works = works
        self._digests: Mapping[str, str] = arguments["digests"]
        parse: Mapping[str, Any] = arguments["parse"]
        self._lists = {folder: (one[0], one[1]) for folder, one in arguments["people"].items()}
        self._people: dict[str, bytes] = {}  # of those, what documents here need
        self._limits = ParseLimits(max_bytes=parse["max_document_mb"] * 1024**2)
        self._parse = parse
        self._sent: dict[str, tuple[ShardWork, list[Read]]] = {}  # by the parsers' task
        self._finished = deque(work for work in works if not work.left)

    def run(self, access: Mapping[str, Any]) -> Iterator[ShardWork | Working]:
        """Each shard once all of its documents are in; at most a few shards are in memory."""
        total = sum(work.left for work in self._works)
        yield from self._taken()
        if not total:
            return
        wanted = (key for work in self._works for key in work.wanted)
        self._people = read_lists(self._source, wanted, self._lists)
        shared = {
            "max_bytes": self._limits.max_bytes,
            "ocr": self._parse["ocr"],
            "people": self._people,
        }
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
            for number, part in enumerate(parts_of(work)):
                found = [f for f in self._source.get_many(part) if self._is_new(work, f)]
                if not found:
                    continue
                name = f"{work.shard}:{number}"
                self._sent[name] = (
                    work,
                    [self._read(f) for f in found],
                )
                yield Task(name, tuple({"key": f.key, "data": f.data} for f in found))

    def _read(self, found: Fetched) -> Read:
        """What was read of an object; the list that names its speakers is a part of it."""
        version = version_read(found.key, found.version, self._lists)
        digest = digest_bytes(found.data)
        people = list_for(found.key, self._people)
        named = digest if people is None else digest_parts(digest, digest_bytes(people))
        return Read(found.key, version, named)

    def _is_new(self, work: ShardWork, found: Fetched) -> bool:
        """Whether it has to be parsed; else it is booked at once."""
        read = Read(found.key, found.version)
        if isinstance(found.error, SourceNotFoundError):
            self._book(work, read, {"state": "gone"})
        elif isinstance(found.error, SourceForbiddenError):
            self._book(work, read, quarantined(Reason.FORBIDDEN, found.error.what))
        elif isinstance(found.error, ConflictError):
            self._book(work, read, quarantined(Reason.CHANGING, found.error.what))
        elif found.error is not None:
            raise found.error
        elif work.known.get(found.key) == (read := self._read(found)).content_digest:
            self._book(work, read, {"state": "same"})
        elif len(found.data) > self._limits.max_bytes:
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
        self._book(work, Read(read.key), quarantined(reason, outcome.detail))

    def _book(self, work: ShardWork, read: Read, result: Mapping[str, Any]) -> None:
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
        listed = {*work.kept, *work.wanted} if result.get("attached") else ()
        work.made += rows_of(item, read, result, self._digests, listed)


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
