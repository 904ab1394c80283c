"""`documents`: list the source, read and parse what changed, keep the rest.

Nothing is read when the listing is the one of last time. A file whose version changed and whose
bytes did not keeps its parsed text, and nothing after this stage runs.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from platform_pipelines.compute.pool import WorkerPool
from platform_pipelines.compute.protocol import (
    Budget,
    FailureKind,
    ItemDone,
    ItemFailed,
    Task,
)
from platform_pipelines.core.knowledge_base.documents import Reason, SourceObject
from platform_pipelines.core.road.identity import digest_parts, shard_of
from platform_pipelines.core.road.snapshot import (
    ShardRecord,
    Snapshot,
    listing_digest,
    source_digest,
)
from platform_pipelines.errors import EmptyCorpusError
from platform_pipelines.gateways.object_store import ObjectStore, Skipped
from platform_pipelines.gateways.store_keys import nfc
from platform_pipelines.stages.knowledge_base import connect
from platform_pipelines.stages.knowledge_base.pace import Pace
from platform_pipelines.stages.knowledge_base.parsing.parse import parser_digest
from platform_pipelines.stages.knowledge_base.tables import (
    WriteTable,
    documents_schema,
    read_table,
    table_of,
    writing_beside,
)
from platform_pipelines.stages.knowledge_base.workspace import Workspace
from platform_pipelines.stages.road.outcome import StageOutcome

STAGE = "documents"
MAX_TASK_ITEMS = 32
MAX_LISTED_QUARANTINE = 200
MANIFEST_COLUMNS = (
    "key", "version", "size_bytes", "state", "content_digest", "parser_digest", "document_digest"
)  # fmt: skip

TEXT_COLUMNS = (
    "content_digest", "type", "code_language", "title", "language", "blocks", "reason", "detail"
)  # fmt: skip

FAILURE_REASONS = {
    FailureKind.TIME_BUDGET: Reason.TIME_BUDGET,
    FailureKind.MEMORY_BUDGET: Reason.MEMORY_BUDGET,
    FailureKind.CRASHED: Reason.CRASHED,
}

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Digests:
    """What a row was made under: a quarantined one is tried again when the budget changes, too."""

    parsed: str
    quarantined: str

    @staticmethod
    def of(workspace: Workspace) -> "_Digests":
        parser = parser_digest()
        return _Digests(parser, digest_parts(parser, workspace.spec.parse.model_dump_json()))

    def for_state(self, state: str) -> str:
        return self.parsed if state == "parsed" else self.quarantined


@dataclass(slots=True)
class _ShardWork:
    """One changed shard: what is kept by key, what is still to be read."""

    shard: int
    input: str
    previous: ShardRecord | None
    again: frozenset[str] = frozenset()  # keys whose row does not stand, though the listing does
    kept: dict[str, SourceObject] = field(default_factory=dict[str, SourceObject])
    wanted: dict[str, SourceObject] = field(default_factory=dict[str, SourceObject])
    known: dict[str, str] = field(default_factory=dict[str, str])
    made: list[Row] = field(default_factory=list[Row])
    same: dict[str, str] = field(default_factory=dict[str, str])  # key -> version just read
    order: list[str] = field(default_factory=list[str])  # of `wanted`, as the tasks take them
    counts: Counter[str] = field(default_factory=Counter[str])

    @property
    def path(self) -> str:
        """Named by what it is made of: a finished file is known again."""
        name = digest_parts(self.input, *sorted(self.again)) if self.again else self.input
        return f"{STAGE}/{self.shard:04d}-{name}.parquet"


def refresh_documents(workspace: Workspace) -> StageOutcome:
    """Bring the parsed documents up to the source.

    Raises:
        EmptyCorpusError: the source lists no document; nothing is changed.
        SourceNotFoundError, SourceForbiddenError, UnavailableError: the source cannot be read.
        ConflictError: another run moved the head.
    """
    previous, version = workspace.standing(STAGE)
    skipped = Skipped()
    listed = _list_source(workspace, skipped)
    digests = _Digests.of(workspace)
    before = {s.shard: s for s in previous.shards} if previous else {}
    inputs = {n: _listing(objects, digests) for n, objects in listed.items()}
    again = _readable_again(workspace, previous, listed)
    changed = [n for n, digest in inputs.items() if n not in before or before[n].input != digest]
    changed += [n for n in again if n not in changed]
    if previous and not changed and set(before) == set(listed):
        return StageOutcome.unchanged(previous)
    with workspace.writing(STAGE, version) as held:
        records = {n: before[n] for n in listed if n in before and n not in changed}
        wanted = [
            _ShardWork(n, inputs[n], before.get(n), again.get(n, frozenset()))
            for n in sorted(changed)
        ]
        records |= _written(held.store, wanted)
        works = [
            _plan(held.store, work, listed[work.shard], digests)
            for work in wanted
            if work.shard not in records
        ]
        counts: Counter[str] = Counter()
        counts["removed"] = sum(s.rows for n, s in before.items() if n not in listed)
        with writing_beside(held.store) as write:
            for work in _parse_all(held, works, digests):
                record = _write_shard(held.store, work, write)
                work.made.clear()  # the text of a whole corpus does not fit into memory
                counts.update(work.counts)
                if record is not None:
                    records[work.shard] = record
        snapshot = _snapshot(held, records, digests.parsed, skipped)
        held.move_head(snapshot, version)
    return StageOutcome.changed(snapshot, previous, dict(counts))


def _written(store: ObjectStore, works: Sequence[_ShardWork]) -> dict[int, ShardRecord]:
    """Shards that a killed run finished: a file is named by the listing that it was made of."""
    found: dict[int, ShardRecord] = {}
    for work in works:
        if not store.exists(work.path):
            continue
        rows = read_table(store, work.path, ("key", "state", "document_digest")).to_pylist()
        found[work.shard] = _shard_record(work, rows)
    return found


def _readable_again(
    workspace: Workspace, previous: Snapshot | None, listed: Mapping[int, Sequence[SourceObject]]
) -> dict[int, frozenset[str]]:
    """Documents that could not be read for want of permission, and can now, by shard.

    A permission that is given changes nothing in the listing. Only these are read.
    """
    if previous is None:
        return {}
    refused = _refused(workspace, previous)
    if not refused:
        return {}
    source = connect.open_source(workspace.settings, workspace.spec.source.url)
    here = [o.key for objects in listed.values() for o in objects if o.key in refused]
    readable = {found.key for found in source.get_many(here) if found.error is None}
    shards = {n: frozenset(o.key for o in listed[n]) & readable for n in listed}
    return {n: keys for n, keys in shards.items() if keys}


def _refused(workspace: Workspace, previous: Snapshot) -> frozenset[str]:
    if "forbidden" in previous.details:
        return frozenset(previous.details["forbidden"])
    # Older heads say it only in the quarantine for people, which is cut.
    tables = (read_table(workspace.store, s.path, ("key", "reason")) for s in previous.shards)
    rows = (row for table in tables for row in table.to_pylist())
    return frozenset(row["key"] for row in rows if row["reason"] == Reason.FORBIDDEN)


def source_fingerprint(workspace: Workspace) -> str:
    """Digest of the source's listing: changes when a document is added, changed or removed."""
    listed = _list_source(workspace, Skipped())
    digests = _Digests.of(workspace)
    return digest_parts(*(f"{n}:{_listing(listed[n], digests)}" for n in sorted(listed)))


def _list_source(workspace: Workspace, skipped: Skipped) -> dict[int, list[SourceObject]]:
    spec = workspace.spec.source
    source = connect.open_source(workspace.settings, spec.url)
    shards: dict[int, list[SourceObject]] = defaultdict(list)
    # Keys are NFC; a pattern that was pasted from a Mac is not.
    include, exclude = (tuple(map(nfc, globs)) for globs in (spec.include, spec.exclude))
    for batch in source.list_objects(skipped=skipped):
        workspace.deadline.check("listing the source")
        for item in batch:
            if _taken(item.key, include, exclude):
                shards[shard_of(item.key, spec.shards)].append(item)
    if not shards:
        raise EmptyCorpusError(
            "the source lists no document; what is released stays as it is",
            where=source.url,
            stored=f"0 documents ({skipped.total} names left out)",
            expected="at least one",
            remedy="correct source.url, source.include or source.exclude, or put documents there",
        )
    return dict(shards)


def _taken(key: str, include: Sequence[str], exclude: Sequence[str]) -> bool:
    if include and not any(fnmatchcase(key, pattern) for pattern in include):
        return False
    return not any(fnmatchcase(key, pattern) for pattern in exclude)


def _listing(objects: Sequence[SourceObject], digests: _Digests) -> str:
    rows = ((o.key, o.version, o.size_bytes) for o in objects)
    return listing_digest(rows, digests.quarantined)


def _plan(
    store: ObjectStore, work: _ShardWork, objects: Sequence[SourceObject], digests: _Digests
) -> _ShardWork:
    """Sort the shard's objects into those whose row stands and those to read."""
    rows: dict[str, Row] = {}
    if work.previous is not None:
        table = read_table(store, work.previous.path, MANIFEST_COLUMNS)
        rows = {row["key"]: row for row in table.to_pylist()}
    for item in objects:
        row = None if item.key in work.again else rows.get(item.key)
        if row is None or row["parser_digest"] != digests.for_state(row["state"]):
            work.wanted[item.key] = item
        elif (row["version"], row["size_bytes"]) == (item.version, item.size_bytes):
            work.kept[item.key] = item
            continue
        else:
            work.wanted[item.key] = item
            work.known[item.key] = row["content_digest"] if row["state"] == "parsed" else ""
        work.counts["read_again" if item.key in rows else "added"] += 1
    work.counts["removed"] += len(rows.keys() - {o.key for o in objects})
    work.order = sorted(work.wanted)
    return work


def _parse_all(
    workspace: Workspace, works: Sequence[_ShardWork], digests: _Digests
) -> Iterator[_ShardWork]:
    """Each shard once all of its documents are in; at most a few shards are in memory."""
    by_shard = {work.shard: work for work in works}
    left = {work.shard: len(work.wanted) for work in works}
    yield from (work for work in works if not work.wanted)
    total = sum(left.values())
    if not total:
        return
    pace = Pace(
        total,
        clock=workspace.clock,
        say=lambda done: workspace.progress(f"documents: {done:,} of {total:,} read"),
    )
    with _pool(workspace, total) as pool:
        outcomes = pool.run("documents.parse", _tasks(works), shared=_shared(workspace))
        for outcome in outcomes:
            workspace.deadline.check("parsing")
            if not isinstance(outcome, ItemDone | ItemFailed):
                continue
            pace.step()
            finished = _take(by_shard, left, outcome, digests)
            if finished is not None:
                yield by_shard.pop(finished.shard)


def _pool(workspace: Workspace, documents: int) -> WorkerPool:
    parse = workspace.spec.parse
    tasks = -(-documents // MAX_TASK_ITEMS)
    return WorkerPool(
        workers=max(1, min(workspace.settings.workers, tasks)),
        budget=Budget(seconds_per_item=parse.seconds, memory_bytes=parse.memory_mb * 1024**2),
        environment=workspace.settings.worker_environment,
    )


def _shared(workspace: Workspace) -> Mapping[str, object]:
    spec = workspace.spec
    return {
        "source": connect.source_record(workspace.settings, spec.source.url),
        "max_bytes": spec.parse.max_document_mb * 1024**2,
    }


def _tasks(works: Sequence[_ShardWork]) -> Iterator[Task]:
    for work in works:
        for start in range(0, len(work.order), MAX_TASK_ITEMS):
            part = work.order[start : start + MAX_TASK_ITEMS]
            items: list[Row] = [{"key": k, "known": work.known.get(k, "")} for k in part]
            items[0]["ahead"] = part
            yield Task(f"{work.shard}:{start}", tuple(items))


def _take(
    works: Mapping[int, _ShardWork],
    left: dict[int, int],
    outcome: ItemDone | ItemFailed,
    digests: _Digests,
) -> _ShardWork | None:
    """Book one outcome; the shard's work when it was its last document."""
    shard, start = (int(part) for part in outcome.task_id.split(":"))
    work = works[shard]
    item = work.wanted[work.order[start + outcome.index]]
    result = outcome.result if isinstance(outcome, ItemDone) else _failure(outcome)
    _book(work, item, result, digests)
    left[shard] -= 1
    return work if left[shard] == 0 else None


def _failure(outcome: ItemFailed) -> Mapping[str, Any]:
    """A killed or crashed parser is the document's reason; anything else is the stage's error."""
    reason = FAILURE_REASONS.get(outcome.kind)
    if reason is None:
        raise outcome.to_error()
    return {"state": "quarantined", "reason": str(reason), "detail": outcome.detail[:500]}


def _book(
    work: _ShardWork, item: SourceObject, result: Mapping[str, Any], digests: _Digests
) -> None:
    state = result["state"]
    work.counts[state] += 1
    if state == "gone":
        return
    if state == "same":
        work.same[item.key] = result["version"]
        work.kept[item.key] = item
        return
    content = result.get("content_digest", "")
    parser = digests.for_state(state)
    row = dict.fromkeys(TEXT_COLUMNS, "") | dict(result)
    row["key"] = item.key
    row["version"] = result.get("version") or item.version
    row["size_bytes"] = item.size_bytes
    row["parser_digest"] = parser
    row["document_digest"] = digest_parts(item.key, content, parser) if state == "parsed" else ""
    work.made.append(row)


def _write_shard(store: ObjectStore, work: _ShardWork, write: WriteTable) -> ShardRecord | None:
    """The shard's new file: kept rows as they were, made rows added, sorted by key."""
    rows = work.made
    if work.kept and work.previous is not None:
        old = read_table(store, work.previous.path).to_pylist()
        rows = rows + [_renewed(row, work) for row in old if row["key"] in work.kept]
    rows = sorted(rows, key=lambda row: row["key"])
    if not rows:
        return None
    write(work.path, table_of(rows, documents_schema()))
    return _shard_record(work, rows)


def _shard_record(work: _ShardWork, rows: Sequence[Row]) -> ShardRecord:
    parsed = [(r["key"], r["document_digest"]) for r in rows if r["state"] == "parsed"]
    return ShardRecord(work.shard, work.input, source_digest(parsed), work.path, len(rows))


def _renewed(row: Row, work: _ShardWork) -> Row:
    item = work.kept[row["key"]]
    version = work.same.get(row["key"], row["version"])
    return row | {"version": version, "size_bytes": item.size_bytes}


def _snapshot(
    workspace: Workspace, records: Mapping[int, ShardRecord], settings: str, skipped: Skipped
) -> Snapshot:
    shards = tuple(records[n] for n in sorted(records))
    details, totals = _totals(workspace, shards)
    return Snapshot(
        stage=STAGE,
        settings=settings,
        shards=shards,
        counts={**totals, "left_out": skipped.total},
        details={**details, "source": workspace.spec.source.url},
    )


def _totals(
    workspace: Workspace, shards: Sequence[ShardRecord]
) -> tuple[dict[str, Any], dict[str, int]]:
    """The quarantine, and how many documents of each state, type and language.

    The list for people is cut; of the documents that may not be read all keys are kept.
    """
    columns = ["key", "state", "type", "language", "reason", "detail", "size_bytes"]
    totals: Counter[str] = Counter(parsed=0, quarantined=0)
    quarantine: list[Row] = []
    forbidden: list[str] = []
    for shard in shards:
        for row in read_table(workspace.store, shard.path, columns).to_pylist():
            totals[row["state"]] += 1
            totals["bytes"] += row["size_bytes"]
            if row["state"] == "parsed":
                totals[f"type:{row['type']}"] += 1
                totals[f"language:{row['language']}"] += 1
                continue
            if row["reason"] == Reason.FORBIDDEN:
                forbidden.append(row["key"])
            if len(quarantine) < MAX_LISTED_QUARANTINE:
                quarantine.append({k: row[k] for k in ("key", "reason", "detail")})
    return {"quarantine": quarantine, "forbidden": forbidden}, dict(totals)
