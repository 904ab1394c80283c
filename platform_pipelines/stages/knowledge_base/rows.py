"""A revision's rows, read from its own shard files; and how two revisions' rows differ."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import chain, islice, repeat, zip_longest
from typing import TYPE_CHECKING, Any, TypeAlias

from platform_pipelines.core.knowledge_base.keywords import keyword_text
from platform_pipelines.core.knowledge_base.revision import Revision
from platform_pipelines.core.knowledge_base.slots import Difference, compared
from platform_pipelines.core.road.snapshot import ShardRecord
from platform_pipelines.errors import IntegrityError
from platform_pipelines.gateways.object_store import ObjectStore
from platform_pipelines.gateways.vector_store import Row
from platform_pipelines.stages.knowledge_base.layering import differing, take_rows
from platform_pipelines.stages.knowledge_base.layers import base_of, is_there, read_layer
from platform_pipelines.stages.knowledge_base.tables import matrix_of, read_batches, read_table
from platform_pipelines.stages.knowledge_base.vectors_worker import read_vectors
from platform_pipelines.stages.knowledge_base.workspace import Workspace

if TYPE_CHECKING:
    import pyarrow as pa

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
    vectors = {s.shard: s for s in revision.vectors}
    pairs = [(shard, vectors[shard.shard]) for shard in revision.chunks]
    rows = (
        _picked_rows(workspace, revision, pairs, only)
        if only is not None
        else (row for pair in pairs for row in _rows(workspace, revision, *pair))
    )
    for most in chain([FIRST_ROWS], repeat(INSERT_ROWS)):
        batch = list(islice(rows, most))
        if not batch:
            return
        yield batch


def ids_of(workspace: Workspace, revision: Revision) -> Iterator[Sequence[str]]:
    """The ids of a revision's rows, some at a time."""
    for shard in revision.chunks:
        for batch in read_batches(workspace.store, shard.path, ("chunk_id",)):
            yield batch.column("chunk_id").to_pylist()


def chunk_ids(workspace: Workspace, revision: Revision) -> Iterator[str]:
    """The ids of a revision's rows, shard by shard."""
    return chain.from_iterable(ids_of(workspace, revision))


def compare_rows(workspace: Workspace, before: Revision, after: Revision) -> Difference | None:
    """Which rows go and which come; shards of equal content, and rows that both have from one
    file, are not read.

    None when a file of `before` is gone. Both revisions are of one shape.
    """
    old, new = ({s.shard: s for s in one.chunks} for one in (before, after))
    delete, insert = set[str](), set[str]()
    for number in sorted(old.keys() | new.keys()):
        was, is_now = old.get(number), new.get(number)
        if was and is_now and was.digest == is_now.digest:
            continue
        if was and not is_there(workspace.store, was.path):
            return None
        found = compared(*_contents_of(workspace.store, was, is_now))
        delete |= found.delete
        insert |= found.insert
    return Difference(frozenset(delete), frozenset(insert))


Contents: TypeAlias = dict[str, tuple[str, ...]]  # what of a row its id does not cover, by its id


def _contents_of(
    store: ObjectStore, was: ShardRecord | None, is_now: ShardRecord | None
) -> tuple[Contents, Contents]:
    """Of all rows that may differ."""
    names = ("chunk_id", *BESIDE_ID)
    if was and is_now:
        places = differing(store, (was.path, was.rows), (is_now.path, is_now.rows))
        if places is not None:
            gone, come = (
                take_rows(store, one.path, some.tolist(), names)
                for one, some in zip((was, is_now), places, strict=True)
            )
            return _contents(gone.to_batches()), _contents(come.to_batches())
    before, after = (
        _contents(read_batches(store, one.path, names)) if one else {} for one in (was, is_now)
    )
    return before, after


def _contents(batches: "Iterable[pa.RecordBatch]") -> Contents:
    contents: Contents = {}
    for batch in batches:
        ids, *beside = (batch.column(name).to_pylist() for name in ("chunk_id", *BESIDE_ID))
        contents.update(zip(ids, zip(*beside, strict=True), strict=True))
    return contents


def _rows(
    workspace: Workspace, revision: Revision, shard: ShardRecord, vectors: ShardRecord
) -> Iterator[Row]:
    """All rows of a shard, some at a time in memory."""
    pairs = zip_longest(
        _records(workspace.store, shard),
        read_vectors(workspace.store, vectors.path),
        fillvalue=("", None),
    )
    for (text_digest, record), (digest, vector) in pairs:
        if record is None or vector is None or text_digest != digest:
            raise _not_of_one(workspace, shard, vectors)
        yield _row(revision, record, vector)


def _records(store: ObjectStore, shard: ShardRecord) -> Iterator[tuple[str, dict[str, Any]]]:
    """Text digest of each row, and the row."""
    for batch in read_batches(store, shard.path, ROW_COLUMNS, rows=BATCH_ROWS):
        yield from ((row["text_digest"], row) for row in batch.to_pylist())


def _picked_rows(
    workspace: Workspace,
    revision: Revision,
    pairs: Sequence[tuple[ShardRecord, ShardRecord]],
    only: Collection[str],
) -> Iterator[Row]:
    """Rows of some ids. Layers are looked through before the files below them: what is new is
    there, and then nothing else is read."""
    wanted = set(only)
    for is_below in (False, True):
        for shard, vectors in pairs:
            if not wanted:
                return
            places = _places(workspace.store, shard, wanted, is_below=is_below)
            for start in range(0, len(places), BATCH_ROWS):
                some = places[start : start + BATCH_ROWS]
                for record, vector in _at(workspace, shard, vectors, some):
                    wanted.discard(record["chunk_id"])
                    yield _row(revision, record, vector)


def _places(
    store: ObjectStore, shard: ShardRecord, wanted: Collection[str], *, is_below: bool
) -> list[int]:
    """Where ids stand in a shard: in its own layer, or anywhere."""
    if is_below:
        ids = read_table(store, shard.path, ["chunk_id"]).column("chunk_id").to_pylist()
        return [place for place, one in enumerate(ids) if one in wanted]
    if base_of(shard.path) is None:
        return []
    layer = read_layer(store, shard.path)
    own = layer.own.column("chunk_id").to_pylist()
    new = ((int(at), own[-1 - layer.codes[at]]) for at in (layer.codes < 0).nonzero()[0])
    return [place for place, one in new if one in wanted]


def _at(
    workspace: Workspace, shard: ShardRecord, vectors: ShardRecord, places: Sequence[int]
) -> Iterator[tuple[dict[str, Any], Any]]:
    """The rows at some places, and their vectors."""
    store = workspace.store
    records = take_rows(store, shard.path, places, ROW_COLUMNS).to_pylist()
    if max(places) >= vectors.rows:
        raise _not_of_one(workspace, shard, vectors)
    found = take_rows(store, vectors.path, places, ("text_digest", "vector"))
    digests = found.column("text_digest").to_pylist()
    matrices = [matrix_of(part) for part in found.column("vector").chunks]
    rows = chain.from_iterable(matrices)
    for record, digest, vector in zip(records, digests, rows, strict=True):
        if record["text_digest"] != digest:
            raise _not_of_one(workspace, shard, vectors)
        yield record, vector


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
