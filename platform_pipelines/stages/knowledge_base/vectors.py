"""`vectors`: one vector a chunk; a text that was ever embedded here is not embedded again.

Vectors are cached by (text digest, embedder digest) in the files themselves: the shard's own last
file first, then, once a group of shards, all others. Finished shards are kept: a killed run
resumes.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from platform_pipelines.core.road.snapshot import ShardPlan, ShardRecord, Snapshot, plan_shards
from platform_pipelines.errors import IntegrityError
from platform_pipelines.gateways.embedder import Embedder
from platform_pipelines.gateways.object_store import ObjectStore
from platform_pipelines.stages.knowledge_base import connect
from platform_pipelines.stages.knowledge_base.chunks import STAGE as CHUNKS
from platform_pipelines.stages.knowledge_base.tables import (
    WriteTable,
    matrix_of,
    read_batches,
    read_table,
    texts_column,
    vectors_column,
    vectors_schema,
    writing_beside,
)
from platform_pipelines.stages.knowledge_base.workspace import Workspace
from platform_pipelines.stages.road.outcome import StageOutcome

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    Vectors = dict[str, npt.NDArray[np.float32]]

STAGE = "vectors"
GROUP_TEXTS = 1024  # shards are embedded together until so many texts are waiting
EMBED_TEXTS = 512  # between two looks at the clock: some 15 s of a laptop's processor
READ_VECTORS = 1024  # in memory at a time


@dataclass(slots=True)
class _Group:
    """Shards that are embedded together, so that small shards still fill the batches."""

    shards: list[ShardRecord] = field(default_factory=list[ShardRecord])
    digests: dict[int, list[str]] = field(default_factory=dict[int, list[str]])
    vectors: "Vectors" = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict[str, str])  # text digest -> text


def refresh_vectors(workspace: Workspace) -> StageOutcome:
    """Bring the vectors up to the chunks and the declared embedder.

    Raises:
        UnavailableError, RateLimitedError: the embedder does not answer; finished shards are kept.
        DimensionError, IntegrityError: its vectors are not usable.
    """
    chunks = workspace.require_head(CHUNKS)
    previous, version = workspace.standing(STAGE)
    identity = connect.embedder_identity(workspace.settings, workspace.spec.embed)
    plan = plan_shards(STAGE, chunks, previous, settings=identity)
    if previous and plan.is_empty:
        return StageOutcome.unchanged(previous)
    with workspace.writing(STAGE, version) as held:
        return _embed(held, plan, previous, version, identity)


def _embed(
    workspace: Workspace,
    plan: ShardPlan,
    previous: Snapshot | None,
    version: str | None,
    identity: str,
) -> StageOutcome:
    same_embedder = previous is not None and previous.settings == identity
    cache = list(previous.shards) if previous and same_embedder else []
    records = dict(plan.standing)
    counts = {"embedded": 0, "from_cache": 0}
    embedder = connect.open_embedder(workspace.settings, workspace.spec.embed, workspace.progress)
    try:
        for record in _Embedding(workspace, embedder, plan, cache, counts).run():
            records[record.shard] = record
    finally:
        embedder.close()
    shards = tuple(records[n] for n in sorted(records))
    snapshot = Snapshot(
        STAGE,
        identity,
        shards,
        {"vectors": sum(s.rows for s in shards), "dimension": embedder.dimension},
        {"embedder": embedder.name},
    )
    workspace.move_head(snapshot, version)
    return StageOutcome.changed(snapshot, previous, counts, {"embedder": embedder.name})


@dataclass(slots=True)
class _Embedding:
    """One run of the stage: what to embed, with what, and what is known already."""

    workspace: Workspace
    embedder: Embedder
    plan: ShardPlan
    cache: Sequence[ShardRecord]
    counts: dict[str, int]

    def run(self) -> Iterator[ShardRecord]:
        """The record of every changed shard. When all are taken, all files are there."""
        group = _Group()
        # A model's numbers have no pattern: packing them takes time and saves next to nothing.
        with writing_beside(self.workspace.store, compression="none") as write:
            for shard in self.plan.changed:
                if self.workspace.store.exists(self.plan.path(shard.shard)):  # by a killed run
                    self.counts["from_cache"] += shard.rows
                    yield self.plan.record(shard.shard, shard.rows)
                    continue
                self._add(group, shard)
                if len(group.missing) >= GROUP_TEXTS:
                    yield from self._finish(group, write)
                    group = _Group()
            yield from self._finish(group, write)

    def _add(self, group: _Group, shard: ShardRecord) -> None:
        table = read_table(self.workspace.store, shard.path, ["text_digest", "search_text"])
        digests = table.column("text_digest").to_pylist()
        texts = dict(zip(digests, table.column("search_text").to_pylist(), strict=True))
        group.shards.append(shard)
        group.digests[shard.shard] = digests
        for record in self.cache:
            if record.shard == shard.shard:
                self._look_up(record, texts, group.vectors)
        group.missing |= {d: t for d, t in texts.items() if d not in group.vectors}

    def _look_elsewhere(self, group: _Group) -> None:
        """A renamed document's texts stand in another shard's file: each is read once a group."""
        for record in self.cache:
            if not group.missing:
                break
            self._look_up(record, group.missing, group.vectors)
            group.missing = {d: t for d, t in group.missing.items() if d not in group.vectors}
        found = (d in group.vectors for digests in group.digests.values() for d in digests)
        self.counts["from_cache"] += sum(found)

    def _look_up(self, record: ShardRecord, texts: Mapping[str, str], into: "Vectors") -> None:
        """Vectors of these texts that stand in one earlier file."""
        store = self.workspace.store
        stored = read_table(store, record.path, ["text_digest"]).column("text_digest").to_pylist()
        if any(digest in texts for digest in stored):
            into.update((d, v) for d, v in read_vectors(store, record) if d in texts)

    def _finish(self, group: _Group, write: WriteTable) -> Iterator[ShardRecord]:
        self._look_elsewhere(group)
        pending = list(group.missing.items())
        for start in range(0, len(pending), EMBED_TEXTS):
            self.workspace.deadline.check("embedding")
            part = pending[start : start + EMBED_TEXTS]
            vectors = self.embedder.embed_passages([text for _, text in part])
            group.vectors.update({d: v for (d, _), v in zip(part, vectors, strict=True)})
            self.counts["embedded"] += len(part)
            self.workspace.progress(f"vectors: {self.counts['embedded']:,} texts embedded")
        for shard in group.shards:
            write(self.plan.path(shard.shard), self._table(shard.shard, group))
            yield self.plan.record(shard.shard, shard.rows)

    def _table(self, shard: int, group: _Group) -> "pa.Table":
        import numpy as np
        import pyarrow as pa

        digests, dimension = group.digests[shard], self.embedder.dimension
        rows = [group.vectors[d] for d in digests]
        matrix = np.stack(rows) if rows else np.empty((0, dimension), np.float32)
        if not np.isfinite(matrix).all():
            raise IntegrityError(
                "the embedder answered with a number that is not finite",
                where=f"{self.workspace.name}, shard {shard}",
                remedy="look at the embedder's log; no vector of this shard was stored",
            )
        return pa.Table.from_arrays(
            [texts_column(digests), vectors_column(matrix)], schema=vectors_schema(dimension)
        )


def read_vectors(
    store: ObjectStore, record: ShardRecord
) -> Iterator[tuple[str, "npt.NDArray[np.float32]"]]:
    """(text digest, vector) of every row of a shard's file, some at a time in memory."""
    for batch in read_batches(store, record.path, ("text_digest", "vector"), rows=READ_VECTORS):
        digests = batch.column("text_digest").to_pylist()
        yield from zip(digests, matrix_of(batch.column("vector")), strict=True)
