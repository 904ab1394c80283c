"""A revision's rows, read from its own shard files; and how two revisions' rows differ."""

from collections.abc import Collection, Iterator
from itertools import chain, islice, repeat, zip_longest
from typing import Any

from platform_pipelines.core.knowledge_base.keywords import keyword_text
from platform_pipelines.core.knowledge_base.revision import Revision
from platform_pipelines.core.knowledge_base.slots import Difference, compared
from platform_pipelines.core.road.snapshot import ShardRecord
from platform_pipelines.errors import IntegrityError
from platform_pipelines.gateways.vector_store import Row
from platform_pipelines.stages.knowledge_base.tables import read_batches
from platform_pipelines.stages.knowledge_base.vectors_worker import read_vectors
from platform_pipelines.stages.knowledge_base.workspace import Workspace

INSERT_ROWS = 250
FIRST_ROWS = 128  # the server waits for the first ones
BATCH_ROWS = 256  # at a time as Python objects

ROW_COLUMNS = (
    "chunk_id", "document_key", "text", "search_text", "text_digest", "title", "place", "language",
    "type",
)  # fmt: skip
# What of a row its id does not cover: `text_digest` is of the searched text, with its headings.
BESIDE_ID = ("text_digest", "place", "title", "language", "type")


def row_batches(
    workspace: Workspace, revision: Revision, only: Collection[str] | None
) -> Iterator[list[Row]]:
    """Rows to insert, the first batch smaller; `only` those ids, None is all.

    Raises:
        IntegrityError: chunks and vectors are not of the same texts.
    """
    if only is not None and not only:
        return
    vectors = {s.shard: s for s in revision.vectors}
    rows = (
        row
        for shard in revision.chunks
        for row in _rows(workspace, revision, shard, vectors[shard.shard], only)
    )
    for most in chain([FIRST_ROWS], repeat(INSERT_ROWS)):
        batch = list(islice(rows, most))
        if not batch:
            return
        yield batch


def chunk_ids(workspace: Workspace, revision: Revision) -> Iterator[str]:
    """The ids of a revision's rows, shard by shard."""
    for shard in revision.chunks:
        for batch in read_batches(workspace.store, shard.path, ("chunk_id",)):
            yield from batch.column("chunk_id").to_pylist()


def compare_rows(workspace: Workspace, before: Revision, after: Revision) -> Difference | None:
    """Which rows go and which come; shards of equal content are not read.

    None when a file of `before` is gone. Both revisions are of one shape.
    """
    old, new = ({s.shard: s for s in one.chunks} for one in (before, after))
    delete, insert = set[str](), set[str]()
    for number in sorted(old.keys() | new.keys()):
        was, is_now = old.get(number), new.get(number)
        if was and is_now and was.digest == is_now.digest:
            continue
        if was and not workspace.store.exists(was.path):
            return None
        found = compared(_contents(workspace, was), _contents(workspace, is_now))
        delete |= found.delete
        insert |= found.insert
    return Difference(frozenset(delete), frozenset(insert))


def _contents(workspace: Workspace, shard: ShardRecord | None) -> dict[str, tuple[str, ...]]:
    if shard is None:
        return {}
    names = ("chunk_id", *BESIDE_ID)
    contents: dict[str, tuple[str, ...]] = {}
    for batch in read_batches(workspace.store, shard.path, names):
        ids, *beside = (batch.column(name).to_pylist() for name in names)
        contents.update(zip(ids, zip(*beside, strict=True), strict=True))
    return contents


def _rows(
    workspace: Workspace,
    revision: Revision,
    shard: ShardRecord,
    vectors: ShardRecord,
    only: Collection[str] | None,
) -> Iterator[Row]:
    if only is not None and not _holds_any(workspace, shard, only):
        return
    pairs = zip_longest(
        _records(workspace, shard, only),
        read_vectors(workspace.store, vectors.path),
        fillvalue=("", None),
    )
    for (text_digest, record), (digest, vector) in pairs:
        if vector is None or text_digest != digest:
            raise _not_of_one(workspace, shard, vectors)
        if record is not None:
            yield _row(revision, record, vector)


def _holds_any(workspace: Workspace, shard: ShardRecord, only: Collection[str]) -> bool:
    batches = read_batches(workspace.store, shard.path, ("chunk_id",))
    return any(one in only for batch in batches for one in batch.column("chunk_id").to_pylist())


def _records(
    workspace: Workspace, shard: ShardRecord, only: Collection[str] | None
) -> Iterator[tuple[str, dict[str, Any] | None]]:
    """Text digest of each row, and the row where it is asked for."""
    for batch in read_batches(workspace.store, shard.path, ROW_COLUMNS, rows=BATCH_ROWS):
        digests = batch.column("text_digest").to_pylist()
        if only is None:
            yield from zip(digests, batch.to_pylist(), strict=True)
            continue
        ids = batch.column("chunk_id").to_pylist()
        for at, (one, digest) in enumerate(zip(ids, digests, strict=True)):
            yield digest, batch.slice(at, 1).to_pylist()[0] if one in only else None


def _row(revision: Revision, record: dict[str, Any], vector: Any) -> Row:
    return Row(
        chunk_id=record["chunk_id"],
        document_key=record["document_key"],
        tenant=revision.recipe.tenant,
        text=record["text"],
        title=record["title"],
        place=record["place"],
        language=record["language"],
        document_type=record["type"],
        keywords=keyword_text(record["search_text"]) if revision.index["keyword"] else "",
        vector=vector,
    )


def _not_of_one(workspace: Workspace, shard: ShardRecord, vectors: ShardRecord) -> IntegrityError:
    return IntegrityError(
        "chunks and vectors are not of the same texts",
        where=f"{workspace.name}, shard {shard.shard}",
        stored=vectors.path,
        expected=shard.path,
        remedy=f"delete {vectors.path} and run again",
    )
