"""What is found in each chunk, kept beside the files of chunks: a change is looked through alone.

One row a chunk, in the order of its file, and a layer where that is one:

    findings/VERSION/0007-DIGEST.parquet            of chunks/0007-DIGEST.parquet
    findings/VERSION/0007-DIGEST.on-BASE.arrow      of chunks/0007-DIGEST.on-BASE.arrow
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from platform_pipelines.core.knowledge_base.copied import MARKS_VERSION, marks_of
from platform_pipelines.core.knowledge_base.suspicion import ANY, excerpt, suspicions
from platform_pipelines.core.road.identity import digest_parts
from platform_pipelines.gateways.object_store import ObjectStore
from platform_pipelines.stages.knowledge_base.layers import (
    Layer,
    base_of,
    is_there,
    read_layer,
    write_layer,
)
from platform_pipelines.stages.knowledge_base.tables import (
    ROW_GROUP_ROWS,
    read_batches,
    read_table,
    rows_at,
    texts_column,
    write_table,
)

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    Numbers = npt.NDArray[np.int64]
    Marks = npt.NDArray[np.uint64]

FOLDER = "findings"
# Of what is looked for: raise it when the same text gives others, and the patterns are the same.
FINDINGS_VERSION = "1"

_READ = ("chunk_id", "document_key", "text")  # a chunk's id covers the other two
_VERSION = digest_parts(FINDINGS_VERSION, MARKS_VERSION, ANY)[:8]
_Found: TypeAlias = "tuple[bytes, str, str]"  # marks, why it is suspicious, where


def findings_path(chunks: str) -> str:
    """Where what was found in a file of chunks is."""
    return f"{FOLDER}/{_VERSION}/{chunks.rpartition('/')[2]}"


def look_through(store: ObjectStore, chunks: str, earlier: str | None = None) -> Iterator[int]:
    """Find what is in a file of chunks, unless that was done; the numbers of rows looked at.

    What was found in the `earlier` file of this shard is taken from there.
    """
    path = findings_path(chunks)
    if is_there(store, path):
        return
    base = base_of(chunks)
    made = _Making(_known(store, base, earlier))
    if base is None:
        for batch in read_batches(store, chunks, _READ):
            yield made.add(batch)
        write_table(store, path, made.table())
        return
    yield from look_through(store, base, earlier)
    layer = read_layer(store, chunks)
    for batch in layer.own.select(list(_READ)).to_batches(max_chunksize=ROW_GROUP_ROWS):
        yield made.add(batch)
    write_layer(store, path, Layer(findings_path(base), layer.codes, made.table()))


def read_findings(store: ObjectStore, chunks: str, columns: Sequence[str]) -> "pa.Table":
    """Columns of what was found: `chunk_id`, `document_key`, `marks`, `why` (empty: it does not
    speak to a model) and `excerpt`."""
    return read_table(store, findings_path(chunks), columns)


def marks_in(table: "pa.Table") -> "tuple[Marks, Numbers]":
    """The marks of all rows one after the other, and how many each row has."""
    import numpy as np

    marks, numbers = [np.zeros(0, np.uint64)], [np.zeros(0, np.int64)]
    for array in table.column("marks").chunks:
        _, offsets, data = array.buffers()
        ends = np.frombuffer(offsets, np.int32)[array.offset : array.offset + len(array) + 1]
        if not len(array):
            continue
        held = np.frombuffer(data or b"", np.uint8)[ends[0] : ends[-1]]
        marks.append(np.frombuffer(held.tobytes(), "<u8").astype(np.uint64))
        numbers.append(np.diff(ends).astype(np.int64) // 8)
    return np.concatenate(marks), np.concatenate(numbers)


def _known(store: ObjectStore, base: str | None, earlier: str | None) -> dict[str, _Found]:
    """What was found in an earlier file, by chunk: where both stand on one base, in its own rows.

    Rows of that base are of no use: a layer on it holds none of them again.
    """
    if earlier is None or not is_there(store, findings_path(earlier)):
        return {}
    path = findings_path(earlier)
    if base is None or base_of(earlier) != base:
        table = read_table(store, path) if earlier != base else None
    else:
        table = read_layer(store, path).own
    if table is None:
        return {}
    ids, *found = (table.column(c).to_pylist() for c in ("chunk_id", "marks", "why", "excerpt"))
    return dict(zip(ids, zip(*found, strict=True), strict=True))


@dataclass(slots=True)
class _Making:
    """Rows of a file of findings, in its order."""

    known: Mapping[str, _Found]
    ids: list[str] = field(default_factory=list[str])
    keys: list[str] = field(default_factory=list[str])
    found: list[_Found] = field(default_factory=list[_Found])

    def add(self, batch: "pa.RecordBatch") -> int:
        """The next rows; how many of them had to be looked at."""
        import pyarrow as pa

        ids = batch.column("chunk_id").to_pylist()
        places = [place for place, one in enumerate(ids) if one not in self.known]
        looked = pa.Table.from_batches([batch])
        new = iter(_look(looked if len(places) == len(ids) else rows_at(looked, places)))
        self.found += [self.known[one] if one in self.known else next(new) for one in ids]
        self.ids += ids
        self.keys += batch.column("document_key").to_pylist()
        return len(places)

    def table(self) -> "pa.Table":
        """All of them."""
        import pyarrow as pa

        marks, why, where = zip(*self.found, strict=True) if self.found else ((), (), ())
        texts = {"chunk_id": self.ids, "document_key": self.keys, "why": why, "excerpt": where}
        columns = {name: texts_column(values) for name, values in texts.items()}
        return pa.table({**columns, "marks": _bytes_column(marks)})


def _look(table: "pa.Table") -> Iterator[_Found]:
    """What is in each chunk. Whole shards are searched in Arrow's own code first."""
    from pyarrow import compute

    functions: Any = compute
    texts = table.column("text")
    speaks = functions.match_substring_regex(texts, pattern=ANY, ignore_case=True).to_pylist()
    for text, may in zip(texts.to_pylist(), speaks, strict=True):
        why = ", ".join(suspicions(text)) if may else ""
        yield marks_of(text).astype("<u8").tobytes(), why, excerpt(text) if why else ""


def _bytes_column(values: Sequence[bytes]) -> "pa.Array":
    """As `texts_column`; 2 GiB of marks would be of ten million chunks in one shard."""
    import numpy as np
    import pyarrow as pa

    ends = np.zeros(len(values) + 1, np.int32)
    np.cumsum([len(value) for value in values], out=ends[1:])
    buffers = [None, pa.py_buffer(ends), pa.py_buffer(b"".join(values))]
    return pa.Array.from_buffers(pa.binary(), len(values), buffers)
