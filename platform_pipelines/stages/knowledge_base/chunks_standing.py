"""The chunks that a shard had: those of documents that did not change are not made again."""

from typing import TYPE_CHECKING

from platform_pipelines.gateways.object_store import ObjectStore
from platform_pipelines.stages.knowledge_base.layers import is_there
from platform_pipelines.stages.knowledge_base.tables import read_table, rows_at

if TYPE_CHECKING:
    import pyarrow as pa


class Standing:
    """The last chunks by document and policy digest: what is equal is not made again."""

    def __init__(self, store: ObjectStore, previous: str | None) -> None:
        self._store = store
        self._table: pa.Table | None = None
        self._runs: dict[tuple[str, str], tuple[int, int]] = {}  # first row, rows
        self.path = previous if previous is not None and is_there(store, previous) else None
        if self.path is None:
            return
        columns = ["document_digest", "policy_digest"]
        table = read_table(store, self.path, columns)
        digests = table.column("document_digest").to_pylist()
        starts = [at for at in range(len(digests)) if not at or digests[at] != digests[at - 1]]
        policies = rows_at(table, starts).column("policy_digest").to_pylist()
        ends = [*starts[1:], len(digests)]
        for start, end, policy in zip(starts, ends, policies, strict=True):
            self._runs[digests[start], policy] = (start, end - start)

    def run(self, document_digest: str, policy_name: str) -> tuple[int, int] | None:
        """Where a document's chunks stand, together: the first row, and how many."""
        return self._runs.get((document_digest, policy_name))

    def find(self, document_digest: str, policy_name: str) -> "pa.Table | None":
        """A document's chunks; None when it has none that stand."""
        run = self.run(document_digest, policy_name)
        if run is None or self.path is None:
            return None
        table = (
            self._table
            if self._table is not None
            else read_table(self._store, self.path).combine_chunks()
        )
        self._table = table
        return table.slice(*run)
