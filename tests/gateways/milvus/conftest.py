"""Stores and collections that are made once: sealing one on a real server takes seconds."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytest

from platform_pipelines.gateways.milvus.store import MilvusStore, local_store
from platform_pipelines.gateways.vector_store import CollectionSpec, Row
from tests.servers.milvus_server import milvus_server

DIMENSION = 16
BACKENDS = ["lite", pytest.param("server", marks=pytest.mark.server)]
QUOTED_TENANTS = (
    'say "hi"', "it's", "back\\slash", "line\nbreak", "tab\there", "한국 팀", "%", 'x" or tenant != "',
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
    store.seal(spec, timeout_seconds=60)
    return Sealed(spec, rows)


@pytest.fixture(scope="session", params=BACKENDS)
def store(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[MilvusStore]:
    """Milvus Lite behind its local server, or a real Milvus."""
    if request.param == "lite":
        folder = tmp_path_factory.mktemp("milvus-lite")
        opened = local_store(folder, timeout_seconds=30, idle_seconds=0.2)
    else:
        opened = MilvusStore(uri=milvus_server(), token=None, timeout_seconds=60)
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def lite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MilvusStore]:
    """Milvus Lite behind its local server."""
    folder = tmp_path_factory.mktemp("milvus-lite-only")
    opened = local_store(folder, timeout_seconds=30, idle_seconds=0.2)
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def first(store: MilvusStore) -> Sealed:
    """COSINE, 300 rows; the last eight belong to tenants whose names need quoting."""
    vectors = unit_vectors(300)
    rows = [make_row(number, vector) for number, vector in enumerate(vectors[:-8])]
    for offset, tenant in enumerate(QUOTED_TENANTS):
        rows.append(make_row(292 + offset, vectors[292 + offset], tenant=tenant))
    return fill(store, "first", rows)


@pytest.fixture(scope="session")
def second(store: MilvusStore) -> Sealed:
    """L2, 40 rows of other documents."""
    vectors = unit_vectors(40, seed=1)
    rows = [
        make_row(number, vector, chunk_id=f"second-{number}", document_key="second")
        for number, vector in enumerate(vectors)
    ]
    return fill(store, "second", rows, metric="L2")
