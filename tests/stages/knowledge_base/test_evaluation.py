"""Evidence with labels and without: what counts as a question to answer, what a sample asks."""

import re
from collections.abc import Sequence

import pytest

from platform_pipelines.core.knowledge_base.answers import FEATURE_NAMES
from platform_pipelines.core.knowledge_base.calibration import CalibrationSample, calibrate
from platform_pipelines.core.knowledge_base.evidence import SentenceSample
from platform_pipelines.core.knowledge_base.golden import Question, Reference
from platform_pipelines.core.road.evidence import Outcome
from platform_pipelines.errors import EvidenceError
from platform_pipelines.gateways.vector_store import Hit
from platform_pipelines.stages.knowledge_base.evaluation import (
    drawn_of,
    is_supported,
    join_ragas,
    own_ranks,
    sample_of,
    sampled_of,
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


DOCUMENTS = 60
WORDS = "is kept for as long as anybody who may read it still needs it"


class OwnDocuments(ListedStore):
    """Finds the document that a sentence's number names, unless that is among the lost."""

    def __init__(self, *lost: int) -> None:
        super().__init__()
        self.lost = lost

    def search_keywords(self, target: str, keywords: Sequence[str], **asked: object):
        super().search_keywords(target, keywords, **asked)
        numbers = [int(re.findall(r"\brecord(\d+)\b", words)[0]) for words in keywords]
        return [[] if n in self.lost else [self._hit(n)] for n in numbers]

    @staticmethod
    def _hit(number: int) -> Hit:
        key = f"{number}.md"
        return Hit(f"c{number}", 1.0, key, "text", "title", "{}", "en", "markdown")

    @property
    def queries(self) -> list[str]:
        return [words for kind, asked, _ in self.asked if kind == "words" for words in asked]


def sampled_by(store: OwnDocuments, *, text: str = "Record{n} " + WORDS):
    """What the sample of 60 documents, each of one sentence, says of that store."""
    rows = [(f"{n:02d}", f"{n}.md", text.format(n=n)) for n in range(DOCUMENTS)]
    return sample_of(own_ranks(retriever(store), sampled_of(drawn_of(rows, shards=1)), k=5))


def test_half_of_the_sample_is_enough_when_all_of_it_is_found() -> None:
    """A good index costs 16 searches."""
    store = OwnDocuments()
    assert sampled_by(store) == SentenceSample(sampled=16, own_at_1=16, own_at_k=16)
    assert len(store.queries) == 16


def test_one_loss_has_the_whole_sample_asked() -> None:
    """Nothing is judged by the half that went badly, and each sentence is asked once."""
    first = OwnDocuments()
    sampled_by(first)
    lost = int(re.findall(r"record(\d+)", first.queries[3])[0])
    store = OwnDocuments(lost)
    assert sampled_by(store) == SentenceSample(sampled=32, own_at_1=31, own_at_k=31)
    assert len(set(store.queries)) == len(store.queries) == 32


def test_a_sentence_is_asked_for_by_its_first_words() -> None:
    """As a person would; the rest of a long sentence would flatter the index."""
    store = OwnDocuments()
    sampled_by(store)
    assert all("kept" in words and "read" not in words for words in store.queries)


def test_without_a_sentence_there_is_no_sample() -> None:
    """The gate calls that undecided."""
    store = OwnDocuments()
    assert sampled_by(store, text="Record{n}").share_at_k is None
    assert store.queries == []
