"""What every Milvus behind the gateway promises, Milvus Lite and a real server alike."""

import threading

import numpy as np
import pytest

from platform_pipelines.errors import (
    CapabilityError,
    ConflictError,
    DimensionError,
    IntegrityError,
    MissingTenantError,
    PlatformError,
    UnknownNameError,
)
from platform_pipelines.gateways.milvus.store import MilvusStore
from platform_pipelines.gateways.vector_store import CollectionSpec
from tests.gateways.milvus.rows import (
    DIMENSION,
    QUOTED_TENANTS,
    Sealed,
    fill,
    make_row,
    unit_vectors,
)


def plain_spec(name: str) -> CollectionSpec:
    return CollectionSpec(
        name=name, dimension=DIMENSION, metric="COSINE", index_kind="FLAT", keyword=False
    )


def test_a_sealed_collection_holds_exactly_what_was_inserted(
    store: MilvusStore, first: Sealed
) -> None:
    """`num_entities` and Bounded counts lag behind; the count is of a Strong query."""
    expected = {row.chunk_id for row in first.rows}
    assert store.count("first") == len(first.rows)
    found = list(store.chunk_ids("first"))
    assert len(found) == len(first.rows)
    assert set(found) == expected


def test_rows_alone_are_no_index(store: MilvusStore, first: Sealed) -> None:
    """A run that was killed before it sealed leaves a collection that may count as whole."""
    assert store.is_sealed(first.spec)
    spec = plain_spec("unsealed")
    store.create(spec)
    store.insert("unsealed", first.rows[:4])
    assert not store.is_sealed(spec)
    store.seal(spec, timeout_seconds=60)
    assert store.is_sealed(spec)
    store.drop("unsealed")


def test_vectors_come_back_as_they_were_stored(store: MilvusStore, first: Sealed) -> None:
    """Unknown ids are absent rather than an error; more than one page is read."""
    ids = [row.chunk_id for row in first.rows]
    found = store.vectors("first", [*ids, "unknown"])
    assert set(found) == set(ids)
    np.testing.assert_array_equal(np.stack([found[one] for one in ids]), first.matrix)


def test_search_equals_brute_force(store: MilvusStore, first: Sealed) -> None:
    """More queries than one call sends; the same chunks, order and scores as numpy's."""
    queries = unit_vectors(300, seed=2)
    shown = [row for row in first.rows if row.tenant == "default"]
    scores = queries @ np.stack([row.vector for row in shown]).T
    found = store.search_dense("first", queries, k=5, tenant="default", strong=True)
    assert len(found) == 300
    for hits, row in zip(found, scores, strict=True):
        best = np.argsort(-row)[:5]
        assert [hit.chunk_id for hit in hits] == [shown[place].chunk_id for place in best]
        np.testing.assert_allclose([hit.score for hit in hits], row[best], atol=1e-4)


def test_score_is_higher_for_better_with_l2(store: MilvusStore, second: Sealed) -> None:
    """Milvus gives L2 distances, lower for better: a rank fused with them would be upside down."""
    query = second.matrix[:1]
    (hits,) = store.search_dense("second", query, k=3, tenant="default")
    assert hits[0].chunk_id == "second-0"
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    (alone,) = store.search_dense("second", -query, k=1, tenant="default")
    assert alone[0].score < 0


def test_a_hit_carries_what_is_shown(store: MilvusStore, first: Sealed) -> None:
    """Text in Korean and the place's JSON come back byte for byte."""
    row = first.rows[7]
    (hits,) = store.search_dense("first", first.matrix[7:8], k=1, tenant="default")
    hit = hits[0]
    assert hit.score == pytest.approx(1, abs=1e-4)
    for name in ("chunk_id", "document_key", "text", "title", "place", "language"):
        assert getattr(hit, name) == getattr(row, name)
    assert hit.document_type == row.document_type


def test_k_may_exceed_the_rows(store: MilvusStore, second: Sealed) -> None:
    """A small corpus answers with what it has; search parameters too small for k are widened."""
    (hits,) = store.search_dense(
        "second", second.matrix[:1], k=100, tenant="default", search_parameters={"ef": 8}
    )
    assert len(hits) == 40


@pytest.mark.parametrize("tenant", QUOTED_TENANTS)
def test_a_tenant_sees_only_its_own_chunks(store: MilvusStore, first: Sealed, tenant: str) -> None:
    """Quotes and backslashes in a tenant's name must not end the filter."""
    (hits,) = store.search_dense("first", first.matrix[:1], k=10, tenant=tenant, strong=True)
    own = [row.chunk_id for row in first.rows if row.tenant == tenant]
    assert [hit.chunk_id for hit in hits] == own


def test_a_query_without_a_tenant_is_an_error(store: MilvusStore, first: Sealed) -> None:
    """Never a wider search."""
    with pytest.raises(MissingTenantError):
        store.search_dense("first", first.matrix[:1], k=1, tenant=" ")
    with pytest.raises(MissingTenantError):
        store.search_keywords("first", ["word1"], k=1, tenant="")


def test_a_query_of_another_dimension_is_refused(store: MilvusStore, first: Sealed) -> None:
    """The server's own words are an assertion of its C++ code, or a numpy broadcast."""
    with pytest.raises(DimensionError) as refused:
        store.search_dense("first", unit_vectors(1, dimension=8), k=1, tenant="default")
    assert (refused.value.stored, refused.value.expected) == (DIMENSION, 8)


def test_keywords_of_a_collection_without_them_are_refused(
    store: MilvusStore, first: Sealed
) -> None:
    """An empty list would look like an answer."""
    with pytest.raises(CapabilityError):
        store.search_keywords("first", ["word1"], k=1, tenant="default")


def test_an_unknown_collection_is_named(store: MilvusStore) -> None:
    """Every way in says so with the same type."""
    row = make_row(1, unit_vectors(1)[0])
    for call in (
        lambda: store.count("nowhere"),
        lambda: list(store.chunk_ids("nowhere")),
        lambda: store.vectors("nowhere", ["a"]),
        lambda: store.insert("nowhere", [row]),
        lambda: store.point_alias("nobody", "nowhere"),
        lambda: store.search_dense("nowhere", unit_vectors(1), k=1, tenant="default"),
    ):
        with pytest.raises(UnknownNameError):
            call()
    store.drop("nowhere")
    assert store.alias("nobody") is None


def test_a_collection_is_made_once_and_dropped(store: MilvusStore) -> None:
    """Milvus itself accepts the second creation of an equal collection."""
    store.create(plain_spec("once"))
    with pytest.raises(ConflictError):
        store.create(plain_spec("once"))
    assert store.collections("onc") == ["once"]
    store.drop("once")
    store.drop("once")
    assert store.collections("onc") == []


def test_a_chunk_id_is_inserted_once(store: MilvusStore) -> None:
    """A server keeps both rows of a key, Milvus Lite the last one: both are wrong here."""
    vectors = unit_vectors(3)
    rows = [make_row(number, vector) for number, vector in enumerate(vectors)]
    store.create(plain_spec("twice"))
    assert store.insert("twice", []) == 0
    with pytest.raises(IntegrityError):
        store.insert("twice", [rows[0], rows[1], rows[0]])
    assert store.insert("twice", rows[:2]) == 2
    with pytest.raises(IntegrityError):
        store.insert("twice", [rows[2], rows[1]])
    store.drop("twice")
    store.create(plain_spec("twice"))
    assert store.insert("twice", rows) == 3
    store.drop("twice")


def test_rows_that_do_not_fit_are_refused_by_name(store: MilvusStore) -> None:
    """Limits are bytes: 22,000 Korean syllables are 66,000. After a failed insert nobody knows
    what is stored, and the collection takes no more."""
    vector = unit_vectors(1)[0]
    bad = {
        CapabilityError: make_row(1, vector, text="가" * 22_000),
        MissingTenantError: make_row(2, vector, tenant=""),
        DimensionError: make_row(3, unit_vectors(1, dimension=8)[0]),
        IntegrityError: make_row(4, vector * np.float32("nan")),
    }
    for error, row in bad.items():
        store.create(plain_spec("misfits"))
        with pytest.raises(error, match=row.chunk_id):
            store.insert("misfits", [row])
        with pytest.raises(ConflictError):
            store.insert("misfits", [make_row(5, vector)])
        store.drop("misfits")


def test_an_alias_moves_between_collections(
    store: MilvusStore, first: Sealed, second: Sealed
) -> None:
    """Setting it twice is one setting; what it points to cannot be dropped, the rest can."""
    assert store.alias("moving") is None
    for target in (first.spec.name, first.spec.name, second.spec.name):
        store.point_alias("moving", target)
        assert store.alias("moving") == target
    with pytest.raises(ConflictError, match="moving"):
        store.drop(second.spec.name)
    with pytest.raises(ConflictError):
        store.drop("moving")
    with pytest.raises(UnknownNameError):
        store.point_alias("moving", "nowhere")
    assert store.alias("moving") == second.spec.name
    assert store.count("moving") == 40


def test_an_alias_does_not_hide_a_collection(
    store: MilvusStore, first: Sealed, second: Sealed
) -> None:
    """A release named like a collection would otherwise be unreachable."""
    with pytest.raises(ConflictError):
        store.point_alias(first.spec.name, second.spec.name)


def test_searches_see_one_side_of_an_alias_swap(
    store: MilvusStore, first: Sealed, second: Sealed
) -> None:
    """No search fails and none mixes two revisions while the alias moves under it."""
    store.point_alias("swapped", "first")
    stop, seen, failures = threading.Event(), set[frozenset[bool]](), list[Exception]()

    def search() -> None:
        while not stop.is_set():
            try:
                (hits,) = store.search_dense("swapped", first.matrix[:1], k=5, tenant="default")
                seen.add(frozenset(hit.document_key == "second" for hit in hits))
            except PlatformError as error:
                failures.append(error)

    searching = [threading.Thread(target=search) for _ in range(3)]
    for thread in searching:
        thread.start()
    for _ in range(20):
        store.point_alias("swapped", "second")
        store.point_alias("swapped", "first")
    stop.set()
    for thread in searching:
        thread.join()
    assert failures == []
    assert seen <= {frozenset({True}), frozenset({False})}


def test_counts_follow_deletes_and_later_rows(store: MilvusStore) -> None:
    """Sealing again is safe and makes later rows searchable."""
    vectors = unit_vectors(6, seed=3)
    rows = [make_row(number, vector) for number, vector in enumerate(vectors)]
    sealed = fill(store, "growing", rows[:4])
    store.insert("growing", rows[4:])
    store.seal(sealed.spec, timeout_seconds=60)
    store.seal(sealed.spec, timeout_seconds=60)
    (hits,) = store.search_dense("growing", vectors[5:6], k=1, tenant="default", strong=True)
    assert hits[0].chunk_id == rows[5].chunk_id
    with store._connection.use("delete behind the store's back") as client:
        client.delete("growing", ids=[rows[0].chunk_id, rows[1].chunk_id])
    assert store.count("growing") == 4
    assert rows[0].chunk_id not in set(store.chunk_ids("growing"))
    store.drop("growing")


def test_a_closed_store_opens_again(store: MilvusStore, second: Sealed) -> None:
    """A resource may be torn down twice, or used by a later step."""
    store.close()
    store.close()
    assert store.count("second") == len(second.rows)


def test_a_collection_says_for_whom_it_was_made(store: MilvusStore) -> None:
    """Nobody adopts or drops another platform's; one of an earlier version has no mark."""
    store.create(plain_spec("marked"), owner="a1b2")
    store.create(plain_spec("unmarked"))
    try:
        assert store.owner("marked") == "a1b2"
        assert store.owner("unmarked") is None
        with pytest.raises(UnknownNameError):
            store.owner("absent")
    finally:
        store.drop("marked")
        store.drop("unmarked")


def test_deleted_rows_are_gone_and_may_come_again(store: MilvusStore, first: Sealed) -> None:
    """What recycles a collection: it is unloaded, changed, sealed, and holds exactly the rest."""
    made = fill(store, "recycled", first.rows[:40])
    ids = [row.chunk_id for row in first.rows]
    try:
        store.unload("recycled")
        store.unload("recycled")
        assert not store.is_sealed(made.spec)
        store.delete("recycled", [*ids[:10], "absent"])
        store.delete("recycled", [])
        store.insert("recycled", first.rows[40:45])
        store.insert("recycled", first.rows[:2])
        store.seal(made.spec, timeout_seconds=120)
        assert store.is_sealed(made.spec)
        assert store.count("recycled") == 37
        assert set(store.chunk_ids("recycled")) == {*ids[:2], *ids[10:45]}
        hits = store.search_dense(
            "recycled", first.matrix[[5, 42]], k=1, tenant="default", strong=True
        )
        assert hits[0][0].chunk_id != ids[5]
        assert hits[1][0].chunk_id == ids[42]
    finally:
        store.drop("recycled")


def test_a_released_collection_is_loaded_again(store: MilvusStore) -> None:
    """A person freed memory, or a server restarted: readers must not see an outage for it."""
    vectors = unit_vectors(8, seed=11)
    rows = [make_row(number, vector) for number, vector in enumerate(vectors)]
    fill(store, "released", rows)
    store.unload("released")
    found = store.search_dense("released", vectors[3:4], k=1, tenant="default")
    assert found[0][0].chunk_id == rows[3].chunk_id
    store.drop("released")
