"""One task of `vectors`: the vectors of some shards, embedded or taken from earlier files."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from platform_pipelines.compute.protocol import Working
from platform_pipelines.core.knowledge_base.embed_declaration import EmbedSpec
from platform_pipelines.errors import ConfigurationError, IntegrityError
from platform_pipelines.gateways.embedder import Embedder
from platform_pipelines.gateways.object_store import ObjectStore
from platform_pipelines.stages.knowledge_base import connect
from platform_pipelines.stages.knowledge_base.layering import (
    Placed,
    matched,
    place_on,
    take_rows,
)
from platform_pipelines.stages.knowledge_base.layers import layer_path, write_layer
from platform_pipelines.stages.knowledge_base.tables import (
    matrix_of,
    read_batches,
    read_table,
    texts_column,
    vectors_column,
    vectors_schema,
    writing_beside,
)
from platform_pipelines.stages.road.access import open_named

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    Vectors = dict[str, npt.NDArray[np.float32]]

EMBED_TEXTS = 512  # between two words of progress: some 15 s of a laptop's processor
READ_VECTORS = 1024  # in memory at a time


def embed_shards(
    access: Mapping[str, Any], items: Iterator[Mapping[str, Any]]
) -> Iterator[Mapping[str, Any] | Working]:
    """Operation `vectors.embed`: the task's `arguments` are `{shards, earlier, embed, embedder}`.

    `shards` are `{shard, chunks, path, previous}`, the last one the shard's own earlier file if a
    text of it stands, and `earlier` the files that hold vectors of their texts, keys in the task's
    store; `embedder` is the digest of the embedder that the stage means. The record is
    `{shards: [{shard, rows, path}], embedded, from_cache}`: texts, and rows.
    """
    opened: dict[str, Embedder] = {}
    try:
        for spec in items:
            arguments = spec["arguments"]
            name = arguments["embedder"]
            if name not in opened:
                opened[name] = _open(access, arguments)
            store = open_named(access, spec["store"], create=True)
            yield from _Group(store, opened[name], arguments).run()
    finally:
        for embedder in opened.values():
            embedder.close()


def _open(access: Mapping[str, Any], arguments: Mapping[str, Any]) -> Embedder:
    embed = EmbedSpec.model_validate(arguments["embed"])
    model = connect.task_model(access, embed)
    if embed.provider == "local":
        connect.make_model(Path(model["model_dir"]), lambda _: None)
    embedder = connect.embedder_from_record(model, embed)
    if embedder.digest != arguments["embedder"]:
        raise ConfigurationError(
            "this process has another embedder than the stage that planned the task",
            where=embedder.name,
            stored=embedder.digest,
            expected=arguments["embedder"],
            remedy="run tasks with the image of the step that planned them",
        )
    return embedder


@dataclass(slots=True)
class _Group:
    """Shards that are embedded together, so that small shards still fill the batches."""

    store: ObjectStore
    embedder: Embedder
    arguments: Mapping[str, Any]
    digests: dict[int, list[str]] = field(default_factory=dict[int, list[str]])
    vectors: "Vectors" = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict[str, str])  # text digest -> text
    layers: dict[int, tuple[Placed, list[str]]] = field(default_factory=dict)  # and new texts

    def run(self) -> Iterator[Mapping[str, Any] | Working]:
        """Words of progress, then the record. When that is there, so are all files."""
        shards = self.arguments["shards"]
        for shard in shards:
            self._read(shard)
        for path in self.arguments["earlier"]:
            self._look_up(path)
        embedded = len(self.missing)
        missing = set(self.missing)
        found = sum(d not in missing for digests in self.digests.values() for d in digests)
        yield from self._embed()
        rows: list[Mapping[str, Any]] = []
        # A model's numbers have no pattern: packing them takes time and saves next to nothing.
        with writing_beside(self.store, compression="none") as write:
            for shard in shards:
                path = self._write_layer(shard)
                if path is None:
                    path = shard["path"]
                    write(path, self._table(shard["shard"], self.digests[shard["shard"]]))
                rows.append(
                    {
                        "shard": shard["shard"],
                        "rows": len(self.digests[shard["shard"]]),
                        "path": path,
                    }
                )
        yield {"shards": rows, "embedded": embedded, "from_cache": found}

    def _read(self, shard: Mapping[str, Any]) -> None:
        table = read_table(self.store, shard["chunks"], ["text_digest"])
        digests = text_digests(table)
        self.digests[shard["shard"]] = list(digests)
        placed = self._placed(shard, digests)
        places = range(len(digests)) if placed is None else placed
        columns = ["search_text"]
        texts = (
            read_table(self.store, shard["chunks"], columns)
            if placed is None
            else take_rows(self.store, shard["chunks"], placed, columns)
        )
        wanted = (digests[place] for place in places)
        self.missing.update(zip(wanted, texts.column("search_text").to_pylist(), strict=True))

    def _placed(self, shard: Mapping[str, Any], digests: Sequence[str]) -> list[int] | None:
        """Places of the new texts, when the others stay in the shard's last file."""
        previous = shard.get("previous")
        if previous is None:
            return None
        order = matched(text_digests(read_table(self.store, previous, ["text_digest"])), digests)
        schema = vectors_schema(self.embedder.dimension)
        placed = place_on(self.store, previous, order, schema)
        if placed is None:
            return None
        places = [place for place, one in enumerate(order) if one < 0]
        self.layers[shard["shard"]] = (placed, [digests[place] for place in places])
        return places

    def _look_up(self, path: str) -> None:
        """Vectors of this group's texts that stand in one earlier file."""
        held = read_table(self.store, path, ["text_digest"])
        if self.missing.keys().isdisjoint(text_digests(held)):
            return
        for digest, vector in read_vectors(self.store, path):
            if self.missing.pop(digest, None) is not None:
                self.vectors[digest] = vector

    def _write_layer(self, shard: Mapping[str, Any]) -> str | None:
        """Where it was written; None when it has to be written whole, of vectors that are here."""
        if shard["shard"] not in self.layers:
            return None
        placed, texts = self.layers[shard["shard"]]
        path = layer_path(shard["path"], placed.base)
        write_layer(self.store, path, placed.with_rows(self._table(shard["shard"], texts)))
        return path

    def _embed(self) -> Iterator[Working]:
        pending = list(self.missing.items())
        for start in range(0, len(pending), EMBED_TEXTS):
            part = pending[start : start + EMBED_TEXTS]
            vectors = self.embedder.embed_passages([text for _, text in part])
            self.vectors.update({d: v for (d, _), v in zip(part, vectors, strict=True)})
            yield Working({"texts embedded": len(part)})

    def _table(self, shard: int, digests: Sequence[str]) -> "pa.Table":
        import numpy as np
        import pyarrow as pa

        dimension = self.embedder.dimension
        rows = [self.vectors[d] for d in digests]
        matrix = np.stack(rows) if rows else np.empty((0, dimension), np.float32)
        if not np.isfinite(matrix).all():
            raise IntegrityError(
                "the embedder answered with a number that is not finite",
                where=f"{self.store.url}, shard {shard}",
                remedy="look at the embedder's log; no vector of this shard was stored",
            )
        return pa.Table.from_arrays(
            [texts_column(digests), vectors_column(matrix)], schema=vectors_schema(dimension)
        )


def read_vectors(store: ObjectStore, path: str) -> Iterator[tuple[str, "npt.NDArray[np.float32]"]]:
    """(text digest, vector) of every row of a shard's file, some at a time in memory."""
    for batch in read_batches(store, path, ("text_digest", "vector"), rows=READ_VECTORS):
        yield from zip(text_digests(batch), matrix_of(batch.column("vector")), strict=True)


def text_digests(table: "pa.Table | pa.RecordBatch") -> Sequence[str]:
    """The text digests of a table's rows."""
    return table.column("text_digest").to_pylist()
