"""Stores and collections that are made once: sealing one on a real server takes seconds."""

from collections.abc import Iterator

import pytest

from platform_pipelines.gateways.milvus.store import MilvusStore
from tests.gateways.milvus.local import local_store
from tests.gateways.milvus.rows import QUOTED_TENANTS, Sealed, fill, make_row, unit_vectors
from tests.servers.milvus_server import milvus_server

BACKENDS = ["lite", pytest.param("server", marks=pytest.mark.server)]


@pytest.fixture(scope="session", params=BACKENDS)
def store(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[MilvusStore]:
    """Milvus Lite behind its local server, or a real Milvus."""
    if request.param == "lite":
        folder = tmp_path_factory.mktemp("milvus-lite")
        opened = local_store(folder)
    else:
        opened = MilvusStore(uri=milvus_server(), token=None, timeout_seconds=60)
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def lite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MilvusStore]:
    """Milvus Lite behind its local server."""
    folder = tmp_path_factory.mktemp("milvus-lite-only")
    opened = local_store(folder)
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
