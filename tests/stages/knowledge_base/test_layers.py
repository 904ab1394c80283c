"""A layer reads as the whole table would, after any number of changes; nothing below it is lost."""

import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from platform_pipelines.errors import IntegrityError
from platform_pipelines.gateways.object_store import ObjectStore
from platform_pipelines.gateways.obstore_store import open_store
from platform_pipelines.stages.knowledge_base.layering import (
    differing,
    layer_on,
    matched,
    take_rows,
)
from platform_pipelines.stages.knowledge_base.layers import (
    base_of,
    codes_of,
    is_there,
    layer_path,
    runs_of,
    with_bases,
    write_layer,
    written_at,
)
from platform_pipelines.stages.knowledge_base.tables import (
    read_batches,
    read_table,
    rows_of,
    table_of,
    write_table,
)

SCHEMA = pa.schema([("key", pa.string()), ("number", pa.int64())])
WHOLE = "chunks/0003-start.parquet"


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    return open_store(tmp_path.as_uri(), create=True)


def table(rows: list[tuple[str, int]]) -> pa.Table:
    return table_of([{"key": key, "number": number} for key, number in rows], SCHEMA)


def rows_in(found: pa.Table) -> list[tuple[str, int]]:
    return [(row["key"], row["number"]) for row in found.to_pylist()]


def put(
    store: ObjectStore, name: str, earlier: str, rows: list[tuple[str, int]], keep: list[int]
) -> str | None:
    """Write rows as a layer: those at `keep` are the earlier table's; None when it was refused."""
    stood = rows_in(read_table(store, earlier))
    places = {row: place for place, row in enumerate(stood) if place in keep}
    made = [row for row in rows if row not in places]
    order = [places[row] if row in places else -1 - made.index(row) for row in rows]
    layer = layer_on(store, earlier, order, table(made))
    if layer is None:
        return None
    path = layer_path(f"chunks/0003-{name}.parquet", layer.base)
    write_layer(store, path, layer)
    return path


@settings(deadline=None, max_examples=40)
@given(st.lists(st.sets(st.integers(0, 79), max_size=6), min_size=1, max_size=4), st.data())
def test_a_layer_reads_as_the_whole_table(changes: list[set[int]], data: st.DataObject) -> None:
    """Rows change, go and come, layer after layer: each is read as if it had been written whole."""
    rows = [(f"key{number:03d}", 0) for number in range(60)]
    with TemporaryDirectory() as folder:
        store = open_store(Path(folder).as_uri(), create=True)
        write_table(store, WHOLE, table(rows))
        path = WHOLE
        for edition, keys in enumerate(changes, start=1):
            wanted = dict(rows) | {f"key{number:03d}": edition for number in keys}
            for number in data.draw(st.sets(st.integers(0, 59), max_size=3)):
                wanted.pop(f"key{number:03d}", None)
            wanted_rows = sorted(wanted.items())
            keep = [place for place, row in enumerate(rows) if row in wanted_rows]
            before = (path, len(rows))
            path = put(store, f"edition{edition}", path, wanted_rows, keep) or ""
            if not path:
                return  # too much of it is new: it is written whole
            assert base_of(path) == WHOLE
            assert_reads(store, path, wanted_rows)
            places = differing(store, before, (path, len(wanted_rows)))
            assert places is not None
            gone, come = (
                {rs[at] for at in some}
                for rs, some in zip((rows, wanted_rows), places, strict=True)
            )
            assert set(rows) - set(wanted_rows) <= gone
            assert set(wanted_rows) - set(rows) <= come
            rows = wanted_rows


def assert_reads(store: ObjectStore, path: str, wanted: list[tuple[str, int]]) -> None:
    """In every way in which a table is read."""
    assert rows_in(read_table(store, path)) == wanted
    assert rows_of(store, path) == len(wanted)
    numbers = read_table(store, path, ["number"])
    assert numbers.column_names == ["number"]
    batches = list(read_batches(store, path, ("key", "number"), rows=7))
    assert all(batch.num_rows <= 7 or batch.num_rows < len(wanted) for batch in batches)
    assert rows_in(pa.Table.from_batches(batches, SCHEMA)) == wanted
    some = list(range(0, len(wanted), 3))
    assert rows_in(take_rows(store, path, some, ["key", "number"])) == [wanted[at] for at in some]


def test_too_many_new_rows_are_written_whole(store: ObjectStore) -> None:
    """Readers would pay for what stands no more."""
    write_table(store, WHOLE, table([("a", 0), ("b", 0), ("c", 0), ("d", 0)]))
    assert put(store, "next", WHOLE, [("a", 0), ("b", 0), ("c", 1), ("d", 1)], [0, 1]) is None


def test_another_order_is_written_whole(store: ObjectStore) -> None:
    """A layer is streamed beside its base, in one pass."""
    rows = [(f"key{number}", 0) for number in range(9)]
    write_table(store, WHOLE, table(rows))
    assert layer_on(store, WHOLE, [1, 0, *range(2, 9)], table([])) is None


def test_columns_of_another_version_are_written_whole(store: ObjectStore) -> None:
    """Rows of two layouts do not make one table."""
    older = pa.table({"key": ["a", "b", "c", "d", "e"]})
    write_table(store, WHOLE, older)
    assert layer_on(store, WHOLE, [0, 1, 2, 3, -1], table([("e", 1)])) is None


def test_of_new_rows_nothing_below_is_read(store: ObjectStore) -> None:
    """What changed is looked up at the cost of the change: the whole file may even be gone."""
    rows = [(f"key{number}", 0) for number in range(9)]
    write_table(store, WHOLE, table(rows))
    path = put(store, "next", WHOLE, [*rows[:8], ("key8", 1)], list(range(8)))
    assert path is not None
    store.delete([WHOLE])
    assert rows_in(take_rows(store, path, [8], ["key", "number"])) == [("key8", 1)]


def test_a_layer_is_there_only_with_what_it_stands_on(store: ObjectStore) -> None:
    """A killed run's file is taken up again by its name: not when a part of it is gone."""
    rows = [(f"key{number}", 0) for number in range(9)]
    write_table(store, WHOLE, table(rows))
    whole = "chunks/0003-next.parquet"
    assert written_at(store, whole, WHOLE) is None
    path = put(store, "next", WHOLE, rows[:8], list(range(8)))
    assert path is not None
    assert written_at(store, whole, WHOLE) == path
    assert with_bases([path]) == {path, WHOLE}
    store.delete([WHOLE])
    assert not is_there(store, path)
    assert written_at(store, whole, WHOLE) is None
    assert rows_of(store, path) is None


def test_a_damaged_layer_is_named(store: ObjectStore) -> None:
    path = "chunks/0003-next.on-start.arrow"
    store.put(path, b"no layer")
    with pytest.raises(IntegrityError, match="not a layer") as raised:
        read_table(store, path)
    assert path in str(raised.value)


def test_an_earlier_version_refuses_a_layer(store: ObjectStore, tmp_path: Path) -> None:
    """It knows no layers, and must not take the new rows for all of them."""
    rows = [(f"key{number}", 0) for number in range(9)]
    write_table(store, WHOLE, table(rows))
    path = put(store, "next", WHOLE, rows[:8], list(range(8)))
    assert path is not None
    with pytest.raises(pa.ArrowInvalid):
        pq.ParquetFile(tmp_path / path)


@given(st.lists(st.integers(-9, 30)))
def test_runs_say_the_codes(codes: list[int]) -> None:
    import numpy as np

    assert codes_of(runs_of(np.asarray(codes, np.int64))).tolist() == codes


@given(st.lists(st.sampled_from("abcdef")), st.lists(st.sampled_from("abcdefgh")))
def test_matched_places_rise_and_are_of_equal_texts(stood: list[str], wanted: list[str]) -> None:
    found = matched(stood, wanted)
    kept = [place for place in found if place >= 0]
    assert kept == sorted(set(kept))
    assert all(place < 0 or stood[place] == text for place, text in zip(found, wanted, strict=True))
    assert [place for place in found if place < 0] == [
        -1 - n for n in range(len(found) - len(kept))
    ]


def test_of_a_small_change_all_that_stands_is_matched() -> None:
    """Also where a text stands twice."""
    stood = ["a", "b", "c", "b", "d", "e"]
    assert matched(stood, ["a", "b", "x", "b", "d", "e"]) == [0, 1, -1, 3, 4, 5]
    assert matched(stood, ["new", *stood]) == [-1, 0, 1, 2, 3, 4, 5]


def test_layers_are_written_and_read_without_pandas(tmp_path: Path) -> None:
    """A list of places or an empty table imports pandas: 1.2 s in every worker of every run."""
    program = f"""
import sys
from platform_pipelines.gateways.obstore_store import open_store
from platform_pipelines.stages.knowledge_base import layering, layers, tables
store = open_store({tmp_path.as_uri()!r}, create=True)
schema = tables.chunks_schema()
rows = [dict.fromkeys(schema.names, str(n)) | {{"ordinal": n, "tokens": 2}} for n in range(9)]
tables.write_table(store, {WHOLE!r}, tables.table_of(rows[:8], schema))
made = tables.table_of(rows[8:], schema)
layer = layering.layer_on(store, {WHOLE!r}, [*range(8), -1], made)
path = layers.layer_path("chunks/0003-next.parquet", layer.base)
layers.write_layer(store, path, layer)
assert tables.read_table(store, path).to_pylist() == rows
assert len(list(tables.read_batches(store, path, ["text"]))) == 2
assert layering.take_rows(store, path, [8, 2], ["text"]).to_pylist()[0] == {{"text": "8"}}
assert layering.differing(store, ({WHOLE!r}, 8), (path, 9)) is not None
assert layering.layer_on(store, path, [*range(8), -1], made) is not None
sys.exit("pandas" in sys.modules)
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)
