"""Extractive answers: quote what answers, in the question's language, or say that nothing does."""

import math
import re
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from platform_pipelines.core.knowledge_base.answers import (
    FEATURE_NAMES,
    AnswerFeatures,
    RankedSentence,
    TermWeights,
    answer_features,
    decide_answer,
    likely_sentences,
    rank_sentences,
    term_weights,
)
from platform_pipelines.core.knowledge_base.calibration import Calibration
from platform_pipelines.core.knowledge_base.quotes import (
    RetrievedChunk,
    SentenceCandidate,
    quotable,
)


def words(text: str) -> list[str]:
    """A tokenizer as keyword_tokens is one: lower-cased words, Hangul as bigrams."""
    found = []
    for run in re.findall(r"[가-힣]+|[^\W가-힣]+", text.lower()):
        hangul = "가" <= run[0] <= "힣" and len(run) > 1
        found.extend((run[i : i + 2] for i in range(len(run) - 1)) if hangul else [run])
    return found


def sentence(text: str, language: str = "en", rank_score: float = 1.0) -> SentenceCandidate:
    return SentenceCandidate(
        chunk_id="c1", sentence=text, context=text, quoted=(text,), head="Pools",
        language=language, rank_score=rank_score, is_heading=text.startswith("#"),
    )  # fmt: skip


def ranked(
    question: str,
    *candidates: SentenceCandidate,
    near: Sequence[float] = (),
    language: str = "en",
    limit: int = 3,
) -> list[RankedSentence]:
    similarities = near or [0.8] * len(candidates)
    return rank_sentences(
        question, candidates, similarities, language=language, tokens=words, limit=limit
    )


def quoted(question: str, *candidates: SentenceCandidate, **asked) -> list[str]:
    return [r.quote for r in ranked(question, *candidates, **asked)]


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
    """A Korean question gets the Korean sentence where there is an equal one, else the English."""
    korean, english = sentence(BATCH, "ko"), sentence(BATCH + " ", "en")
    question = "배치 풀의 GPU는 몇 개인가요?"
    assert ranked(question, english, korean, language="ko")[0].candidate == korean
    assert ranked(question, english, language="ko")[0].candidate == english
    better = [sentence(WEATHER, "ko"), sentence(BATCH, "en")]
    assert quoted("batch pool GPUs", *better, language="ko")[0] == BATCH


@pytest.mark.parametrize(
    "echo",
    [
        "How many GPUs has the batch pool?",
        "# GPUs of the batch pool",
        'ask handbook "How many GPUs has the batch pool?" and read the 2 answers',
    ],
)
def test_a_question_a_heading_or_an_example_is_not_an_answer(echo: str) -> None:
    """The most similar sentence of a FAQ is the question itself."""
    near = (0.9, 0.88, 0.8)
    asked = [sentence(echo), sentence(BATCH), sentence(WEATHER)]
    assert quoted("How many GPUs has the batch pool?", *asked, near=near)[0] == BATCH


def test_a_question_for_a_quantity_wants_a_number() -> None:
    """All else equal, the sentence with the number answers `how many`."""
    plain = sentence(
        "The batch pool has a fair number of GPUs and queues all of its work until there is room."
    )
    number = sentence(
        "The batch pool has a hundred, 100, of GPUs and queues all of its work until there is room."
    )
    assert quoted("How many GPUs has the batch pool?", plain, number)[0] == number.sentence
    assert quoted("Why does the batch pool queue its work?", plain, number)[0] == plain.sentence


def test_the_chunk_that_was_found_first_is_believed() -> None:
    """Retrieval read the whole chunk; the sentence is a part of it."""
    first, last = sentence("It is done at night."), sentence("It is done by day.", rank_score=0.3)
    assert quoted("backup", last, first)[0] == first.sentence


def test_a_statement_comes_before_a_fragment() -> None:
    """Both hold the word; one says something."""
    assert quoted("batch", sentence("batch pool"), sentence(BATCH))[0] == BATCH


def test_a_sentence_of_two_chunks_is_quoted_once() -> None:
    """Chunks overlap; and a sentence may already stand in another quote."""
    assert quoted("batch pool GPUs", sentence(BATCH), sentence(BATCH)) == [BATCH]
    pair = quotable([RetrievedChunk("c", f"{BATCH} It is full.", "", "", (), "en", 1.0)])
    assert quoted("batch pool GPUs", *pair) == [f"{BATCH} It is full."]


def test_a_sentence_far_below_the_best_is_not_quoted() -> None:
    """Three sentences of which two are beside the point hide the answer."""
    asked = [sentence(BATCH), sentence(WEATHER)]
    assert quoted("How many GPUs has the batch pool?", *asked, near=(0.9, 0.8)) == [BATCH]


def test_candidates_without_a_similarity_are_left_out() -> None:
    """NaN sorts anywhere."""
    assert quoted("batch pool", sentence(BATCH), sentence(SERVE), near=(math.nan, 0.8)) == [SERVE]
    assert quoted("batch pool", sentence(BATCH), near=(math.nan,)) == []


PLAIN = sentence(
    "The batch pool was given to the platform team in Seoul some time ago and is theirs."
)
BATCH_POOL = "Who was given the batch pool?"
# What is on in each case beside the plain one: the weights below are read off it.
SCORED = {
    "chunk": (BATCH_POOL, replace(PLAIN, rank_score=0.25), 0.25, {}),
    "coverage": (BATCH_POOL, replace(PLAIN, context="It is so."), 1.0, {"coverage": -0.5}),
    "fragment": (BATCH_POOL, sentence("The batch pool was given."), 1.0, {}),
    "heading": (BATCH_POOL, replace(PLAIN, is_heading=True), 1.0, {"heading": -0.5}),
    "question": (
        BATCH_POOL, sentence(PLAIN.sentence.removesuffix(".") + "?"), 1.0, {"question": -0.5},
    ),
    "echo": (
        BATCH_POOL, sentence(f'{PLAIN.sentence} Ask "{BATCH_POOL}" of anybody who is there.'), 1.0,
        {"echo": -1.0},
    ),
    "sharp": ("Who was given the batch pool BP-77?", PLAIN, 1.0, {"sharp": -0.2}),
    "number": ("How many were given to the batch pool?", PLAIN, 1.0, {"number": -0.2}),
    "language": (BATCH_POOL, replace(PLAIN, language="ko"), 1.0, {"language": -0.03}),
}  # fmt: skip


@pytest.mark.parametrize("case", SCORED)
def test_every_weight_of_the_answer_model_is_what_was_measured(case: str) -> None:
    """A changed weight answers other sentences; the golden figures in the note are of these.

    1 for the only similarity, 0.5 for the chunk's place, 0.5 for the words, 0.25 for fullness,
    0.03 for the language, less what the case takes away.
    """
    question, candidate, place, takes = SCORED[case]
    (found,) = ranked(question, candidate)
    covered = found.coverage if case != "coverage" else 1.0  # all that the plain one holds
    expected = 1.0 + 0.5 * place + 0.5 * covered + 0.25 * candidate.fullness + 0.03
    assert found.score == pytest.approx(expected + sum(takes.values()), abs=1e-9)
    assert candidate.fullness == (1.0 if case != "fragment" else pytest.approx(25 / 80))
    assert found.coverage == pytest.approx(0.0) if case == "coverage" else found.coverage > 0.1


def test_similarity_goes_from_0_to_1_over_the_candidates() -> None:
    """Its unit is the distance between the best and the worst of one question."""
    three = [replace(PLAIN, quoted=(name,)) for name in "abc"]
    scores = {r.quote: r.score for r in ranked(BATCH_POOL, *three, near=(0.80, 0.83, 0.84))}
    assert scores["c"] - scores["b"] == pytest.approx(0.25)
    assert "a" not in scores  # one whole unit below the best


@pytest.mark.parametrize(("place", "quotes"), [(0.01, 1), (0.03, 2)])
def test_what_is_half_a_unit_below_the_best_is_not_worth_quoting(place: float, quotes: int) -> None:
    """A heading, half a unit below, with the chunk's place to bring it over the line."""
    best = replace(PLAIN, rank_score=0.98, quoted=("a",))
    other = replace(PLAIN, rank_score=0.96 + place, is_heading=True, quoted=("b",))
    other = replace(other, rank_score=0.98 + (place - 0.02))
    assert len(ranked(BATCH_POOL, best, other)) == quotes


def test_the_likely_sentences_are_weighed_by_the_same_numbers() -> None:
    """Half a unit of the chunk's place outweighs 0.25 of fullness, and not 0.5 of a heading."""
    full, first = replace(PLAIN, rank_score=0.4), replace(PLAIN, sentence="So.", rank_score=1.0)
    assert likely_sentences("x", [full, first], tokens=words, limit=1) == [first]
    near = replace(PLAIN, rank_score=0.6)
    assert likely_sentences("x", [near, first], tokens=words, limit=1) == [near]
    heading = replace(PLAIN, is_heading=True)
    low = replace(PLAIN, rank_score=0.1)
    assert likely_sentences("x", [heading, low], tokens=words, limit=1) == [low]


def by(names: tuple[str, ...], weights: tuple[float, ...], intercept: float) -> Calibration:
    size = len(names)
    return Calibration(
        names, (0.0,) * size, (1.0,) * size, weights, intercept, 0.5, 2.0, 9, 9, 9, 0, 0, 0, 8
    )


# Half of the words, and all identifiers and numbers; no similarity.
WORDS_ALONE = by(("word_coverage", "sharp_missing"), (10.0, -10.0), -5.0)


CANDIDATES = st.lists(
    st.tuples(
        st.builds(
            sentence,
            st.sampled_from([BATCH, SERVE, WEATHER, "풀은 백 개다.", "Short", "Why?", "", "# H"]),
            st.sampled_from(["ko", "en"]),
            st.floats(0, 1),
        ),
        st.floats(allow_nan=True, allow_infinity=True, width=32),
    ),
    max_size=8,
)


@given(st.text(max_size=30), CANDIDATES, st.integers(1, 4))
def test_any_candidates_give_a_short_ordered_list(question, pairs, limit: int) -> None:
    """Whatever was retrieved: at most `limit`, best first, each of them a candidate."""
    candidates = [c for c, _ in pairs]
    found = ranked(question, *candidates, near=[s for _, s in pairs], limit=limit)
    scores = [r.score for r in found]
    assert len(found) <= limit
    assert scores == sorted(scores, reverse=True)
    assert all(r.candidate in candidates for r in found)
    assert len({r.quote for r in found}) == len(found)


@given(st.text(max_size=30), CANDIDATES, st.integers(1, 9))
def test_likely_sentences_are_some_of_those_given_in_their_order(question, pairs, limit) -> None:
    """What is compared closely is a part of what was retrieved."""
    candidates = [c for c, _ in pairs]
    likely = likely_sentences(question, candidates, tokens=words, limit=limit)
    assert len(likely) == min(limit, len(candidates))
    remaining = iter(candidates)
    assert all(any(c is found for found in remaining) for c in likely)


def test_the_answer_is_among_the_likely_sentences() -> None:
    """The words decide before the model is asked."""
    many = [sentence(f"Lunch {n} is served in the canteen from noon on.") for n in range(20)]
    assert sentence(BATCH) in likely_sentences(
        "GPUs of the batch pool", [*many, sentence(BATCH)], tokens=words, limit=3
    )


def test_rare_terms_weigh_more_and_unknown_ones_most() -> None:
    """A term that no text holds is the strongest sign that the answer is not there."""
    weights = term_weights([{"pool", "gpu"}, {"pool"}, {"pool"}])
    assert weights.weight("pool") < weights.weight("gpu") < weights.weight("mars")
    assert weights.weight("pool") > 0


CHUNKS = [
    RetrievedChunk(f"c{n}", text, f"Pools\n{text}", "Pools", (), "en", 1.0 / n)
    for n, text in enumerate((BATCH, SERVE, WEATHER), start=1)
]


def features(question: str, chunks=CHUNKS, near: Sequence[float] = (0.8, 0.9)) -> AnswerFeatures:
    return answer_features(question, chunks, near, tokens=words)


def test_features_of_an_answered_question_are_better_than_of_an_unanswered_one() -> None:
    """What calibration relies on."""
    known, unknown = features("GPUs of the batch pool"), features("Capital of Mongolia in 1999")
    assert known.word_coverage == pytest.approx(1.0)
    assert unknown.word_coverage == 0.0
    assert (known.sharp_missing, unknown.sharp_missing) == (0.0, 1.0)
    assert known.sentence_similarity == 0.9


def test_nothing_retrieved_has_the_worst_features() -> None:
    """An empty index knows nothing."""
    assert features("GPUs", []).vector() == (0.0, 0.0, 0.0, 1.0)
    assert features("GPUs", near=[math.nan]).sentence_similarity == 0.0
    assert not decide_answer(features("GPUs", []), None, default=WORDS_ALONE).answer


def test_a_question_without_any_word_is_covered_by_nothing() -> None:
    """0 of 0 words found is not everything found."""
    assert features("?!").word_coverage == 0.0


@given(st.text(max_size=60))
def test_features_are_finite_and_named(question: str) -> None:
    """Any text is a question that somebody may type."""
    vector = features(question).vector()
    assert len(vector) == len(FEATURE_NAMES)
    assert all(math.isfinite(v) for v in vector)


def test_without_a_calibration_the_default_wants_words_and_numbers() -> None:
    """Conservative: most of the words in one chunk, all of the numbers with them."""
    known = decide_answer(features("GPUs of the batch pool"), None, default=WORDS_ALONE)
    assert (known.answer, known.calibrated, known.threshold) == (True, False, 0.5)
    assert not decide_answer(
        features("GPUs of the batch pool in 1999"), None, default=WORDS_ALONE
    ).answer
    assert not decide_answer(features("Capital of Mongolia"), None, default=WORDS_ALONE).answer


def test_a_calibration_of_other_features_is_none() -> None:
    """A release from before a change of the features: its weights belong to other numbers."""
    older = replace(calibration(9.0), features=("top", "margin", "coverage"))
    decision = decide_answer(features("Capital of Mongolia"), older, default=WORDS_ALONE)
    assert (decision.answer, decision.calibrated) == (False, False)


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
    assert decide_answer(asked, calibration(0.0), default=WORDS_ALONE).answer
    assert decide_answer(asked, calibration(0.0), default=WORDS_ALONE).calibrated
    assert not decide_answer(asked, calibration(-0.1), default=WORDS_ALONE).answer


@pytest.mark.parametrize("fitted", [None, calibration(9.0)])
def test_a_score_that_is_not_finite_never_answers(fitted: Calibration | None) -> None:
    """NaN compares false with every threshold, but `not score < threshold` would answer."""
    broken = AnswerFeatures(*[math.nan] * len(FEATURE_NAMES))
    assert not decide_answer(broken, fitted, default=WORDS_ALONE).answer
    uncovered = AnswerFeatures(0.9, math.nan, 0.9, 0.0)
    assert not decide_answer(uncovered, fitted, default=WORDS_ALONE).answer


def test_a_word_that_the_passages_lack_by_chance_does_not_decide() -> None:
    """`quota` is common in the corpus and unseen in what was retrieved: the rare word counts."""
    asked = "quota of the batch pool"
    corpus = TermWeights(1000, {"quota": 700, "of": 990, "the": 990, "batch": 9, "pool": 40})
    alone = features(asked).word_coverage
    weighed = answer_features(asked, CHUNKS, [0.8], tokens=words, corpus=corpus).word_coverage
    assert weighed > 0.9 > alone


def test_a_sentence_is_never_quoted_twice() -> None:
    """Chunks overlap: the same sentence comes with other spaces, or with the one behind it."""
    again = sentence(BATCH.replace(" pool", "  po\u00adol"))
    longer = replace(sentence(BATCH), quoted=(BATCH, "It queues its work."))
    assert len(quoted("batch pool GPUs", sentence(BATCH), again, longer)) == 1


def test_rows_of_one_table_may_both_be_quoted_with_their_header() -> None:
    """The header is said with each: a row alone is cells without names."""
    rows = quotable(
        [
            RetrievedChunk(
                "t",
                "Pools in October.\nPool | GPUs\nbatch | 100\nserve | 50",
                "",
                "",
                (),
                "en",
                1.0,
            )
        ]
    )
    found = quoted("How many GPUs have the batch and the serve pool?", *rows)
    assert {"Pool | GPUs batch | 100", "Pool | GPUs serve | 50"} <= set(found)
    assert "Pool | GPUs" not in found
