"""Searching one revision: vectors and keywords, fused by rank. Gate, `search` and `ask` use it."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from platform_pipelines.core.knowledge_base.answers import TermWeights
from platform_pipelines.core.knowledge_base.documents import Place, place_from_record
from platform_pipelines.core.knowledge_base.fusion import level_languages, reciprocal_rank_fusion
from platform_pipelines.core.knowledge_base.keywords import keyword_tokens
from platform_pipelines.core.knowledge_base.questions import asked_terms
from platform_pipelines.core.knowledge_base.revision import Revision
from platform_pipelines.core.knowledge_base.text import detect_language
from platform_pipelines.errors import MissingTenantError
from platform_pipelines.gateways.embedder import Embedder
from platform_pipelines.gateways.vector_store import Hit, VectorStore
from platform_pipelines.stages.knowledge_base.collapsing import AlsoIn, Collapsed, collapse
from platform_pipelines.stages.knowledge_base.terms import CorpusTerms

if TYPE_CHECKING:
    from platform_pipelines.gateways.embedder import Matrix

MINIMUM_DEPTH = 30  # candidates of each list before fusion
SAME_DIGITS = 6  # of scores that count as equal
DENSE_DEPTH = 100  # looked at for answers in another language than the question's


@dataclass(frozen=True, slots=True)
class Found:
    """One retrieved chunk. `score` orders this result; `similarity` is the cosine where known."""

    chunk_id: str
    score: float
    similarity: float | None
    document_key: str
    text: str
    title: str
    place: Place
    language: str
    document_type: str
    also: tuple[AlsoIn, ...] = ()  # documents that say the same, and are not shown for it

    @property
    def citation(self) -> str:
        """Document and place, e.g. `runbooks/gpu.md › Diagnosis`."""
        return " › ".join(part for part in (self.document_key, self.place.label) if part)


@dataclass(frozen=True, slots=True)
class Retriever:
    """One revision, opened for searching. `target` is its collection, or an alias of it."""

    store: VectorStore
    embedder: Embedder
    revision: Revision
    target: str
    terms: CorpusTerms | None = None  # how rare words are in it; answers are decided by them

    def term_weights(self) -> TermWeights | None:
        """How rare words are in the revision; None where nobody counted them."""
        return self.terms.weights() if self.terms else None

    def embed(self, texts: Sequence[str]) -> "Matrix":
        """Query vectors, to be used for several searches."""
        return self.embedder.embed_queries(texts)

    def search(
        self,
        texts: Sequence[str],
        *,
        k: int,
        tenant: str,
        vectors: "Matrix | None" = None,
        strong: bool = False,
        across_languages: bool = True,
    ) -> list[list[Found]]:
        """The best `k` chunks of each query, best first.

        Keywords are searched beside the embedding and the search of vectors, which take longer.
        Answers in another language than the question's lie deep in the list of vectors: it is cut
        short only where they are not wanted.

        Raises:
            MissingTenantError: an empty tenant.
            UnavailableError: the vector store or the embedder does not answer.
        """
        if not tenant:
            raise MissingTenantError(
                "a search without a tenant", remedy="name whose documents may be searched"
            )
        if not texts:
            return []
        depth = max(MINIMUM_DEPTH, 3 * k)
        parameters = self.revision.index["search_parameters"]
        with ThreadPoolExecutor(1, thread_name_prefix="keywords") as beside:
            words = beside.submit(self._keywords, texts, k=depth, tenant=tenant, strong=strong)
            queries = self.embed(texts) if vectors is None else vectors
            dense = self.store.search_dense(
                self.target, queries, k=max(DENSE_DEPTH, depth) if across_languages else depth,
                tenant=tenant, search_parameters=parameters, strong=strong,
            )  # fmt: skip
        return [
            self._fused(_levelled(text, d)[:depth], w, k)
            for text, d, w in zip(texts, dense, words.result(), strict=True)
        ]

    def _keywords(
        self, texts: Sequence[str], *, k: int, tenant: str, strong: bool
    ) -> list[list[Hit]]:
        if not self.revision.index["keyword"]:
            return [[] for _ in texts]
        asked = [" ".join(asked_terms(text, keyword_tokens)) for text in texts]
        found = self.store.search_keywords(self.target, asked, k=k, tenant=tenant, strong=strong)
        return [_by_score(hits) for hits in found]

    def _fused(self, dense: Sequence[Hit], words: Sequence[Hit], k: int) -> list[Found]:
        """Both lists as one; revisions say whether copies are collapsed, older ones do not."""
        lists = Collapsed(dense, words, {})
        if self.revision.index.get("collapse_copies"):
            lists = collapse(dense, words)
        found = self._fuse(lists.dense, lists.words, k)
        return [replace(one, also=lists.also.get(one.chunk_id, ())) for one in found]

    def _fuse(self, dense: Sequence[Hit], words: Sequence[Hit], k: int) -> list[Found]:
        index = self.revision.index
        fused = reciprocal_rank_fusion(
            [[h.chunk_id for h in dense], [h.chunk_id for h in words]],
            weights=[index["dense_weight"], index["keyword_weight"]],
            limit=k,
            k=index["rank_constant"],
        )
        hits = {h.chunk_id: h for h in (*words, *dense)}
        cosine = {h.chunk_id: h.score for h in dense}
        return [_found(hits[i], score, cosine.get(i)) for i, score in fused]


def _levelled(text: str, dense: Sequence[Hit]) -> list[Hit]:
    by_id = {h.chunk_id: h for h in dense}
    hits = [(h.chunk_id, h.score, h.language) for h in dense]
    return [by_id[i] for i in _in_order(level_languages(hits, detect_language(text)))]


def _by_score(hits: Sequence[Hit]) -> list[Hit]:
    by_id = {h.chunk_id: h for h in hits}
    return [by_id[i] for i in _in_order([(h.chunk_id, h.score) for h in hits])]


def _in_order(scored: Sequence[tuple[str, float]]) -> list[str]:
    """Ids, best first; equal scores in the order of the ids.

    A store lists them as its rows lie, which are otherwise in a recycled collection than in a fresh
    one. Equal vectors at different places differ in their last bits: so much counts as equal.
    """
    return [item for item, _ in sorted(scored, key=lambda p: (-round(p[1], SAME_DIGITS), p[0]))]


def _found(hit: Hit, score: float, similarity: float | None) -> Found:
    import json

    return Found(
        chunk_id=hit.chunk_id,
        score=score,
        similarity=similarity,
        document_key=hit.document_key,
        text=hit.text,
        title=hit.title,
        place=place_from_record(json.loads(hit.place or "{}")),
        language=hit.language,
        document_type=hit.document_type,
    )
