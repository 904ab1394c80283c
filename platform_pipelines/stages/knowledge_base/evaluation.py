"""Asking one revision the golden questions, and measuring what it retrieves."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from platform_pipelines.core.knowledge_base.documents import container_of
from platform_pipelines.core.knowledge_base.evidence import SentenceSample, scored_outcome
from platform_pipelines.core.knowledge_base.golden import Question
from platform_pipelines.core.knowledge_base.matching import ChunkText, match_references
from platform_pipelines.core.knowledge_base.metrics import retrieval_scores
from platform_pipelines.core.knowledge_base.revision import Revision
from platform_pipelines.core.knowledge_base.sentences import split_sentences
from platform_pipelines.core.road.evidence import Outcome
from platform_pipelines.core.road.identity import digest_text, shard_of
from platform_pipelines.errors import EvidenceError
from platform_pipelines.gateways.object_store import ObjectStore
from platform_pipelines.stages.knowledge_base.placing import placed
from platform_pipelines.stages.knowledge_base.quoting import ANSWER_CHUNKS
from platform_pipelines.stages.knowledge_base.retrieve import Found, Retriever
from platform_pipelines.stages.knowledge_base.tables import read_table

if TYPE_CHECKING:
    from platform_pipelines.gateways.embedder import Matrix

SAMPLED_SENTENCES = 32
SAMPLED_AT_FIRST = 16
SAMPLED_MIN_CHARACTERS = 20
SAMPLED_MAX_CHARACTERS = 300
SAMPLED_WORDS = 8  # that many are searched for: what people type is shorter than a sentence


@dataclass(frozen=True, slots=True)
class Asked:
    """The answerable questions on one revision: outcomes by question id, and what was found."""

    outcomes: Mapping[str, Outcome]
    found: Mapping[str, Sequence[Found]]
    document_types: Mapping[str, str]


def ask_questions(
    store: ObjectStore,
    retriever: Retriever,
    questions: Sequence[Question],
    *,
    k: int,
    vectors: "Matrix | None" = None,
) -> Asked:
    """Retrieve for every question and score it against the chunks that hold its quotes."""
    tenant = retriever.revision.recipe.tenant
    found = retriever.search(
        [q.question for q in questions], k=k, tenant=tenant, vectors=vectors, strong=True
    )
    questions = placed(store, [s.path for s in retriever.revision.chunks], questions)
    documents = {r.document for q in questions for r in q.references}
    texts, types = _document_chunks(store, retriever.revision, documents)
    outcomes: dict[str, Outcome] = {}
    for question, hits in zip(questions, found, strict=True):
        chunks = [c for r in question.references for c in texts.get(r.document, ())]
        match = match_references(question.references, list(dict.fromkeys(chunks)))
        retrieved = [hit.chunk_id for hit in hits]
        outcomes[question.id] = scored_outcome(
            retrieval_scores(retrieved, match.relevant, k=k),
            retrieved=retrieved,
            relevant=match.relevant,
            references=len(question.references),
            unresolved_references=match.stale,
        )
    return Asked(
        outcomes,
        {q.id: hits for q, hits in zip(questions, found, strict=True)},
        {q.id: types.get(q.references[0].document, "unknown") for q in questions},
    )


def _document_chunks(
    store: ObjectStore, revision: Revision, documents: set[str]
) -> tuple[dict[str, list[ChunkText]], dict[str, str]]:
    """The chunks and the type of some documents, from the revision's own files."""
    shards = revision.recipe.shards
    wanted = {shard_of(container_of(key), shards) for key in documents}
    texts: dict[str, list[ChunkText]] = defaultdict(list)
    types: dict[str, str] = {}
    for shard in revision.chunks:
        if shard.shard not in wanted:
            continue
        table = read_table(store, shard.path, ["chunk_id", "document_key", "text", "type"])
        for row in table.to_pylist():
            key = row["document_key"]
            if key in documents:
                texts[key].append(ChunkText(row["chunk_id"], key, row["text"]))
                types[key] = row["type"]
    return texts, types


def join_ragas(
    outcomes: Mapping[str, Outcome], scores: Sequence[tuple[float | None, float | None]]
) -> dict[str, Outcome]:
    """Each outcome with its (context precision, context recall); both in the same order.

    Raises:
        EvidenceError: there are more or fewer scores than outcomes, so no score has an owner.
    """
    if len(scores) != len(outcomes):
        raise EvidenceError(
            "Ragas did not score every question",
            stored=f"{len(scores)} scores",
            expected=f"{len(outcomes)}, one a question",
            remedy="refresh again; if it stays, install the locked version of ragas",
        )
    scored: dict[str, Outcome] = {}
    for (question_id, outcome), (precision, recall) in zip(outcomes.items(), scores, strict=True):
        ragas = {"context_precision": precision, "context_recall": recall}
        scored[question_id] = replace(outcome, scores={**outcome.scores, **ragas})
    return scored


def is_supported(hits: Sequence[Found], relevant: Sequence[str]) -> bool:
    """Whether a chunk that holds the answer is among those that an answer is quoted from.

    When none is, refusing is right.
    """
    return not {h.chunk_id for h in hits[:ANSWER_CHUNKS]}.isdisjoint(relevant)


def own_ranks(
    retriever: Retriever, sentences: Sequence[tuple[str, str]], *, k: int
) -> list[int | None]:
    """Evidence without labels: sampled sentences, searched for; do they find their own document?

    Of each (sentence, document key) the rank of its document, from 1, among the first `k`; None: it
    is not there. Asked are its first words, as people do. A double sampling plan (Dodge and Romig,
    A Method of Sampling Inspection, 1929): the first half is enough when all of it is found, else
    the whole sample counts. An index where 99 of 100 sentences are found is then done after half of
    them in 85 % of cases; one where 80 are found passes the floor 0.9 in 10.4 % of cases instead of
    9.3 %.
    """
    first = _ranks(retriever, sentences[:SAMPLED_AT_FIRST], k=k)
    if all(rank is not None for rank in first):
        return first
    return [*first, *_ranks(retriever, sentences[SAMPLED_AT_FIRST:], k=k)]


def _ranks(
    retriever: Retriever, sentences: Sequence[tuple[str, str]], *, k: int
) -> list[int | None]:
    found = retriever.search(
        [" ".join(text.split()[:SAMPLED_WORDS]) for text, _ in sentences],
        k=k,
        tenant=retriever.revision.recipe.tenant,
        strong=True,
        across_languages=False,
    )
    return [
        next((rank for rank, hit in enumerate(hits, 1) if hit.document_key == key), None)
        for (_, key), hits in zip(sentences, found, strict=True)
    ]


def sample_of(ranks: Sequence[int | None]) -> SentenceSample:
    """The ranks, counted."""
    return SentenceSample(
        sampled=len(ranks),
        own_at_1=ranks.count(1),
        own_at_k=len(ranks) - ranks.count(None),
    )


def drawn_of(rows: Sequence[tuple[str, str, str]], *, shards: int) -> list[tuple[str, str, str]]:
    """(order, sentence, document key) of some of one shard's chunks, `rows` of (chunk id, document
    key, text): those with the smallest ids, the same for the same content."""
    per_shard = -(-SAMPLED_SENTENCES // max(1, shards))
    return [
        (digest_text(chunk_id), sentence, key)
        for chunk_id, key, text in sorted(rows)[:per_shard]
        if (sentence := _sentence(text))
    ]


def sampled_of(drawn: Iterable[tuple[str, str, str]]) -> list[tuple[str, str]]:
    """(sentence, document key) of all shards' draws, in an order that has nothing to do with the
    documents."""
    return [(text, key) for _, text, key in sorted(drawn)[:SAMPLED_SENTENCES]]


def _sentence(text: str) -> str:
    """The chunk's longest sentence of ordinary length, or nothing."""
    usable = [
        s
        for s in split_sentences(text)
        if SAMPLED_MIN_CHARACTERS <= len(s) <= SAMPLED_MAX_CHARACTERS
    ]
    return max(usable, key=len, default="")
