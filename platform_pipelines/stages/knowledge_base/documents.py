"""`documents`: list the source, read and parse what changed, keep the rest.

Nothing is read when the listing is the one of last time. A file whose version changed and whose
bytes did not keeps its parsed text, and nothing after this stage runs.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from itertools import chain
from typing import Any

from platform_pipelines.compute.tasks import TaskSpec
from platform_pipelines.core.knowledge_base.documents import (
    Reason,
    SourceObject,
    container_of,
)
from platform_pipelines.core.road.identity import digest_parts, shard_of
from platform_pipelines.core.road.snapshot import (
    ShardRecord,
    Snapshot,
    listing_digest,
)
from platform_pipelines.errors import EmptyCorpusError
from platform_pipelines.gateways.object_store import ObjectStore, Skipped
from platform_pipelines.gateways.store_keys import nfc
from platform_pipelines.stages.knowledge_base import connect
from platform_pipelines.stages.knowledge_base.documents_count import count_documents
from platform_pipelines.stages.knowledge_base.documents_plan import documents_digest
from platform_pipelines.stages.knowledge_base.documents_worker import parse_shards
from platform_pipelines.stages.knowledge_base.layers import written_at
from platform_pipelines.stages.knowledge_base.parsing.ocr import OcrOptions
from platform_pipelines.stages.knowledge_base.parsing.parse import parser_digest
from platform_pipelines.stages.knowledge_base.people import list_for, lists_of, versioned
from platform_pipelines.stages.knowledge_base.tables import read_table
from platform_pipelines.stages.knowledge_base.workspace import Workspace
from platform_pipelines.stages.road.outcome import StageOutcome

STAGE = "documents"
OPERATION = "documents.shards"
# Read and handed to parsers from this process, where that keeps them busy: a worker between them
# costs its imports, a second, and a third of a millisecond a document.
FEW_DOCUMENTS = 1_000
FEW_PARSERS = 4
TASK_DOCUMENTS = 1_024  # shards are given to a worker together until so many documents are listed
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Digests:
    """What a row was made under: a quarantined one is tried again when the budget changes, too."""

    parsed: str
    quarantined: str
    people: Mapping[str, SourceObject] = field(default_factory=dict[str, SourceObject])

    @staticmethod
    def of(workspace: Workspace) -> "_Digests":
        spec = workspace.spec.parse
        declared = spec.model_dump(mode="json")
        parser = parser_digest(OcrOptions.of(declared["ocr"]))
        return _Digests(parser, digest_parts(parser, spec.model_dump_json(exclude={"profile"})))


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
    digests = replace(_Digests.of(workspace), people=lists_of(chain(*listed.values())))
    before = {s.shard: s for s in previous.shards} if previous else {}
    inputs = {n: _listing(objects, digests) for n, objects in listed.items()}
    again = _readable_again(workspace, previous, listed)
    changed = [n for n, digest in inputs.items() if n not in before or before[n].input != digest]
    changed += [n for n in again if n not in changed]
    if previous and not changed and set(before) == set(listed):
        return StageOutcome.unchanged(previous)
    with workspace.writing(STAGE, version) as held:
        records = {n: before[n] for n in listed if n in before and n not in changed}
        changes = [
            _Change(n, inputs[n], before.get(n), tuple(listed[n]), again.get(n, frozenset()))
            for n in sorted(changed)
        ]
        records |= _written(held.store, changes)
        todo = [change for change in changes if change.shard not in records]
        counts: Counter[str] = Counter()
        counts["removed"] = sum(s.rows for n, s in before.items() if n not in listed)
        records |= _parse_all(held, todo, digests, counts)
        snapshot = _snapshot(held, records, digests.parsed, skipped)
        held.move_head(snapshot, version)
    return StageOutcome.changed(snapshot, previous, dict(counts))


@dataclass(frozen=True, slots=True)
class _Change:
    """A shard to make: what it was made of, its earlier file, and what is listed now."""

    shard: int
    input: str
    previous: ShardRecord | None
    objects: tuple[SourceObject, ...]
    again: frozenset[str]  # keys whose row does not stand, though the listing does

    @property
    def path(self) -> str:
        """Named by what it is made of: a finished file is known again."""
        name = digest_parts(self.input, *sorted(self.again)) if self.again else self.input
        return f"{STAGE}/{self.shard:04d}-{name}.parquet"

    def record(self, digest: str, rows: int, path: str) -> ShardRecord:
        return ShardRecord(self.shard, self.input, digest, path, rows)

    @property
    def arguments(self) -> Row:
        """What the task is told; see `documents_worker.parse_shards`."""
        return {
            "shard": self.shard,
            "path": self.path,
            "previous": self.previous.path if self.previous else None,
            "again": sorted(self.again),
            "objects": [[o.key, o.version, o.size_bytes] for o in self.objects],
        }


def _parse_all(
    workspace: Workspace, changes: Sequence[_Change], digests: _Digests, counts: Counter[str]
) -> dict[int, ShardRecord]:
    """The record of every changed shard that has rows. When they are there, so are all files."""
    by_shard = {change.shard: change for change in changes}
    if not changes:
        return {}
    few = workspace.settings.workers <= FEW_PARSERS
    is_little = few or _is_little(workspace.store, changes, digests)
    groups = [list(changes)] if is_little else _groups(changes)
    tasks = [_task(workspace, group, digests) for group in groups]
    here = {OPERATION: parse_shards} if is_little else None
    records: dict[int, ShardRecord] = {}
    for done in workspace.run_tasks(
        STAGE, tasks, doing="parsing", here=here, profile=workspace.spec.parse.profile
    ):
        counts.update(done.record["counts"])
        for made in done.record["shards"]:
            change = by_shard[made["shard"]]
            records[change.shard] = change.record(made["digest"], made["rows"], made["path"])
    return records


def _is_little(store: ObjectStore, changes: Sequence[_Change], digests: _Digests) -> bool:
    """Whether starting workers costs more than the work; of a shard, a few documents may change."""
    wanted = 0
    for change in changes:
        listed = {(o.key, o.version, o.size_bytes) for o in change.objects}
        if change.previous is not None:
            columns = ("key", "version", "size_bytes", "parser_digest")
            rows = read_table(store, change.previous.path, columns).to_pylist()
            names = {digests.parsed, digests.quarantined}
            listed -= {tuple(r[n] for n in columns[:3]) for r in rows if r[columns[3]] in names}
        wanted += len(listed)
        if wanted > FEW_DOCUMENTS:
            return False
    return True


def _groups(changes: Sequence[_Change]) -> list[list[_Change]]:
    groups: list[list[_Change]] = []
    for change in changes:
        if not groups or sum(len(c.objects) for c in groups[-1]) >= TASK_DOCUMENTS:
            groups.append([])
        groups[-1].append(change)
    return groups


def _task(workspace: Workspace, group: Sequence[_Change], digests: _Digests) -> TaskSpec:
    spec = workspace.spec
    return TaskSpec(
        operation=OPERATION,
        shard=group[0].shard,
        store=workspace.store.url,
        arguments={
            "source": spec.source.url,
            "shards": [change.arguments for change in group],
            "parse": spec.parse.model_dump(mode="json"),
            "digests": {"parsed": digests.parsed, "quarantined": digests.quarantined},
            "people": _people(group, digests),
        },
    )


def _people(group: Sequence[_Change], digests: _Digests) -> dict[str, list[str]]:
    """The lists of people that the group's chats need, `[key, version]` by folder."""
    folders = {o.key: folder for folder, o in digests.people.items()}
    found = {list_for(o.key, digests.people) for change in group for o in change.objects}
    needed = sorted((o for o in found if o is not None), key=lambda o: o.key)
    return {folders[o.key]: [o.key, o.version] for o in needed}


def _written(store: ObjectStore, changes: Sequence[_Change]) -> dict[int, ShardRecord]:
    """Shards that a killed run finished: a file is named by the listing that it was made of."""
    found: dict[int, ShardRecord] = {}
    for change in changes:
        before = change.previous.path if change.previous else None
        path = written_at(store, change.path, before)
        if path is None:
            continue
        rows = read_table(store, path, ("key", "state", "document_digest")).to_pylist()
        found[change.shard] = change.record(documents_digest(rows), len(rows), path)
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
            if is_taken(item.key, include, exclude):
                shards[shard_of(container_of(item.key), spec.shards)].append(item)
    if not shards:
        raise EmptyCorpusError(
            "the source lists no document; what is released stays as it is",
            where=source.url,
            stored=f"0 documents ({skipped.total} names left out)",
            expected="at least one",
            remedy="correct source.url, source.include or source.exclude, or put documents there",
        )
    lists = lists_of(chain(*shards.values()))
    return {n: [versioned(o, lists) for o in objects] for n, objects in shards.items()}


def is_taken(key: str, include: Sequence[str], exclude: Sequence[str]) -> bool:
    """Whether the patterns of a source take a key; an empty `include` takes all."""
    if include and not any(fnmatchcase(key, pattern) for pattern in include):
        return False
    return not any(fnmatchcase(key, pattern) for pattern in exclude)


def _listing(objects: Sequence[SourceObject], digests: _Digests) -> str:
    rows = ((o.key, o.version, o.size_bytes) for o in objects)
    return listing_digest(rows, digests.quarantined)


def _snapshot(
    workspace: Workspace, records: Mapping[int, ShardRecord], settings: str, skipped: Skipped
) -> Snapshot:
    shards = tuple(records[n] for n in sorted(records))
    details, totals = count_documents(workspace.store, shards)
    return Snapshot(
        stage=STAGE,
        settings=settings,
        shards=shards,
        counts={**totals, "left_out": skipped.total},
        details={**details, "source": workspace.spec.source.url},
    )
