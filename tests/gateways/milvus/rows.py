"""Rows and sealed collections for the tests of Milvus."""

from dataclasses import dataclass

import numpy as np

from platform_pipelines.gateways.milvus.store import MilvusStore
from platform_pipelines.gateways.vector_store import CollectionSpec, Row

DIMENSION = 16
QUOTED_TENANTS = (
    'say "hi"', "it's", "back\\slash", "line\nbreak", "tab\there", "한국 팀", "%",
    'x" or tenant != "',
)  # fmt: skip


@dataclass(frozen=True)
class Sealed:
    """A searchable collection and the rows it was made of."""

    spec: CollectionSpec
    rows: list[Row]

    @property
    def matrix(self) -> "np.ndarray":
        return np.stack([row.vector for row in self.rows])


def unit_vectors(count: int, *, seed: int = 0, dimension: int = DIMENSION) -> "np.ndarray":
    vectors = np.random.default_rng(seed).normal(size=(count, dimension)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def make_row(number: int, vector: "np.ndarray", **fields: str) -> Row:
    known = {
        "chunk_id": f"{number:032x}", "document_key": f"docs/{number}.md", "tenant": "default",
        "text": f"장애 대응 절차 {number}", "title": "운영 안내서", "place": '{"page": 1}',
        "language": "ko", "document_type": "markdown", "keywords": f"word{number}",
    }  # fmt: skip
    return Row(**{**known, **fields}, vector=vector)


def fill(
    store: MilvusStore, name: str, rows: list[Row], *, metric: str = "COSINE", keyword: bool = False
) -> Sealed:
    spec = CollectionSpec(
        name=name,
        dimension=len(rows[0].vector),
        metric=metric,
        index_kind="FLAT",
        keyword=keyword,
    )
    store.create(spec)
    store.insert(name, rows)
    store.seal(spec, timeout_seconds=120)
    return Sealed(spec, rows)
