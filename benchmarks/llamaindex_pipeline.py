"""LlamaIndex's `IngestionPipeline` with a persisted docstore, over a thin vector store of our own.

Its own Milvus store wants pymilvus 2 and another schema. The transformation cache is off: with a
docstore it only costs time, because unchanged documents never reach it.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from llama_index.core.embeddings import BaseEmbedding
from llama_index.core.ingestion import DocstoreStrategy, IngestionPipeline
from llama_index.core.node_parser import LangchainNodeParser
from llama_index.core.schema import BaseNode, Document, MetadataMode
from llama_index.core.storage.docstore import SimpleDocumentStore
from llama_index.core.vector_stores.types import (
    BasePydanticVectorStore,
    VectorStoreQuery,
    VectorStoreQueryResult,
)
from pydantic import PrivateAttr

from benchmarks.contestant import BATCH_ROWS, embedder, read_documents, splitter
from benchmarks.milvus_index import MilvusIndex, row


class LlamaIndexPipeline:
    """Read everything, then run the pipeline; `upserts` by document id."""

    name = "llamaindex"

    def __init__(self, corpus: Path, home: Path, uri: str) -> None:
        self._corpus = corpus
        self._docstore = home / "docstore.json"
        self._uri = uri

    def refresh(self) -> int:
        """See `Contestant`."""
        collection = MilvusIndex(self._uri, "llamaindex")
        docstore = SimpleDocumentStore()
        if self._docstore.exists():
            docstore = SimpleDocumentStore.from_persist_path(str(self._docstore))
        pipeline = IngestionPipeline(
            transformations=[LangchainNodeParser(splitter()), _Embedder()],
            docstore=docstore,
            docstore_strategy=DocstoreStrategy.UPSERTS,
            vector_store=_Store(collection),
            disable_cache=True,
        )
        pipeline.run(documents=self._documents())
        if collection.changed:
            docstore.persist(str(self._docstore))
        return collection.finish()

    def _documents(self) -> list[Document]:
        return [
            Document(id_=key, text=text, metadata={"title": title}, metadata_template="{value}")
            for key, title, text in read_documents(self._corpus)
        ]


class _Embedder(BaseEmbedding):
    """The free embedder behind LlamaIndex's interface."""

    embed_batch_size: int = BATCH_ROWS
    _own: Any = PrivateAttr(default_factory=embedder)

    def _get_text_embedding(self, text: str) -> list[float]:
        return self._get_text_embeddings([text])[0]

    def _get_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        return self._own.embed_passages(texts).tolist()

    def _get_query_embedding(self, query: str) -> list[float]:
        return self._get_text_embeddings([query])[0]

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return self._get_query_embedding(query)


class _Store(BasePydanticVectorStore):
    """As much of a vector store as the pipeline asks for."""

    stores_text: bool = True
    _collection: Any = PrivateAttr()

    def __init__(self, collection: MilvusIndex) -> None:
        super().__init__()
        self._collection = collection

    @property
    def client(self) -> Any:
        return self._collection

    def add(self, nodes: Sequence[BaseNode], **kwargs: Any) -> list[str]:
        del kwargs
        for start in range(0, len(nodes), BATCH_ROWS):
            self._collection.insert([_row(n) for n in nodes[start : start + BATCH_ROWS]])
        return [node.node_id for node in nodes]

    def delete(self, ref_doc_id: str, **delete_kwargs: Any) -> None:
        del delete_kwargs
        self._collection.delete_document(ref_doc_id)

    def query(self, query: VectorStoreQuery, **kwargs: Any) -> VectorStoreQueryResult:
        raise NotImplementedError


def _row(node: BaseNode) -> dict[str, Any]:
    return row(
        node.node_id,
        node.ref_doc_id or "",
        title=node.metadata["title"],
        text=node.get_content(MetadataMode.NONE),
        vector=node.embedding,
    )
