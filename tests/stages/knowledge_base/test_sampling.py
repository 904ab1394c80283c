"""Evidence without labels: what a sample asks, and what counts as found."""

import re
from collections.abc import Sequence

from platform_pipelines.core.knowledge_base.evidence import SentenceSample
from platform_pipelines.gateways.vector_store import Hit
from platform_pipelines.stages.knowledge_base.sampling import (
    drawn_of,
    looked_for,
    sample,
    sample_of,
    sampled_of,
)
from tests.stages.knowledge_base.searching import ListedStore, retriever

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


def sampled_by(store: OwnDocuments, *, text: str = "Record{n} " + WORDS) -> SentenceSample:
    """What the sample of 60 documents, each of one sentence, says of that store."""
    rows = [(f"{n:02d}", f"{n}.md", text.format(n=n)) for n in range(DOCUMENTS)]
    return sample_of(sample(retriever(store), sampled_of(drawn_of(rows, shards=1)), k=5))


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
    assert sampled_by(store) == SentenceSample(
        sampled=32,
        own_at_1=31,
        own_at_k=31,
        missed=(
            {"document": f"{lost}.md", "asked": f"Record{lost} is kept for as long as anybody"},
        ),
    )
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


SENTENCE = "The quota of the batch pool is forty devices, approved by the committee in May."


def hit_of(key: str, text: str, kind: str) -> Hit:
    return Hit(f"chunk of {key}", 1.0, key, text, "title", "{}", "en", kind)


def test_a_copy_counts_as_found() -> None:
    """The PDF's sentence finds the page that it was printed from: nobody can tell them apart."""
    page = hit_of("guide.html", f"Quotas. {SENTENCE} Ask the committee for more.", "html")
    store = ListedStore((), [page])
    (found,) = looked_for(retriever(store), [(SENTENCE, "guide.pdf")], k=5)
    assert (found.rank, found.by_copy) == (1, True)


def test_a_document_that_shares_a_few_words_is_no_copy() -> None:
    """Another number is another statement."""
    other = hit_of("guide.html", SENTENCE.replace("forty", "fifty"), "html")
    store = ListedStore((), [other])
    (found,) = looked_for(retriever(store), [(SENTENCE, "guide.pdf")], k=5)
    assert found.rank is None
