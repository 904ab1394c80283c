"""Reciprocal rank fusion: known scores, deterministic ties, weights that are what they say."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from platform_pipelines.core.knowledge_base.fusion import level_languages, reciprocal_rank_fusion
from platform_pipelines.errors import ConfigurationError

RANKINGS = st.lists(st.lists(st.sampled_from("abcdef"), unique=True), max_size=4)


def test_scores_are_those_of_the_paper() -> None:
    """sum of 1 / (60 + rank)."""
    fused = reciprocal_rank_fusion([["a", "b"], ["b", "c"]], limit=10)
    assert fused == [
        ("b", pytest.approx(1 / 62 + 1 / 61)),
        ("a", pytest.approx(1 / 61)),
        ("c", pytest.approx(1 / 62)),
    ]


def test_ties_go_to_the_better_rank_and_then_to_the_id() -> None:
    """Two runs that differ in the order of ties are two results for one index."""
    assert [i for i, _ in reciprocal_rank_fusion([["b"], ["a"]], limit=2)] == ["a", "b"]
    # Weight 2 at rank 62 and weight 1 at rank 1 are one score (2/122 = 1/61).
    long = [f"x{i:02}" for i in range(61)] + ["deep"]
    fused = reciprocal_rank_fusion([long, ["a"]], weights=[2.0, 1.0], limit=99)
    order = [i for i, _ in fused]
    assert order.index("a") < order.index("deep")


def test_weight_zero_leaves_a_ranking_out() -> None:
    """A declared weight of 0 means no keyword search, not a tie-breaker of score 0."""
    fused = reciprocal_rank_fusion([["a"], ["b"]], weights=[1.0, 0.0], limit=5)
    assert [i for i, _ in fused] == ["a"]


def test_a_repeated_id_counts_once() -> None:
    """A search that returns a chunk twice must not lift it."""
    once = reciprocal_rank_fusion([["a", "b"]], limit=5)
    assert reciprocal_rank_fusion([["a", "a", "b", "a"]], limit=5) == once


@pytest.mark.parametrize("weights", [[1.0], [1.0, -1.0], [1.0, math.nan], [math.inf, 1.0]])
def test_weights_that_do_not_fit_are_refused(weights: list[float]) -> None:
    """zip() would silently leave the last ranking out."""
    with pytest.raises(ConfigurationError, match="weights"):
        reciprocal_rank_fusion([["a"], ["b"]], weights=weights, limit=5)


@pytest.mark.parametrize(("k", "limit"), [(0, 5), (60, 0)])
def test_k_and_limit_are_at_least_one(k: int, limit: int) -> None:
    """k = -1 divides by zero at rank 1; limit 0 answers nothing."""
    with pytest.raises(ConfigurationError, match="at least 1"):
        reciprocal_rank_fusion([["a"]], k=k, limit=limit)


@given(RANKINGS, st.randoms(use_true_random=False))
def test_the_order_of_the_rankings_does_not_matter(rankings, random) -> None:
    """Floating-point sums depend on their order unless they are exact."""
    shuffled = list(rankings)
    random.shuffle(shuffled)
    fused = reciprocal_rank_fusion(rankings, limit=99)
    assert reciprocal_rank_fusion(shuffled, limit=99) == fused


@given(RANKINGS, st.integers(1, 8))
def test_every_id_once_best_first_and_no_more_than_the_limit(rankings, limit: int) -> None:
    """What a caller may rely on."""
    fused = reciprocal_rank_fusion(rankings, limit=limit)
    ids, scores = [i for i, _ in fused], [s for _, s in fused]
    assert len(set(ids)) == len(ids) == min(limit, len({i for r in rankings for i in r}))
    assert scores == sorted(scores, reverse=True)


def leveled(own: list[float], other: list[float], language: str = "en") -> list[str]:
    hits = [(f"e{i}", s, "en") for i, s in enumerate(own)]
    hits += [(f"k{i}", s, "ko") for i, s in enumerate(other)]
    hits.sort(key=lambda hit: -hit[1])
    return [item for item, _ in level_languages(hits, language)]


def test_an_answer_in_the_other_language_is_not_crowded_out() -> None:
    """All English texts are nearer to an English question than the Korean answer is."""
    own = [0.86 - 0.001 * i for i in range(30)]
    other = [0.845, *[0.80 - 0.001 * i for i in range(29)]]
    assert leveled(own, other)[0] == "k0"


def test_between_equals_the_questions_language_wins() -> None:
    """The whole difference would be too much: an answer in the question's language is preferred."""
    shape = [0.04, *[-0.001 * i for i in range(29)]]
    assert leveled([0.85 + s for s in shape], [0.80 + s for s in shape])[0] == "e0"


def test_a_language_that_is_nearer_anyway_is_not_pushed_down() -> None:
    """Only raised, never lowered."""
    own, other = [0.80 - 0.001 * i for i in range(20)], [0.90 - 0.001 * i for i in range(20)]
    assert leveled(own, other)[0] == "k0"
    hits = [("k", 0.9, "ko"), ("e", 0.8, "en")]
    assert level_languages(hits, "en") == [("k", 0.9), ("e", 0.8)]


def test_too_few_hits_of_a_language_leave_it_where_it_is() -> None:
    """The fourth best of four is no background."""
    assert leveled([0.9 - 0.01 * i for i in range(20)], [0.7] * 4)[-4:] == ["k0", "k1", "k2", "k3"]


@given(
    st.lists(st.tuples(st.floats(-1, 1), st.sampled_from(["ko", "en", "und"])), max_size=60),
    st.sampled_from(["ko", "en", "und", "fr"]),
)
def test_levelling_keeps_every_hit_and_the_order_within_a_language(scored, language: str) -> None:
    """A list of one language comes out as it went in."""
    hits = [
        (str(i), s, spoken) for i, (s, spoken) in enumerate(sorted(scored, key=lambda x: -x[0]))
    ]
    found = [item for item, _ in level_languages(hits, language)]
    assert sorted(found) == sorted(item for item, _, _ in hits)
    for spoken in ("ko", "en", "und"):
        before = [item for item, _, kind in hits if kind == spoken]
        assert [item for item in found if item in set(before)] == before
