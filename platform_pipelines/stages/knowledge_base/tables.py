"""Parquet tables in the object store: one file a shard and stage, written whole, read by column."""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any, TypeAlias

from platform_pipelines.errors import IntegrityError
from platform_pipelines.gateways.object_store import ObjectStore
from platform_pipelines.stages.knowledge_base.layers import base_of, is_there, read_layer

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa
    import pyarrow.parquet as pq

WriteTable: TypeAlias = "Callable[[str, pa.Table], None]"  # key, table

ROW_GROUP_ROWS = 2048
COMPRESSION = "zstd"
TEXT_COLUMN_MAX_BYTES = 2**31 - 1  # offsets of Arrow's `string` are 32 bits wide
BESIDE_BYTES = 32 * 1024**2  # of tables that are being written or wait for it


def documents_schema() -> "pa.Schema":
    """One row a source document: what was read, and its text or why there is none."""
    import pyarrow as pa

    return pa.schema(
        [
            ("key", pa.string()),
            ("version", pa.string()),
            ("size_bytes", pa.int64()),
            ("state", pa.string()),  # parsed | quarantined
            ("content_digest", pa.string()),
            ("parser_digest", pa.string()),
            ("document_digest", pa.string()),
            ("type", pa.string()),
            ("code_language", pa.string()),
            ("title", pa.string()),
            ("language", pa.string()),
            ("blocks", pa.string()),  # JSON of core.documents.blocks_to_json
            ("reason", pa.string()),
            ("detail", pa.string()),
            ("notes", pa.string()),  # JSON of core.documents.notes_to_json; empty: all was read
        ]
    )


def chunks_schema() -> "pa.Schema":
    """One row a chunk, in document order."""
    import pyarrow as pa

    return pa.schema(
        [
            ("chunk_id", pa.string()),
            ("document_key", pa.string()),
            ("document_digest", pa.string()),
            ("policy_digest", pa.string()),
            ("ordinal", pa.int32()),
            ("text", pa.string()),
            ("search_text", pa.string()),
            ("text_digest", pa.string()),  # of search_text: what the vectors are cached by
            ("tokens", pa.int32()),
            ("place", pa.string()),  # JSON of core.documents.place_record
            ("title", pa.string()),
            ("language", pa.string()),
            ("type", pa.string()),
        ]
    )


def vectors_schema(dimension: int) -> "pa.Schema":
    """One row a chunk, in the order of the chunks' file."""
    import pyarrow as pa

    return pa.schema([("text_digest", pa.string()), ("vector", pa.list_(pa.float32(), dimension))])


def table_of(rows: Sequence[Mapping[str, Any]], schema: "pa.Schema") -> "pa.Table":
    """Rows of text and whole numbers as a table; every column is there in every row.

    Built from buffers: `pa.array` of a list imports pandas, 1.2 s in every worker.
    """
    import pyarrow as pa

    columns = [_column([row[field.name] for row in rows], field.type) for field in schema]
    return pa.Table.from_arrays(columns, schema=schema)


def texts_column(values: Sequence[str]) -> "pa.Array | pa.ChunkedArray":
    """Texts as a column."""
    import numpy as np
    import pyarrow as pa

    parts = [value.encode() for value in values]
    offsets = np.zeros(len(parts) + 1, np.int64)
    np.cumsum([len(part) for part in parts], out=offsets[1:])
    if offsets[-1] > TEXT_COLUMN_MAX_BYTES:
        return pa.array(values, pa.string())  # in several chunks
    buffers = [None, pa.py_buffer(offsets.astype(np.int32)), pa.py_buffer(b"".join(parts))]
    return pa.Array.from_buffers(pa.string(), len(parts), buffers)


def rows_at(table: "pa.Table", places: "Sequence[int] | npt.NDArray[np.int64]") -> "pa.Table":
    """Some rows of a table, in this order. From a buffer: a list of places imports pandas."""
    import numpy as np
    import pyarrow as pa

    wanted = np.ascontiguousarray(places, np.int64)
    return table.take(pa.Array.from_buffers(pa.int64(), len(wanted), [None, pa.py_buffer(wanted)]))


def vectors_column(matrix: "npt.NDArray[np.float32]") -> "pa.Array":
    """[rows, dimension] float32 as a column, without a copy."""
    import numpy as np
    import pyarrow as pa

    flat = np.ascontiguousarray(matrix, dtype=np.float32).reshape(-1)
    numbers = pa.Array.from_buffers(pa.float32(), flat.size, [None, pa.py_buffer(flat)])
    return pa.FixedSizeListArray.from_arrays(numbers, matrix.shape[1])


def matrix_of(column: "pa.Array") -> "npt.NDArray[np.float32]":
    """The inverse of `vectors_column`. From the buffer: Arrow's own way imports pandas."""
    import numpy as np

    numbers = column.flatten()
    flat = np.frombuffer(numbers.buffers()[1] or b"", np.float32)
    flat = flat[numbers.offset : numbers.offset + len(numbers)]
    return flat.reshape(-1, column.type.list_size)


def _column(values: list[Any], kind: "pa.DataType") -> "pa.Array | pa.ChunkedArray":
    import numpy as np
    import pyarrow as pa

    if kind == pa.string():
        return texts_column(values)
    numbers = np.array(values, dtype=f"i{kind.bit_width // 8}")
    return pa.Array.from_buffers(kind, len(values), [None, pa.py_buffer(numbers)])


def write_table(
    store: ObjectStore, key: str, table: "pa.Table", *, compression: str = COMPRESSION
) -> None:
    """Write a table whole: it appears complete or not at all."""
    with table_writer(store, key, table.schema, compression=compression) as write:
        write(table)


@contextmanager
def writing_beside(store: ObjectStore, *, compression: str = COMPRESSION) -> Iterator[WriteTable]:
    """`write_table` that goes on while its caller makes the next table.

    `BESIDE_BYTES` of tables, or one larger one, are in memory. A write that failed is raised by a
    later one or by the end of the block, after which all tables are there.
    """
    from concurrent.futures import Future, ThreadPoolExecutor

    with ThreadPoolExecutor(1, thread_name_prefix="table-write") as pool:
        waiting: deque[tuple[int, Future[None]]] = deque()

        def write(key: str, table: "pa.Table") -> None:
            room = BESIDE_BYTES - table.nbytes
            while waiting and (waiting[0][1].done() or sum(size for size, _ in waiting) > room):
                waiting.popleft()[1].result()
            done = pool.submit(write_table, store, key, table, compression=compression)
            waiting.append((table.nbytes, done))

        yield write
        for _, done in waiting:
            done.result()


@contextmanager
def table_writer(
    store: ObjectStore, key: str, schema: "pa.Schema", *, compression: str = COMPRESSION
) -> Iterator[Callable[["pa.Table"], None]]:
    """Write a table in parts, in bounded memory: it appears complete at the end or not at all.

    Without statistics and dictionaries: nobody asks for a range of texts, and both take time and
    room (the least and the greatest text of a column are whole documents).
    """
    import pyarrow.parquet as pq

    _use_system_memory()
    with (
        store.open_writer(key) as sink,
        pq.ParquetWriter(
            sink, schema, compression=compression, use_dictionary=False, write_statistics=False
        ) as writer,
    ):
        yield lambda part: writer.write_table(part, row_group_size=ROW_GROUP_ROWS)


def read_table(store: ObjectStore, key: str, columns: Sequence[str] | None = None) -> "pa.Table":
    """A table, or some of its columns.

    Raises:
        SourceNotFoundError: there is none.
        IntegrityError: the file is not a Parquet table.
    """
    base = base_of(key)
    if base is not None:
        layer = read_layer(store, key)
        return layer.assembled(read_table(store, base, columns), columns)
    with _open_table(store, key) as table:
        chosen = None if columns is None else list(columns)
        return table.read(columns=chosen, use_threads=False)  # it takes longer to hand out a shard


def rows_of(store: ObjectStore, key: str) -> int | None:
    """How many rows a table has, from its footer; None when there is no such table.

    Raises:
        IntegrityError: the file is not a Parquet table.
    """
    if not is_there(store, key):
        return None
    if base_of(key) is not None:
        return len(read_layer(store, key).codes)
    with _open_table(store, key) as table:
        return int(table.metadata.num_rows)


def schema_of(store: ObjectStore, key: str) -> "pa.Schema":
    """The columns of a whole table, from its footer. Raises as `read_table`."""
    with _open_table(store, key) as table:
        return table.schema_arrow


def read_batches(
    store: ObjectStore, key: str, columns: Sequence[str], *, rows: int = ROW_GROUP_ROWS
) -> Iterator["pa.RecordBatch"]:
    """Some columns of a table, at most so many rows at a time. Raises as `read_table`."""
    base = base_of(key)
    if base is not None:
        below = read_batches(store, base, columns, rows=rows)
        yield from read_layer(store, key).streamed(below, columns)
        return
    with _open_table(store, key) as table:
        yield from table.iter_batches(batch_size=rows, columns=list(columns), use_threads=False)


@contextmanager
def _open_table(store: ObjectStore, key: str) -> Iterator["pq.ParquetFile"]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    _use_system_memory()
    with store.open_reader(key) as source:
        try:
            yield pq.ParquetFile(source)
        except (pa.ArrowException, OSError) as error:
            raise IntegrityError(
                f"not a table: {error}",
                where=f"{store.url}/{key}",
                remedy="delete this file and run again",
            ) from error


@cache
def _use_system_memory() -> None:
    """Arrow's own allocator gives little back: 100 MB more after indexing 50,000 chunks."""
    import pyarrow as pa

    pa.set_memory_pool(pa.system_memory_pool())
