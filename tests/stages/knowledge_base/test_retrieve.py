"""Searching a revision: which lists are asked, how they are fused, and what is never forgotten."""

import threading
from collections.abc import Sequence
from typing import Any

import pytest

from platform_pipelines.errors import MissingTenantError, UnavailableError
from platform_pipelines.gateways.vector_store import Hit
from platform_pipelines.stages.knowledge_base.retrieve import DENSE_DEPTH
from tests.stages.knowledge_base.searching import ListedStore, hit, retriever

PLACE = '{"heading":["Diagnosis"],"page":2}'
NEAR = [hit("a", 0.9, "A is here.", place=PLACE), hit("b", 0.8, "B is here.")]
WORDS = [hit("c", 7.0, "C is here."), hit("a", 5.0, "A is here.")]


def test_both_lists_are_fused_and_the_cosine_is_that_of_the_dense_one() -> None:
    """`a` stands in both lists; a BM25 score is no cosine."""
    found = retriever(ListedStore(NEAR, WORDS)).search(["x y"], k=5, tenant="t")[0]
    assert [f.chunk_id for f in found] == ["a", "c", "b"]
    assert [f.similarity for f in found] == [0.9, None, 0.8]
    assert found[0].citation == "a.md › p. 2 › Diagnosis"


@pytest.mark.parametrize("noise", [0.0, 1e-7])
def test_equal_scores_stand_in_one_order_whatever_the_order_of_the_rows(noise: float) -> None:
    """A recycled collection has its rows otherwise than a fresh one, and the last bits with it."""
    names, orders = "dbac", []
    for order in (names, names[::-1]):
        dense = [hit(n, 0.7 - noise * i, n) for i, n in enumerate(order)]
        words = [hit(n, 3.0 - noise * i, n) for i, n in enumerate(order)]
        found = retriever(ListedStore(dense, words)).search(["x"], k=3, tenant="t")[0]
        orders.append([f.chunk_id for f in found])
    assert orders == [["a", "b", "c"]] * 2


def test_a_search_without_a_tenant_is_an_error() -> None:
    """Never a wider search."""
    store = ListedStore(NEAR, WORDS)
    with pytest.raises(MissingTenantError):
        retriever(store).search(["x"], k=5, tenant="")
    assert store.asked == []


def test_many_queries_cost_one_embedding_and_two_searches() -> None:
    """Evidence asks hundreds of questions at once."""
    store = ListedStore(NEAR, WORDS)
    opened = retriever(store)
    found = opened.search(["one", "two", "three"], k=2, tenant="t", strong=True)
    assert [len(f) for f in found] == [2, 2, 2]
    assert sorted(kind for kind, _, _ in store.asked) == ["dense", "words"]
    assert all(asked["tenant"] == "t" and asked["strong"] for _, _, asked in store.asked)
    assert opened.embedder.queries == [["one", "two", "three"]]  # type: ignore[attr-defined]


class MeetingStore(ListedStore):
    """Its two searches wait for each other; keywords then find nothing, for the server is gone."""

    both = threading.Barrier(2, timeout=30)

    def search_dense(self, target: str, vectors: Any, **asked: Any) -> list[list[Hit]]:
        self.both.wait()
        return super().search_dense(target, vectors, **asked)

    def search_keywords(self, target: str, keywords: Sequence[str], **asked: Any):
        self.both.wait()
        raise UnavailableError("Milvus does not answer", where=target)


def test_vectors_and_keywords_are_searched_side_by_side() -> None:
    """And an error of the one beside is an error: half of the evidence is no evidence."""
    store = MeetingStore(NEAR, WORDS)
    with pytest.raises(UnavailableError, match="does not answer"):
        retriever(store).search(["x"], k=2, tenant="t")
    assert len(store.asked) == 1


def test_given_vectors_are_not_made_again() -> None:
    """`ask` embeds its question once."""
    opened = retriever(ListedStore(NEAR, WORDS))
    vectors = opened.embed(["x"])
    opened.search(["x"], k=2, tenant="t", vectors=vectors)
    assert len(opened.embedder.queries) == 1  # type: ignore[attr-defined]


def test_no_query_asks_nothing() -> None:
    """A golden set without unanswerable questions."""
    store = ListedStore(NEAR, WORDS)
    assert retriever(store).search([], k=2, tenant="t") == []
    assert store.asked == []


def test_without_a_keyword_index_the_vectors_answer_alone() -> None:
    """A server without BM25."""
    store = ListedStore(NEAR, WORDS)
    found = retriever(store, keyword=False).search(["x"], k=5, tenant="t")[0]
    assert [f.chunk_id for f in found] == ["a", "b"]
    assert len(store.asked) == 1


def test_the_keyword_index_is_asked_without_question_words() -> None:
    """`how do I` outweighs what is asked where it is rare."""
    store = ListedStore(NEAR, WORDS)
    retriever(store).search(["How do I drain a node?", "보관하나요?"], k=2, tenant="t")
    assert [asked for kind, asked, _ in store.asked if kind == "words"] == [["drain node", "보관"]]


def test_weights_and_the_rank_constant_are_those_of_the_declaration() -> None:
    """Declared and not used is the worst of both."""
    store = ListedStore(NEAR, WORDS)
    dense = retriever(store, keyword_weight=0.0).search(["x"], k=5, tenant="t")[0]
    assert [f.chunk_id for f in dense] == ["a", "b"]
    steep = retriever(store, rank_constant=1).search(["x"], k=1, tenant="t")[0]
    assert steep[0].score == pytest.approx(1 / 2 + 1 / 3)


def test_an_answer_in_another_language_is_found_among_deep_hits() -> None:
    """Thirty Korean texts are nearer to a Korean question than the English answer is."""
    korean = [hit(f"k{n}", 0.90 - 0.001 * n, "가", "ko") for n in range(40)]
    english = [hit("e0", 0.849, "answer"), *(hit(f"e{n}", 0.80, "x") for n in range(1, 30))]
    store = ListedStore([*korean, *english])
    found = retriever(store, keyword=False).search(["얼마인가요?"], k=5, tenant="t")[0]
    assert found[0].chunk_id == "e0"
    assert store.asked[0][2]["k"] == DENSE_DEPTH
    assert found[0].similarity == 0.849  # as it was measured


PRINTED = (
    "Drain the node before you replace its GPU. The scheduler moves the pods within ten minutes; "
    "those that hold a lease are asked twice, and after that they are ended by the operator."
)


def form(name: str, kind: str, text: str, score: float = 0.5) -> Hit:
    return Hit(name, score, f"{name}.{kind}", text, "Title", '{"page":2}', "en", kind)


PAGE, PDF = form("page", "html", PRINTED, 0.8), form("print", "pdf", PRINTED, 0.9)
FILLED = ListedStore([PDF, form("x", "html", "Another text."), PAGE], [PDF, PAGE])


def test_a_pdf_beside_its_page_takes_no_place() -> None:
    """The page stands where its copy stood, and says where else it is to be read."""
    found = retriever(FILLED, collapse_copies=True).search(["x"], k=5, tenant="t")[0]
    assert [f.document_key for f in found] == ["page.html", "x.html"]
    assert found[0].similarity == 0.8
    assert [one.citation for one in found[0].also] == ["print.pdf › p. 2"]


def test_a_revision_that_does_not_say_so_collapses_nothing() -> None:
    """What was released before is found as it was, and whoever wants all places gets them."""
    found = retriever(FILLED).search(["x"], k=5, tenant="t")[0]
    assert [f.document_key for f in found][:2] == ["print.pdf", "page.html"]
    assert not found[0].also


def test_a_page_that_one_list_lacks_takes_its_copys_place_there() -> None:
    """With the copy's similarity: it is the same text."""
    store = ListedStore([PDF], [PAGE])
    found = retriever(store, collapse_copies=True).search(["x"], k=5, tenant="t")[0]
    assert [(f.document_key, f.similarity) for f in found] == [("page.html", 0.9)]
