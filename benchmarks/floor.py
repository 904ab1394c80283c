"""The floor: what the work costs with nothing around it. One process, no state, no recovery."""

from pathlib import Path
from typing import Any

from benchmarks.contestant import BATCH_ROWS, embedder, name_of, read_documents, splitter
from benchmarks.milvus_index import MilvusIndex, row, searched

Chunk = tuple[str, str, str]  # key, title, text


class Floor:
    """Read, split, embed and insert everything."""

    name = "floor"

    def __init__(self, corpus: Path, home: Path, uri: str) -> None:
        del home
        self._corpus = corpus
        self._uri = uri
        self._embedder = embedder()

    def refresh(self) -> int:
        """See `Contestant`."""
        index = MilvusIndex(self._uri, "floor")
        split = splitter().split_text
        batch: list[Chunk] = []
        for key, title, text in read_documents(self._corpus):
            batch.extend((key, title, part) for part in split(text))
            if len(batch) >= BATCH_ROWS:
                index.insert(self._rows(batch))
                batch = []
        if batch:
            index.insert(self._rows(batch))
        return index.finish()

    def _rows(self, batch: list[Chunk]) -> list[dict[str, Any]]:
        vectors = self._embedder.embed_passages([searched(t, text) for _, t, text in batch])
        return [
            row(name_of(key, text), key, title=title, text=text, vector=vector)
            for (key, title, text), vector in zip(batch, vectors, strict=True)
        ]
