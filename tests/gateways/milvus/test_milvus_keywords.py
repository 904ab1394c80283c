"""BM25 over our own tokens on Milvus Lite, and its absence on Milvus 2.3."""

import pytest

from platform_pipelines.core.knowledge_base.keywords import keyword_text
from platform_pipelines.errors import CapabilityError, MissingTenantError
from platform_pipelines.gateways.milvus.store import MilvusStore
from platform_pipelines.gateways.vector_store import CollectionSpec
from tests.gateways.milvus.rows import DIMENSION, Sealed, fill, make_row, unit_vectors
from tests.servers.milvus_server import milvus_server

TEXTS = (
    "서비스수준지표는 분기마다 검토한다",
    "장애 대응 절차와 비상 연락망",
    "set kube-proxy and max_connections before the rollout",
    "kube dashboards and a reverse proxy",
)


@pytest.fixture(scope="module")
def worded(lite: MilvusStore) -> Sealed:
    """Four chunks of one tenant and a copy of the first of another."""
    vectors = unit_vectors(5)
    rows = [
        make_row(number, vectors[number], text=text, keywords=keyword_text(text))
        for number, text in enumerate(TEXTS)
    ]
    rows.append(make_row(4, vectors[4], tenant="other", keywords=keyword_text(TEXTS[0])))
    return fill(lite, "worded", rows, keyword=True)


def best(store: MilvusStore, query: str) -> list[int]:
    found = store.search_keywords("worded", [keyword_text(query)], k=5, tenant="default")
    return [int(hit.chunk_id, 16) for hit in found[0]]


@pytest.mark.usefixtures("worded")
def test_a_korean_query_finds_its_compound_with_particles(lite: MilvusStore) -> None:
    """`서비스 수준 지표를` shares no white-space word with `서비스수준지표는`, but bigrams."""
    assert best(lite, "서비스 수준 지표를")[0] == 0
    assert best(lite, "연락망은?") == [1]


@pytest.mark.usefixtures("worded")
def test_a_whole_identifier_outranks_its_parts(lite: MilvusStore) -> None:
    """The server's analyzer must not split `kube-proxy`, which our tokens keep beside its parts."""
    assert best(lite, "kube-proxy") == [2, 3]


@pytest.mark.usefixtures("worded")
def test_many_keyword_queries_keep_their_places(lite: MilvusStore) -> None:
    """Empty queries find nothing and do not shift the answers of the others."""
    queries = ["", keyword_text("max_connections"), " ", keyword_text("비상")] * 100
    found = lite.search_keywords("worded", queries, k=1, tenant="default")
    assert [len(hits) for hits in found] == [0, 1, 0, 1] * 100
    assert {found[1][0].chunk_id, found[3][0].chunk_id} == {f"{2:032x}", f"{1:032x}"}


@pytest.mark.usefixtures("worded")
def test_keyword_hits_are_the_tenants_own_and_share_a_word(lite: MilvusStore) -> None:
    """A chunk with score 0 is no evidence."""
    (own,) = lite.search_keywords("worded", [keyword_text("지표")], k=5, tenant="other")
    assert [hit.chunk_id for hit in own] == [f"{4:032x}"]
    assert own[0].score > 0
    assert best(lite, "unrelated") == []
    with pytest.raises(MissingTenantError):
        lite.search_keywords("worded", ["지표"], k=5, tenant="")


@pytest.mark.server
def test_a_server_without_bm25_refuses_a_keyword_collection() -> None:
    """Milvus 2.3 accepts the schema, forgets its function, and then refuses every row."""
    store = MilvusStore(uri=milvus_server(), token=None, timeout_seconds=60)
    spec = CollectionSpec("worded", DIMENSION, "COSINE", "FLAT", keyword=True)
    with pytest.raises(CapabilityError, match="BM25"):
        store.create(spec)
    assert store.collections("worded") == []
    store.close()
