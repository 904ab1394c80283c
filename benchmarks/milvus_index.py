"""The index of the floor and of the peers: the product's schema, index kind and local Milvus.

Rows go in by `MilvusClient.insert`, in batches, without any of the product's checks. It is ready
when it has answered one search of each kind: Milvus Lite builds its keyword index at the first.
"""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from benchmarks.contestant import BATCH_ROWS, DIMENSION
from platform_pipelines.core.knowledge_base.keywords import keyword_text
from platform_pipelines.gateways.milvus.schema import keyword_words
from platform_pipelines.gateways.milvus.store import MilvusStore
from platform_pipelines.gateways.vector_store import CollectionSpec

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

KIND = "FLAT"  # what `auto` takes on Milvus Lite up to 50,000 rows
SECONDS = 600.0


class MilvusIndex:
    """One collection on a running Milvus, made when it is not there."""

    def __init__(self, uri: str, name: str) -> None:
        from pymilvus import MilvusClient

        self._client = MilvusClient(uri=uri)
        self._store = MilvusStore(uri=uri, token=None, timeout_seconds=SECONDS)
        self._spec = CollectionSpec(
            name=name, dimension=DIMENSION, metric="COSINE", index_kind=KIND, keyword=True
        )
        self.changed = False
        if not self._client.has_collection(name):
            self._store.create(self._spec)

    def insert(self, rows: Sequence[dict[str, Any]]) -> None:
        """Insert, a batch at a time."""
        self.changed = True
        for start in range(0, len(rows), BATCH_ROWS):
            self._client.insert(self._spec.name, list(rows[start : start + BATCH_ROWS]))

    def delete(self, ids: Iterable[str]) -> None:
        """Delete chunks by id."""
        self.changed = True
        self._client.delete(self._spec.name, ids=list(ids))

    def delete_document(self, key: str) -> None:
        """Delete a document's chunks."""
        self.changed = True
        self._client.delete(self._spec.name, filter=f'document_key == "{key}"')

    def finish(self) -> int:
        """Flush, index, load and search what was changed; the rows that the index holds."""
        if self.changed:
            self._store.seal(self._spec, timeout_seconds=SECONDS)
        rows = self._store.count(self._spec.name)
        self._store.close()
        self._client.close()
        return rows


def stored_characters(uri: str) -> int:
    """Of the texts in all collections of a Milvus: whether everybody indexed the same."""
    from pymilvus import MilvusClient

    client = MilvusClient(uri=uri)
    total = 0
    for name in client.list_collections():
        pages = client.query_iterator(name, batch_size=BATCH_ROWS, output_fields=["text"])
        while page := pages.next():
            total += sum(len(one["text"]) for one in page)
        pages.close()
    client.close()
    return total


def row(
    chunk_id: str, key: str, *, title: str, text: str, vector: "npt.NDArray[np.float32]"
) -> dict[str, Any]:
    """A row of the product's schema, its keywords made as the product makes them."""
    return {
        "chunk_id": chunk_id,
        "document_key": key,
        "tenant": "default",
        "text": text,
        "title": title,
        "place": "{}",
        "language": "und",
        "document_type": "markdown",
        "keywords": keyword_words(keyword_text(searched(title, text))),
        "vector": vector,
    }


def searched(title: str, text: str) -> str:
    """What is embedded and found by its words."""
    return f"{title}\n\n{text}"
