"""BM25 over our own tokens on Milvus Lite, and its absence on Milvus 2.3."""

import math

import pytest

from platform_pipelines.core.knowledge_base.keywords import keyword_text
from platform_pipelines.errors import CapabilityError, MissingTenantError
from platform_pipelines.gateways.milvus.store import QUERY_PAGE_ROWS, MilvusStore
from platform_pipelines.gateways.vector_store import CollectionSpec, Row
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


def scored(store: MilvusStore, name: str, query: str) -> list[tuple[str, float]]:
    """All that a query finds, with scores; equal ones in the order of their ids."""
    found = store.search_keywords(name, [keyword_text(query)], k=200, tenant="default")
    return sorted((hit.chunk_id, round(hit.score, 5)) for hit in found[0])


def test_what_came_later_is_scored_as_if_it_had_been_there(lite: MilvusStore) -> None:
    """A recycled index and a fresh one of the same rows: one score, whatever file a row is in.

    The later rows are rare words of a small file, and the deleted ones long and many: statistics of
    files, or of rows that are gone, give other scores.
    """
    vectors = unit_vectors(150)

    def row(number: int, text: str) -> Row:
        return make_row(number, vectors[number], text=text, keywords=keyword_text(text))

    gone = [row(n, f"quota report {'padding words ' * 9}{n}") for n in range(50)]
    stays = [row(n, f"quota of pool {n} in zone {n % 7}") for n in range(50, 120)]
    later = [
        row(n, f"incident report of pool {n}, long {'text ' * (n % 5)}") for n in range(120, 140)
    ]
    changed = fill(lite, "changed", [*gone, *stays], keyword=True)
    assert scored(lite, "changed", "quota report")
    lite.delete("changed", [one.chunk_id for one in gone])
    lite.insert("changed", later)
    lite.seal(changed.spec, timeout_seconds=60)
    fill(lite, "at_once", [*stays, *later], keyword=True)
    for query in ("quota of pool", "incident report", "zone 3", "text"):
        assert scored(lite, "changed", query) == scored(lite, "at_once", query) != []
    lite.unload("changed")
    lite.seal(changed.spec, timeout_seconds=60)
    assert scored(lite, "changed", "quota of pool") == scored(lite, "at_once", "quota of pool")


def test_keywords_are_scored_by_bm25(lite: MilvusStore) -> None:
    """Against the formula, computed here from the texts."""
    texts = ["alpha beta", "alpha alpha gamma delta", "beta", "alpha epsilon zeta eta theta"]
    vectors = unit_vectors(len(texts))
    rows = [make_row(n, vectors[n], text=t, keywords=t) for n, t in enumerate(texts)]
    fill(lite, "by_formula", rows, keyword=True)
    words = [text.split() for text in texts]
    mean = sum(map(len, words)) / len(words)

    def score(own: list[str], term: str) -> float:
        held = sum(term in one for one in words)
        rarity = math.log((len(words) - held + 0.5) / (held + 0.5) + 1)
        count = own.count(term)
        return rarity * count * 2.5 / (count + 1.5 * (0.25 + 0.75 * len(own) / mean))

    (hits,) = lite.search_keywords("by_formula", ["alpha beta"], k=10, tenant="default")
    found = {int(hit.chunk_id, 16): hit.score for hit in hits}
    expected = {n: score(own, "alpha") + score(own, "beta") for n, own in enumerate(words)}
    assert found == pytest.approx(expected, rel=1e-5)


def test_ids_are_listed_page_by_page_without_what_was_deleted(lite: MilvusStore) -> None:
    """More rows than a page, some of them deleted, some put in again."""
    vectors = unit_vectors(QUERY_PAGE_ROWS + 2_000, dimension=DIMENSION)
    rows = [make_row(number, vector) for number, vector in enumerate(vectors)]
    listed = fill(lite, "listed", rows)
    ids = [row.chunk_id for row in rows]
    lite.delete("listed", ids[:1500])
    lite.insert("listed", rows[:10])
    assert sorted(lite.chunk_ids("listed")) == sorted([*ids[:10], *ids[1500:]])
    lite.seal(listed.spec, timeout_seconds=60)
    assert sorted(lite.chunk_ids("listed")) == sorted([*ids[:10], *ids[1500:]])
    assert lite.count("listed") == len(ids) - 1490
