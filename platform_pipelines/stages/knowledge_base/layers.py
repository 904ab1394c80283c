"""Files that hold what is new in a shard, and say which rows of a whole file stay.

A change of a few documents would otherwise write every shard anew. Such a file, Arrow's own format
in place of Parquet, is named for both: `chunks/0007-DIGEST.on-BASE.arrow` stands on
`chunks/0007-BASE.parquet`, which is whole: layers are never stacked. Versions before this one
refuse it as no table, rather than read a part for the whole.
"""

import json
import re
import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from platform_pipelines.errors import IntegrityError
from platform_pipelines.gateways.object_store import ObjectStore

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    Codes = npt.NDArray[np.int64]

READ_BYTES = 32 * 1024**2  # of layers that are held in memory
RUNS = b"runs"  # in the file's metadata: JSON of [first code, rows]
_NAMED = re.compile(r"(?P<shard>.*/\d+-)(?P<own>[^./]+)\.on-(?P<base>[^./]+)\.arrow")


def layer_path(whole: str, base: str) -> str:
    """Where the content that `whole` would hold goes as a layer on `base`."""
    shard, _, digest = base.removesuffix(".parquet").rpartition("-")
    own = whole.removesuffix(".parquet")
    assert own.startswith(f"{shard}-")  # of one shard and stage
    return f"{own}.on-{digest}.arrow"


def base_of(path: str) -> str | None:
    """The whole file that a layer stands on; None: the file is whole itself."""
    named = _NAMED.fullmatch(path)
    return f"{named['shard']}{named['base']}.parquet" if named else None


def with_bases(paths: Iterable[str]) -> set[str]:
    """The files, and those that they stand on: what must not be deleted."""
    found = set(paths)
    return found | {base for path in found if (base := base_of(path)) is not None}


def written_at(store: ObjectStore, whole: str, previous: str | None) -> str | None:
    """Where a killed run wrote what `whole` names: there, or as a layer on what stood before."""
    paths = [whole]
    if previous is not None:
        paths.append(layer_path(whole, base_of(previous) or previous))
    return next((path for path in paths if is_there(store, path)), None)


def is_there(store: ObjectStore, path: str) -> bool:
    """Whether a shard's file can be read: it, and what it stands on."""
    return all(store.exists(one) for one in with_bases([path]))


@dataclass(frozen=True, slots=True)
class Layer:
    """Each row by its code: its place in the base, or -1 minus its place among the own rows."""

    base: str
    codes: "Codes"
    own: "pa.Table"

    @property
    def nbytes(self) -> int:
        """What it takes in memory."""
        return int(self.codes.nbytes) + self.own.nbytes

    @property
    def runs(self) -> list[tuple[int, int]]:
        """Rows that stand together in the base or among the own: (first code, rows)."""
        return runs_of(self.codes)

    def assembled(self, base: "pa.Table", columns: Sequence[str] | None = None) -> "pa.Table":
        """All rows, of the base's table of the same columns."""
        import pyarrow as pa

        own = self.own if columns is None else self.own.select(list(columns))
        parts = [
            base.slice(first, rows) if first >= 0 else own.slice(-1 - first, rows)
            for first, rows in self.runs
        ]
        return pa.concat_tables([pa.Table.from_batches([], base.schema), *parts])

    def streamed(
        self, base: "Iterator[pa.RecordBatch]", columns: Sequence[str]
    ) -> "Iterator[pa.RecordBatch]":
        """All rows in their order, while a batch of the base is in memory at a time."""
        own = self.own.select(list(columns)).combine_chunks()
        batch: pa.RecordBatch | None = None
        start = 0  # of the batch, in the base
        for first, rows in self.runs:
            if first < 0:
                yield from own.slice(-1 - first, rows).to_batches()
                continue
            at, end = first, first + rows
            while at < end:
                while batch is None or at >= start + batch.num_rows:
                    start += batch.num_rows if batch is not None else 0
                    batch = next(base)
                some = min(end, start + batch.num_rows) - at
                yield batch.slice(at - start, some)
                at += some


def runs_of(codes: "Codes") -> list[tuple[int, int]]:
    """(first code, rows) of codes that count up in the base, or down among the own."""
    import numpy as np

    if not len(codes):
        return []
    step = np.where(codes[:-1] >= 0, 1, -1)
    cuts = np.flatnonzero((codes[1:] != codes[:-1] + step) | ((codes[1:] < 0) != (codes[:-1] < 0)))
    firsts = np.concatenate([[0], cuts + 1])
    sizes = np.diff(np.append(firsts, len(codes)))
    return list(zip(codes[firsts].tolist(), sizes.tolist(), strict=True))


def codes_of(runs: Iterable[tuple[int, int]]) -> "Codes":
    """The inverse of `runs_of`."""
    import numpy as np

    parts = [
        np.arange(first, first + rows) if first >= 0 else np.arange(first, first - rows, -1)
        for first, rows in runs
    ]
    return np.concatenate([np.zeros(0, np.int64), *parts]).astype(np.int64)


class _Read:
    """The layers that this process read last: one change reads each some ten times.

    What a layer's name says never changes, so that none is stale.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most = most_bytes
        self._bytes = 0
        self._held: OrderedDict[tuple[str, str], Layer] = OrderedDict()
        self._guard = threading.Lock()

    def get(self, name: tuple[str, str]) -> Layer | None:
        with self._guard:
            if name in self._held:
                self._held.move_to_end(name)
            return self._held.get(name)

    def put(self, name: tuple[str, str], layer: Layer) -> None:
        with self._guard:
            if name not in self._held:
                self._held[name] = layer
                self._bytes += layer.nbytes
            while self._bytes > self._most:
                self._bytes -= self._held.popitem(last=False)[1].nbytes


_READ = _Read(READ_BYTES)


def read_layer(store: ObjectStore, path: str) -> Layer:
    """A layer; of the whole file below nothing is read.

    Raises:
        SourceNotFoundError: there is none.
        IntegrityError: the file is not a layer.
    """
    name = (store.url, path)
    layer = _READ.get(name)
    if layer is None:
        layer = _open_layer(store, path)
        _READ.put(name, layer)
    return layer


def _open_layer(store: ObjectStore, path: str) -> Layer:
    import pyarrow as pa

    base = base_of(path)
    assert base is not None
    with store.open_reader(path) as source:
        try:
            own = pa.ipc.open_file(pa.BufferReader(source.read())).read_all()
            codes = codes_of(json.loads(own.schema.metadata[RUNS]))
        except (pa.ArrowException, OSError, ValueError, KeyError, TypeError) as error:
            raise IntegrityError(
                f"not a layer of a table: {error}",
                where=f"{store.url}/{path}",
                remedy="delete this file and run again",
            ) from error
    return Layer(base, codes, own)


def new_rows(store: ObjectStore, path: str, rows: int) -> int:
    """How many of a table's rows no whole file below it holds: at most so many are new."""
    return rows if base_of(path) is None else read_layer(store, path).own.num_rows


def write_layer(store: ObjectStore, path: str, layer: Layer) -> None:
    """Write a layer whole: it appears complete or not at all."""
    import pyarrow as pa

    assert base_of(path) == layer.base
    table = layer.own.replace_schema_metadata({RUNS: json.dumps(layer.runs)})
    options = pa.ipc.IpcWriteOptions(compression="lz4")  # few rows: read often
    with (
        store.open_writer(path) as sink,
        pa.ipc.new_file(sink, table.schema, options=options) as writer,
    ):
        writer.write_table(table)
