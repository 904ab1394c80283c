"""A revision in memory: an embedder of known directions and a store that records what is asked."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from platform_pipelines.core.knowledge_base.revision import EmbedRecipe, Revision, SearchRecipe
from platform_pipelines.gateways.vector_store import Hit
from platform_pipelines.stages.knowledge_base.retrieve import Retriever


def hit(name: str, score: float, text: str, language: str = "en", place: str = "{}") -> Hit:
    return Hit(name, score, f"{name}.md", text, f"Title of {name}", place, language, "markdown")


class WordEmbedder:
    """Vectors of words: equal texts are one, texts that share words are near. Counts its calls."""

    name, digest, dimension, window_tokens = "words", "w", 64, 512

    def __init__(self) -> None:
        self.passages: list[list[str]] = []
        self.queries: list[list[str]] = []

    def embed_passages(self, texts: Sequence[str]) -> Any:
        self.passages.append(list(texts))
        return self._vectors(texts)

    def embed_queries(self, texts: Sequence[str]) -> Any:
        self.queries.append(list(texts))
        return self._vectors(texts)

    def _vectors(self, texts: Sequence[str]) -> Any:
        matrix = np.zeros((len(texts), self.dimension), dtype=np.float32)
        for row, text in enumerate(texts):
            for word in text.lower().replace("?", " ").replace(".", " ").split():
                matrix[row, sum(map(ord, word)) % self.dimension] += 1.0
        return matrix / np.maximum(np.linalg.norm(matrix, axis=1, keepdims=True), 1e-6)


@dataclass
class ListedStore:
    """A store whose every search finds the same; `asked` has each call's arguments."""

    dense: Sequence[Hit] = ()
    words: Sequence[Hit] = ()
    asked: list[tuple[str, Any, dict[str, Any]]] = field(default_factory=list)

    def search_dense(self, target: str, vectors: Any, **asked: Any) -> list[list[Hit]]:
        self.asked.append(("dense", target, asked))
        return [list(self.dense[: asked["k"]]) for _ in range(len(vectors))]

    def search_keywords(self, target: str, keywords: Sequence[str], **asked: Any):
        self.asked.append(("words", list(keywords), asked))
        return [list(self.words[: asked["k"]]) for _ in keywords]


def retriever(store: ListedStore, *, keyword: bool = True, **index: Any) -> Retriever:
    defaults = {"dense_weight": 1.0, "keyword_weight": 1.0, "rank_constant": 10}
    revision = Revision(
        name="kb",
        chunks_digest="c",
        embedder_digest="w",
        index={**defaults, "keyword": keyword, "search_parameters": {"ef": 64}, **index},
        rows=1,
        documents=1,
        dimension=64,
        chunks=(),
        vectors=(),
        declaration={"name": "kb", "source": {"url": "file:///x"}, "tenant": "t"},
        notes={},
        recipe=SearchRecipe("t", 1, EmbedRecipe("hash", "words")),
    )
    return Retriever(store, WordEmbedder(), revision, "kb_live")  # type: ignore[arg-type]
