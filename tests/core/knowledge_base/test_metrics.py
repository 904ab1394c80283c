"""Retrieval metrics: known values, bounds, and undefined that stays undefined."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from platform_pipelines.core.knowledge_base.metrics import (
    METRICS,
    hit_at_k,
    ndcg_at_k,
    precision_at_k,
    recall_at_k,
    reciprocal_rank,
    retrieval_scores,
)
from platform_pipelines.errors import ConfigurationError, EvidenceError

IDS = st.lists(st.sampled_from("abcdefghij"), unique=True)


def test_values_worked_out_by_hand() -> None:
    """Ranks 2 and 4 of 4 are relevant, one relevant chunk was not retrieved."""
    scores = retrieval_scores(list("xaybz"), {"a", "b", "c"}, k=4)
    ideal = 1 + 1 / math.log2(3) + 1 / 2
    assert scores == {
        "hit_at_1": 0.0,
        "hit_at_k": 1.0,
        "mrr": 0.5,
        "ndcg": pytest.approx((1 / math.log2(3) + 1 / math.log2(5)) / ideal),
        "context_precision": 0.5,
        "context_recall": pytest.approx(2 / 3),
    }
    assert tuple(scores) == METRICS


@pytest.mark.parametrize(
    "metric", [hit_at_k, reciprocal_rank, ndcg_at_k, precision_at_k, recall_at_k]
)
def test_nothing_relevant_is_undefined(metric) -> None:
    """A stale question scored 0 or 1 would move the mean without meaning anything."""
    assert metric(["a"], [], k=3) is None


def test_an_empty_result_found_nothing_and_its_precision_is_undefined() -> None:
    """0/0 is no share; what was not found was not found."""
    assert retrieval_scores([], ["a"], k=3) == {
        "hit_at_1": 0.0,
        "hit_at_k": 0.0,
        "mrr": 0.0,
        "ndcg": 0.0,
        "context_precision": None,
        "context_recall": 0.0,
    }


@pytest.mark.parametrize(
    "metric", [hit_at_k, reciprocal_rank, ndcg_at_k, precision_at_k, recall_at_k]
)
def test_a_cut_below_one_is_refused(metric) -> None:
    """k = 0 scores every system 0."""
    with pytest.raises(ConfigurationError, match="k is less than 1"):
        metric(["a"], ["a"], k=0)


def test_a_chunk_retrieved_twice_is_refused() -> None:
    """An index with duplicate rows reached an nDCG above 1."""
    with pytest.raises(EvidenceError, match="twice"):
        retrieval_scores(["a", "b", "a"], ["a"], k=3)


@given(IDS, st.sets(st.sampled_from("abcdefghij"), min_size=1), st.integers(1, 12))
def test_every_score_is_a_share(retrieved: list[str], relevant: set[str], k: int) -> None:
    """A score outside 0..1 passes any floor."""
    for score in retrieval_scores(retrieved, relevant, k=k).values():
        assert score is None or 0.0 <= score <= 1.0


@given(IDS, st.sets(st.sampled_from("abcdefghij"), min_size=1), st.integers(1, 11))
def test_a_longer_cut_never_finds_less(retrieved: list[str], relevant: set[str], k: int) -> None:
    """hit, reciprocal rank and recall grow with k."""
    for metric in (hit_at_k, reciprocal_rank, recall_at_k):
        shorter, longer = (metric(retrieved, relevant, k=n) for n in (k, k + 1))
        assert shorter is not None
        assert longer is not None
        assert longer >= shorter


@given(st.lists(st.sampled_from("abcdefghij"), unique=True, min_size=1))
def test_a_perfect_order_has_perfect_scores(ids: list[str]) -> None:
    """The best order is 1, exactly: floors of 1.0 must be reachable."""
    scores = retrieval_scores([*ids, "x", "y"], ids, k=len(ids))
    assert set(scores.values()) == {1.0}
