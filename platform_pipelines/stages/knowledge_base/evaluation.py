"""Asking one revision the golden questions, and measuring what it retrieves."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from platform_pipelines.core.knowledge_base.documents import container_of
from platform_pipelines.core.knowledge_base.evidence import scored_outcome
from platform_pipelines.core.knowledge_base.golden import Question
from platform_pipelines.core.knowledge_base.matching import (
    ChunkText,
    Match,
    fold,
    match_references,
)
from platform_pipelines.core.knowledge_base.metrics import retrieval_scores
from platform_pipelines.core.knowledge_base.revision import Revision
from platform_pipelines.core.road.evidence import Outcome
from platform_pipelines.core.road.identity import shard_of
from platform_pipelines.errors import EvidenceError
from platform_pipelines.gateways.object_store import ObjectStore
from platform_pipelines.stages.knowledge_base.placing import placed
from platform_pipelines.stages.knowledge_base.quoting import ANSWER_CHUNKS
from platform_pipelines.stages.knowledge_base.retrieve import Found, Retriever
from platform_pipelines.stages.knowledge_base.tables import read_table

if TYPE_CHECKING:
    from platform_pipelines.gateways.embedder import Matrix


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
        retrieved = credited(hits, match)
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


def credited(hits: Sequence[Found], match: Match) -> list[str]:
    """The ids that a result is scored by: a copy that holds the quote counts as what it copies."""
    ids: list[str] = []
    for hit in hits:
        text, also = fold(hit.text), {one.chunk_id for one in hit.also}
        same = (
            item
            for found in match.resolved
            if not also.isdisjoint(found.chunk_ids) and fold(found.reference.quote) in text
            for item in found.chunk_ids
            if item in also and item not in ids
        )
        ids.append(hit.chunk_id if hit.chunk_id in match.relevant else next(same, hit.chunk_id))
    return ids


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
    first = hits[:ANSWER_CHUNKS]
    held = {h.chunk_id for h in first} | {one.chunk_id for h in first for one in h.also}
    return not held.isdisjoint(relevant)
