"""Parquet tables: what is written is read again, in bounded memory and without pandas."""

import subprocess
import sys
import threading
from contextlib import AbstractContextManager
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from platform_pipelines.errors import IntegrityError, StorageFullError
from platform_pipelines.gateways.object_store import ObjectStore
from platform_pipelines.gateways.obstore_store import open_store
from platform_pipelines.stages.knowledge_base import tables
from platform_pipelines.stages.knowledge_base.tables import (
    matrix_of,
    read_batches,
    read_table,
    rows_of,
    table_of,
    table_writer,
    texts_column,
    vectors_column,
    write_table,
    writing_beside,
)

SCHEMA = pa.schema([("text", pa.string()), ("number", pa.int32()), ("size", pa.int64())])
TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "text": TEXTS,
            "number": st.integers(-(2**31), 2**31 - 1),
            "size": st.integers(-(2**63), 2**63 - 1),
        }
    )
)


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    return open_store(tmp_path.as_uri(), create=True)


@given(ROWS)
def test_rows_come_back_as_they_went_in(rows: list[dict[str, object]]) -> None:
    """Columns are built from raw buffers: offsets and widths must be right for every text."""
    table = table_of(rows, SCHEMA)
    table.validate(full=True)
    assert table.schema == SCHEMA
    assert table.to_pylist() == rows


def test_a_file_repeats_no_text(store: ObjectStore, tmp_path: Path) -> None:
    """The least and the greatest text of a column, which statistics would hold, are documents."""
    text = "".join(f"{n:05d}" for n in range(20_000))
    write_table(store, "t.parquet", table_of([{"text": text, "number": 1, "size": 1}], SCHEMA))
    assert (tmp_path / "t.parquet").stat().st_size < len(text)
    column = pq.ParquetFile(tmp_path / "t.parquet").metadata.row_group(0).column(0)
    assert column.statistics is None
    assert not column.has_dictionary_page


@given(st.lists(TEXTS))
def test_texts_are_a_whole_column(texts: list[str]) -> None:
    """Korean takes three bytes a character: offsets count bytes."""
    column = texts_column(texts)
    column.validate(full=True)
    assert column.to_pylist() == texts


@given(st.integers(0, 5), st.integers(1, 4), st.integers(0, 5))
def test_vectors_come_back_also_from_a_slice(rows: int, dimension: int, start: int) -> None:
    """A batch of a larger column starts in the middle of its buffer."""
    matrix = np.arange(rows * dimension, dtype=np.float32).reshape(rows, dimension)
    column = vectors_column(matrix)
    column.validate(full=True)
    assert matrix_of(column).tolist() == matrix.tolist()
    assert matrix_of(column.slice(min(start, rows))).tolist() == matrix[start:].tolist()


def test_parts_become_one_table_in_order(store: ObjectStore) -> None:
    """A shard's chunks are written as they are made."""
    parts = [[{"text": f"{p}.{n}", "number": n, "size": p} for n in range(3)] for p in range(4)]
    with table_writer(store, "a.parquet", SCHEMA) as write:
        for part in parts:
            write(table_of(part, SCHEMA))
    rows = [row for part in parts for row in part]
    assert read_table(store, "a.parquet").to_pylist() == rows
    batches = list(read_batches(store, "a.parquet", ["text"], rows=5))
    assert [row["text"] for b in batches for row in b.to_pylist()] == [r["text"] for r in rows]
    assert max(batch.num_rows for batch in batches) <= 5


def test_a_table_without_rows_is_a_table(store: ObjectStore) -> None:
    """A shard whose documents are all quarantined has no chunks."""
    with table_writer(store, "empty.parquet", SCHEMA):
        pass
    assert rows_of(store, "empty.parquet") == 0
    assert read_table(store, "empty.parquet").schema == SCHEMA
    assert list(read_batches(store, "empty.parquet", ["text"])) == []


def test_rows_are_counted_and_a_missing_table_has_none(store: ObjectStore) -> None:
    """A finished shard of a killed run is taken as it is: its rows are in its footer."""
    rows = [{"text": "다", "number": 1, "size": 2}] * 7
    write_table(store, "a.parquet", table_of(rows, SCHEMA))
    assert rows_of(store, "a.parquet") == 7
    assert rows_of(store, "b.parquet") is None


def test_a_writer_that_fails_leaves_nothing(store: ObjectStore) -> None:
    """A half-written shard must not be taken for a finished one."""
    part = table_of([{"text": "a", "number": 1, "size": 1}], SCHEMA)
    with (  # noqa: PT012 - it must fail inside of the writer
        pytest.raises(RuntimeError, match="killed"),
        table_writer(store, "a.parquet", SCHEMA) as write,
    ):
        write(part)
        raise RuntimeError("killed")
    assert rows_of(store, "a.parquet") is None


def test_a_damaged_table_is_named_with_its_remedy(store: ObjectStore) -> None:
    """A person must learn which file to delete."""
    store.put("a.parquet", b"not a table")
    with pytest.raises(IntegrityError) as caught:
        read_table(store, "a.parquet")
    assert str(caught.value.where).endswith("a.parquet")
    assert "delete" in str(caught.value.remedy)


def test_tables_are_written_and_read_without_pandas(tmp_path: Path) -> None:
    """`pa.array` of a list imports pandas: 1.2 s in every worker of every run."""
    program = f"""
import sys
import numpy as np
import pyarrow as pa
from platform_pipelines.gateways.obstore_store import open_store
from platform_pipelines.stages.knowledge_base import tables
store = open_store({tmp_path.as_uri()!r}, create=True)
row = dict.fromkeys(tables.chunks_schema().names, "가") | {{"ordinal": 1, "tokens": 2}}
tables.write_table(store, "c", tables.table_of([row], tables.chunks_schema()))
assert tables.read_table(store, "c").to_pylist() == [row]
schema = tables.vectors_schema(3)
columns = [tables.texts_column(["d"]), tables.vectors_column(np.ones((1, 3), np.float32))]
tables.write_table(store, "v", pa.Table.from_arrays(columns, schema=schema))
for batch in tables.read_batches(store, "v", ["vector"]):
    assert tables.matrix_of(batch.column("vector")).sum() == 3
sys.exit("pandas" in sys.modules)
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)


def one_row(text: str) -> pa.Table:
    return table_of([{"text": text, "number": 1, "size": 1}], SCHEMA)


class SlowStore:
    """Writes when it is told to."""

    url = "slow://"

    def __init__(self, inner: ObjectStore) -> None:
        self.go = threading.Event()
        self._inner = inner

    def open_writer(self, key: str) -> AbstractContextManager[BinaryIO]:
        assert self.go.wait(30), "its caller waited for it"
        return self._inner.open_writer(key)


class FullStore:
    """Has no room for what is called `full`."""

    url = "full://"

    def __init__(self, inner: ObjectStore) -> None:
        self._inner = inner

    def open_writer(self, key: str) -> AbstractContextManager[BinaryIO]:
        if key == "full":
            raise StorageFullError("no space left", where=key)
        return self._inner.open_writer(key)


def test_a_table_is_written_beside_its_callers_work(store: ObjectStore) -> None:
    """A store that answers slowly does not hold up what makes the next tables."""
    slow = SlowStore(store)
    with writing_beside(slow) as write:  # type: ignore[arg-type]
        for key in "abc":
            write(key, one_row(key))
        slow.go.set()
    assert [read_table(store, key).to_pylist()[0]["text"] for key in "abc"] == ["a", "b", "c"]


def test_what_waits_for_a_slow_store_is_bounded(
    store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tables of a large corpus do not fit into memory: then one is written, and none waits."""
    monkeypatch.setattr(tables, "BESIDE_BYTES", one_row("a").nbytes)
    with writing_beside(store) as write:
        write("a", one_row("a"))
        for before, key in pairwise("abc"):
            write(key, one_row(key))
            assert store.exists(before)


def test_a_failed_write_is_raised_by_a_later_one_or_at_the_end(
    store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody goes on as if a table were there."""
    monkeypatch.setattr(tables, "BESIDE_BYTES", 0)
    full: Any = FullStore(store)
    with pytest.raises(StorageFullError), writing_beside(full) as write:
        write("full", one_row("a"))
    with pytest.raises(StorageFullError), writing_beside(full) as write:  # noqa: PT012
        write("full", one_row("a"))
        write("b", one_row("b"))
        pytest.fail("it went on")
    assert not store.exists("b")


def test_what_was_given_is_written_though_its_caller_fails(store: ObjectStore) -> None:
    """Finished shards are kept for the next run, and the error is the caller's own."""
    with pytest.raises(ZeroDivisionError), writing_beside(store) as write:  # noqa: PT012
        write("a", one_row("a"))
        raise ZeroDivisionError
    assert read_table(store, "a").num_rows == 1
