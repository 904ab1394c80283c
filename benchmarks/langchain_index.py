"""LangChain's `index()` with its record manager on SQLite, over a thin vector store of our own.

Its own Milvus store would make another schema; this one inserts as the floor does, which is never
slower. `cleanup="full"` removes documents that are gone, as the product does.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Self

from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.vectorstores import VectorStore

from benchmarks.contestant import BATCH_ROWS, embedder, read_documents, splitter
from benchmarks.milvus_index import MilvusIndex, row, searched


class LangChainIndex:
    """Read and split everything, then `index()`."""

    name = "langchain"

    def __init__(self, corpus: Path, home: Path, uri: str) -> None:
        self._corpus = corpus
        self._records = f"sqlite:///{home / 'records.sqlite'}"
        self._uri = uri

    def refresh(self) -> int:
        """See `Contestant`."""
        from langchain_classic.indexes import SQLRecordManager
        from langchain_core.indexing import index

        records = SQLRecordManager("benchmark", db_url=self._records)
        records.create_schema()
        collection = MilvusIndex(self._uri, "langchain")
        index(
            self._documents(),
            records,
            _Store(collection),
            cleanup="full",
            source_id_key="source",
            batch_size=BATCH_ROWS,
            key_encoder="sha256",
        )
        return collection.finish()

    def _documents(self) -> Iterator[Document]:
        split = splitter()
        for key, title, text in read_documents(self._corpus):
            metadata = {"source": key, "title": title}
            for part in split.split_text(text):
                yield Document(page_content=part, metadata=metadata)


class _Store(VectorStore):
    """As much of a vector store as `index()` asks for."""

    def __init__(self, collection: MilvusIndex) -> None:
        self._collection = collection
        self._embedder = embedder()

    def add_documents(self, documents: list[Document], **kwargs: Any) -> list[str]:
        ids: Sequence[str] = kwargs["ids"]
        titles = [one.metadata["title"] for one in documents]
        texts = [one.page_content for one in documents]
        pairs = zip(titles, texts, strict=True)
        vectors = self._embedder.embed_passages([searched(*pair) for pair in pairs])
        self._collection.insert(
            [
                row(i, one.metadata["source"], title=title, text=text, vector=vector)
                for i, one, title, text, vector in zip(
                    ids, documents, titles, texts, vectors, strict=True
                )
            ]
        )
        return list(ids)

    def delete(self, ids: list[str] | None = None, **kwargs: Any) -> bool:
        del kwargs
        self._collection.delete(ids or ())
        return True

    def similarity_search(self, query: str, k: int = 4, **kwargs: Any) -> list[Document]:
        raise NotImplementedError

    @classmethod
    def from_texts(
        cls,
        texts: Iterable[str],
        embedding: Embeddings,
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: list[str] | None = None,
        **kwargs: Any,
    ) -> Self:
        raise NotImplementedError
