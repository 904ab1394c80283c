"""Evidence with labels and without: what counts as a question to answer, what a sample asks."""

from dataclasses import replace

import pytest

from platform_pipelines.core.knowledge_base.answers import FEATURE_NAMES
from platform_pipelines.core.knowledge_base.calibration import CalibrationSample, calibrate
from platform_pipelines.core.knowledge_base.golden import Question, Reference
from platform_pipelines.core.knowledge_base.matching import ChunkText, match_references
from platform_pipelines.core.road.evidence import Outcome
from platform_pipelines.errors import EvidenceError
from platform_pipelines.stages.knowledge_base.collapsing import AlsoIn
from platform_pipelines.stages.knowledge_base.evaluation import (
    credited,
    is_supported,
    join_ragas,
)
from platform_pipelines.stages.knowledge_base.quoting import ANSWER_CHUNKS, compare, measure
from platform_pipelines.stages.knowledge_base.retrieve import Found
from tests.stages.knowledge_base.searching import ListedStore, WordEmbedder, hit, retriever


def found_by(texts: list[str]) -> list[Found]:
    hits = [hit(f"c{n}", 0.9 - 0.01 * n, text) for n, text in enumerate(texts)]
    return retriever(ListedStore(hits), keyword=False).search(["x"], k=10, tenant="t")[0]


def question(number: int, *, answerable: bool) -> Question:
    text = f"quota of pool p{number}?" if answerable else f"colour of planet z{number}?"
    references = (Reference("c0.md", "quota"),) if answerable else ()
    return Question(f"q{number}-{answerable}", "en", text, answerable, references, "")


QUESTIONS = [question(n, answerable=n < 12) for n in range(24)]
FOUND = [
    found_by([f"The quota of pool p{n} is {n} devices.", "Lunch is at noon."]) for n in range(24)
]


def calibrated(relevant: str):
    embedder = WordEmbedder()
    texts = [q.question for q in QUESTIONS]
    measured = measure(embedder, texts, FOUND, vectors=embedder.embed_queries(texts))
    samples = [
        CalibrationSample(one.vector(), q.answerable, is_supported(found, (relevant,)))
        for one, q, found in zip(measured, QUESTIONS, FOUND, strict=True)
    ]
    return calibrate(samples, names=FEATURE_NAMES)


def test_answers_are_told_from_their_absence() -> None:
    """Every word of the answerable ones is there, no word of the others."""
    calibration = calibrated("c0").calibration
    assert calibration is not None
    assert calibration.features == FEATURE_NAMES
    assert (calibration.supported, calibration.unanswerable) == (12, 12)
    assert (calibration.false_answers, calibration.false_refusals) == (0, 0)


def test_a_question_whose_answer_was_not_retrieved_is_one_to_refuse() -> None:
    """Answering it from other chunks would be a false answer that counts as a right one."""
    outcome = calibrated("elsewhere")
    assert outcome.calibration is None
    assert outcome.reason.startswith("0 questions with a retrieved answer")


def test_each_sentence_is_embedded_once_for_all_questions() -> None:
    """Twelve questions about one chunk cost what one costs."""
    embedder = WordEmbedder()
    vectors = embedder.embed_queries(["pool", "quota"])
    measure(embedder, ["pool", "quota"], [FOUND[0], FOUND[0]], vectors=vectors)
    assert [len(texts) for texts in embedder.passages] == [2]


def test_nothing_retrieved_embeds_nothing() -> None:
    """An empty index."""
    embedder = WordEmbedder()
    compared = compare(embedder, "pool", [], embedder.embed_queries(["pool"]))
    assert compared.quotes == ()
    assert embedder.passages == []


def test_ask_measures_what_calibration_measured() -> None:
    """A threshold means nothing on other numbers; and only the first chunks are read."""
    embedder = WordEmbedder()
    many = found_by([f"Chunk number {n} says so. It holds part {n}." for n in range(9)])
    vector = embedder.embed_queries(["number 8 says"])
    compared = compare(embedder, "number 8 says", many, vector)
    assert compared.features == measure(embedder, ["number 8 says"], [many], vectors=vector)[0]
    assert {r.candidate.chunk_id for r in compared.quotes} <= {
        f"c{n}" for n in range(ANSWER_CHUNKS)
    }


def test_each_question_gets_its_own_ragas_scores() -> None:
    """By order; a score that is undefined stays so."""
    outcomes = {"a": Outcome({"mrr": 1.0}), "b": Outcome({"mrr": 0.5})}
    joined = join_ragas(outcomes, [(0.25, 1.0), (None, 0.0)])
    assert joined["a"].scores == {"mrr": 1.0, "context_precision": 0.25, "context_recall": 1.0}
    assert joined["b"].scores == {"mrr": 0.5, "context_precision": None, "context_recall": 0.0}


@pytest.mark.parametrize("count", [0, 1, 3])
def test_ragas_scores_of_another_number_are_no_evidence(count: int) -> None:
    """A worker that answers nothing, or too much: typed, with both counts."""
    outcomes = {"a": Outcome({}), "b": Outcome({})}
    with pytest.raises(EvidenceError, match=f"{count} scores") as caught:
        join_ragas(outcomes, [(1.0, 1.0)] * count)
    assert str(caught.value.expected).startswith("2")


def test_a_page_is_credited_with_the_copy_that_the_golden_set_names() -> None:
    """Its quote stands in what is shown; a passage without the quote is not credited."""
    quote = "The quota is forty devices."
    match = match_references(
        [Reference(document="guide.pdf", quote=quote)],
        [ChunkText("pdf1", "guide.pdf", f"Quotas. {quote}")],
    )
    also = (AlsoIn("pdf1", "guide.pdf", "guide.pdf › p. 1"),)
    shown = replace(FOUND[0][0], chunk_id="html1", text=f"{quote} Ask for more.", also=also)
    assert credited([shown], match) == ["pdf1"]
    assert credited([replace(shown, text="Ask for more.")], match) == ["html1"]
