"""Extractive answers: quote what answers, in the question's language, or say that nothing does."""

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from platform_pipelines.core.answers import (
    DEFAULT_THRESHOLD,
    FEATURE_NAMES,
    AnswerFeatures,
    RetrievedChunk,
    SentenceCandidate,
    answer_features,
    content_terms,
    decide_answer,
    rank_sentences,
    sharp_terms,
    term_weights,
)
from platform_pipelines.core.calibration import Calibration


def words(text: str) -> list[str]:
    """A tokenizer as keyword_tokens is one: lower-cased words, Hangul as bigrams."""
    found = []
    for run in re.findall(r"[가-힣]+|[^\W가-힣]+", text.lower()):
        hangul = "가" <= run[0] <= "힣" and len(run) > 1
        found.extend((run[i : i + 2] for i in range(len(run) - 1)) if hangul else [run])
    return found


def sentence(text: str, similarity: float = 0.8, language: str = "en") -> SentenceCandidate:
    return SentenceCandidate("c1", text, similarity, language)


def quoted(question: str, *candidates: SentenceCandidate, language: str = "en", limit: int = 3):
    ranked = rank_sentences(question, candidates, language=language, tokens=words, limit=limit)
    return [r.candidate.sentence for r in ranked]


BATCH = "The batch pool has 100 GPUs and queues its work."
SERVE = "The serving pool has 50 GPUs for online models."
WEATHER = "Lunch in the canteen is served from noon on."


def test_the_sentence_with_the_questions_words_comes_first() -> None:
    """Similarities are nearly equal: `batch` decides, not the order of the document."""
    found = quoted("How many GPUs has the batch pool?", *map(sentence, (SERVE, WEATHER, BATCH)))
    assert found[0] == BATCH


def test_a_number_of_the_question_must_match_whole() -> None:
    """`50` is not in `150`: the wrong row of a price list is a wrong answer."""
    found = quoted(
        "Which pool has 50 GPUs?",
        sentence("This first pool has 150 GPUs available."),
        sentence("That other pool has 50 GPUs available."),
    )
    assert found[0].startswith("That other")


def test_the_questions_language_is_preferred_and_not_required() -> None:
    """A Korean question gets the Korean sentence where there is one, else the English one."""
    korean = sentence("배치 풀에는 GPU가 백 개 있고 작업을 대기열에 넣는다.", 0.85, "ko")
    english = sentence(BATCH, 0.85, "en")
    question = "배치 풀의 GPU는 몇 개인가요?"
    assert quoted(question, english, korean, language="ko")[0] == korean.sentence
    assert quoted(question, english, language="ko") == [BATCH]


@pytest.mark.parametrize("echo", ["How many GPUs has the batch pool?", "# GPUs of the batch pool"])
def test_a_question_or_a_heading_is_not_an_answer(echo: str) -> None:
    """The most similar sentence of a FAQ is the question itself."""
    found = quoted("How many GPUs has the batch pool?", sentence(echo, 0.85), sentence(BATCH, 0.85))
    assert found[0] == BATCH


def test_a_sentence_of_two_chunks_is_quoted_once() -> None:
    """Chunks overlap."""
    assert quoted("batch pool GPUs", sentence(BATCH), sentence(f"  {BATCH}")) == [BATCH]


def test_a_sentence_far_below_the_best_is_not_quoted() -> None:
    """Three sentences of which two are beside the point hide the answer."""
    found = quoted(
        "How many GPUs has the batch pool?", sentence(BATCH, 0.9), sentence(WEATHER, 0.8)
    )
    assert found == [BATCH]


def test_candidates_without_a_similarity_are_left_out() -> None:
    """NaN sorts anywhere."""
    assert quoted("batch pool", sentence(BATCH, math.nan), sentence(SERVE)) == [SERVE]
    assert quoted("batch pool", sentence(BATCH, math.nan)) == []


CANDIDATES = st.lists(
    st.builds(
        SentenceCandidate,
        st.just("c"),
        st.sampled_from([BATCH, SERVE, WEATHER, "풀은 백 개다.", "Short", "Why?", ""]),
        st.floats(allow_nan=True, allow_infinity=True, width=32),
        st.sampled_from(["ko", "en"]),
    ),
    max_size=8,
)


@given(st.text(max_size=30), CANDIDATES, st.integers(1, 4))
def test_any_candidates_give_a_short_ordered_list(question, candidates, limit: int) -> None:
    """Whatever was retrieved: at most `limit`, best first, each of them a candidate."""
    ranked = rank_sentences(question, candidates, language="en", tokens=words, limit=limit)
    scores = [r.score for r in ranked]
    assert len(ranked) <= limit
    assert scores == sorted(scores, reverse=True)
    assert all(r.candidate in candidates for r in ranked)
    assert len({" ".join(r.candidate.sentence.split()) for r in ranked}) == len(ranked)


def test_function_words_are_not_what_a_question_is_about() -> None:
    """`how many ... has the` stand in every chunk."""
    assert content_terms("How many GPUs has the batch pool?", words) == ("gpus", "batch", "pool")
    assert content_terms("배치 풀의 GPU", words) == ("배치", "풀의", "gpu")


def test_identifiers_and_numbers_are_sharp_and_plain_words_are_not() -> None:
    """What must match to the letter."""
    text = "Does kb_refresh on H100 keep GPU p99 under 1,500 ms in v2.1 for NodePool well?"
    assert sharp_terms(text) == ("kb_refresh", "h100", "gpu", "p99", "v2.1", "nodepool", "1500")
    assert sharp_terms("H100은 3시에 오나요") == ("h100", "3")
    assert sharp_terms("What is the capital?") == ()


def test_rare_terms_weigh_more_and_unknown_ones_most() -> None:
    """A term that no text holds is the strongest sign that the answer is not there."""
    weights = term_weights([{"pool", "gpu"}, {"pool"}, {"pool"}])
    assert weights.weight("pool") < weights.weight("gpu") < weights.weight("mars")
    assert weights.weight("pool") > 0


CHUNKS = [
    RetrievedChunk("c1", BATCH, 0.90),
    RetrievedChunk("c2", SERVE, 0.86),
    RetrievedChunk("c3", WEATHER, 0.80),
]


def features(question: str, chunks=CHUNKS) -> AnswerFeatures:
    candidates = [SentenceCandidate(c.chunk_id, c.text, c.similarity, "en") for c in chunks]
    return answer_features(question, chunks, candidates, tokens=words)


def test_features_of_an_answered_question_are_better_than_of_an_unanswered_one() -> None:
    """What calibration relies on."""
    known, unknown = features("GPUs of the batch pool"), features("Capital of Mongolia in 1999")
    assert known.chunk_coverage == pytest.approx(1.0)
    assert known.sentence_coverage == pytest.approx(1.0)
    assert unknown.chunk_coverage == 0.0
    assert (known.sharp_missing, unknown.sharp_missing) == (0.0, 1.0)
    assert known.support > unknown.support
    assert known.top_similarity == 0.90
    assert known.similarity_margin == pytest.approx(0.04)


def test_nothing_retrieved_has_the_worst_features() -> None:
    """An empty index knows nothing."""
    assert features("GPUs", []).vector() == (0.0, 0.0, 0.0, 0.0, 1.0, 0.0)
    assert not decide_answer(features("GPUs", []), None).answer


def test_a_question_of_function_words_alone_is_covered_by_nothing() -> None:
    """0 of 0 words found is not everything found."""
    assert features("what is it?").chunk_coverage == 0.0
    assert answer_features("pool", CHUNKS, [], tokens=words).sentence_coverage == 0.0


@given(st.text(max_size=60))
def test_features_are_finite_and_named(question: str) -> None:
    """Any text is a question that somebody may type."""
    vector = features(question).vector()
    assert len(vector) == len(FEATURE_NAMES)
    assert all(math.isfinite(v) for v in vector)


def test_without_a_calibration_the_default_wants_words_and_numbers() -> None:
    """Conservative: most of the words in one chunk, all of the numbers with them."""
    known = decide_answer(features("GPUs of the batch pool"), None)
    assert (known.answer, known.calibrated, known.threshold) == (True, False, DEFAULT_THRESHOLD)
    assert not decide_answer(features("GPUs of the batch pool in 1999"), None).answer
    assert not decide_answer(features("Capital of Mongolia"), None).answer


def calibration(bias: float) -> Calibration:
    size = len(FEATURE_NAMES)
    return Calibration(
        features=FEATURE_NAMES,
        means=(0.0,) * size,
        scales=(1.0,) * size,
        weights=(0.0,) * size,
        intercept=bias,
        threshold=0.5,
        false_answer_cost=2.0,
        answerable=40,
        unanswerable=8,
        supported=40,
        false_answers=0,
        false_refusals=0,
        unsupported_answers=0,
        folds=8,
    )


def test_a_calibration_decides_when_there_is_one() -> None:
    """`probability >= threshold`, exactly."""
    asked = features("Capital of Mongolia")
    assert decide_answer(asked, calibration(0.0)).answer
    assert decide_answer(asked, calibration(0.0)).calibrated
    assert not decide_answer(asked, calibration(-0.1)).answer


@pytest.mark.parametrize("fitted", [None, calibration(9.0)])
def test_a_score_that_is_not_finite_never_answers(fitted: Calibration | None) -> None:
    """NaN compares false with every threshold, but `not score < threshold` would answer."""
    broken = AnswerFeatures(*[math.nan] * len(FEATURE_NAMES))
    assert not decide_answer(broken, fitted).answer
    uncovered = AnswerFeatures(0.9, 0.1, math.nan, 0.5, 0.0, 5.0)
    assert not decide_answer(uncovered, fitted).answer
