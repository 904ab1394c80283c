"""Vectors that are wanted in other shards than they stand in, dealt out by their texts' digests.

Documents that are renamed, and a corpus that is cut into another number of shards, move texts
between shards. Each task would then read every earlier file. Instead, each earlier file is read
once, and each of its vectors that is wanted elsewhere is written for the group that wants it.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from platform_pipelines.compute.protocol import Working
from platform_pipelines.gateways.object_store import ObjectStore
from platform_pipelines.stages.knowledge_base.tables import (
    matrix_of,
    read_batches,
    read_table,
    table_writer,
    texts_column,
    vectors_column,
    vectors_schema,
)
from platform_pipelines.stages.road.access import open_named

if TYPE_CHECKING:
    import pyarrow as pa

READ_VECTORS = 1024  # in memory at a time


def move_vectors(
    access: Mapping[str, Any], items: Iterator[Mapping[str, Any]]
) -> Iterator[Mapping[str, Any] | Working]:
    """Operation `vectors.move`: the task's `arguments` are `{groups, earlier, dimension}`.

    `groups` are `{chunks, own, path}`: files of chunks, the earlier files of the same shards, and
    where the vectors go that those lack and one of `earlier` holds. The record is `{moved}`.
    """
    for spec in items:
        arguments = spec["arguments"]
        store = open_named(access, spec["store"], create=True)
        moved = 0
        for rows in _moved(store, arguments):
            moved += rows
            yield Working({"vectors moved": rows})
        yield {"moved": moved}


def _moved(store: ObjectStore, arguments: Mapping[str, Any]) -> Iterator[int]:
    groups: Sequence[Mapping[str, Any]] = arguments["groups"]
    schema, wanted = vectors_schema(arguments["dimension"]), _wanted(store, groups)
    with ExitStack() as files:
        writers = [
            files.enter_context(table_writer(store, g["path"], schema, compression="none"))
            for g in groups
        ]
        for path in arguments["earlier"]:
            for batch in read_batches(store, path, ("text_digest", "vector"), rows=READ_VECTORS):
                dealt = _dealt(batch, wanted)
                for group, rows in dealt.items():
                    writers[group](_table(batch, rows, schema))
                if dealt:
                    yield sum(map(len, dealt.values()))


def _wanted(store: ObjectStore, groups: Sequence[Mapping[str, Any]]) -> dict[str, list[int]]:
    """Which groups lack each text."""
    wanted: dict[str, list[int]] = {}
    for number, group in enumerate(groups):
        texts = {d for path in group["chunks"] for d in _digests(store, path)}
        texts.difference_update(d for path in group["own"] for d in _digests(store, path))
        for digest in texts:
            wanted.setdefault(digest, []).append(number)
    return wanted


def _digests(store: ObjectStore, path: str) -> Sequence[str]:
    return read_table(store, path, ["text_digest"]).column("text_digest").to_pylist()


def _dealt(batch: "pa.RecordBatch", wanted: dict[str, list[int]]) -> dict[int, list[int]]:
    """The rows of a batch by group; a text is given once, by the first file that holds it."""
    dealt: dict[int, list[int]] = {}
    for row, digest in enumerate(batch.column("text_digest").to_pylist()):
        for group in wanted.pop(digest, ()):
            dealt.setdefault(group, []).append(row)
    return dealt


def _table(batch: "pa.RecordBatch", rows: Sequence[int], schema: "pa.Schema") -> "pa.Table":
    import pyarrow as pa

    digests = batch.column("text_digest").to_pylist()
    matrix = matrix_of(batch.column("vector"))[list(rows)]
    columns = [texts_column([digests[row] for row in rows]), vectors_column(matrix)]
    return pa.Table.from_arrays(columns, schema=schema)
