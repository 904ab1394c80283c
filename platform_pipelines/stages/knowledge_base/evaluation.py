"""Asking one revision the golden questions, and measuring what it retrieves."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from platform_pipelines.compute.environments import interpreter
from platform_pipelines.compute.pool import WorkerPool
from platform_pipelines.compute.protocol import Budget, ItemDone, ItemFailed, Task
from platform_pipelines.core.knowledge_base.answers import FEATURE_NAMES
from platform_pipelines.core.knowledge_base.calibration import (
    CalibrationOutcome,
    CalibrationSample,
    calibrate,
)
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
from platform_pipelines.gateways.embedder import Embedder
from platform_pipelines.gateways.object_store import ObjectStore
from platform_pipelines.settings import Settings
from platform_pipelines.stages.knowledge_base.placing import placed
from platform_pipelines.stages.knowledge_base.quoting import ANSWER_CHUNKS, measure
from platform_pipelines.stages.knowledge_base.retrieve import Found, Retriever
from platform_pipelines.stages.knowledge_base.tables import read_table
from platform_pipelines.stages.road.connect import Progress

if TYPE_CHECKING:
    from platform_pipelines.gateways.embedder import Matrix

SAMPLED_SENTENCES = 32
SAMPLED_AT_FIRST = 16
SAMPLED_MIN_CHARACTERS = 20
SAMPLED_MAX_CHARACTERS = 300
SAMPLED_WORDS = 8  # that many are searched for: what people type is shorter than a sentence
RAGAS_SECONDS = 300.0
RAGAS_MEMORY_BYTES = 4 * 1024**3

Ids = tuple[tuple[str, ...], tuple[str, ...]]


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


def with_ragas(
    settings: Settings, outcomes: Mapping[str, Outcome], progress: Progress
) -> dict[str, Outcome]:
    """The outcomes with Ragas' own ID-based context precision and recall.

    Raises:
        WorkerLostError, EvidenceError: Ragas gave no usable answer.
        UnavailableError: the environment of evaluations cannot be made.
    """
    samples = [
        [list(o.details["retrieved"]), list(o.details["relevant"])] for o in outcomes.values()
    ]
    return join_ragas(outcomes, _ragas(settings, samples, progress))


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


def _ragas(
    settings: Settings, samples: Sequence[Sequence[Sequence[str]]], progress: Progress
) -> Sequence[tuple[float | None, float | None]]:
    budget = Budget(
        seconds_per_item=RAGAS_SECONDS, memory_bytes=RAGAS_MEMORY_BYTES, limit_address_space=False
    )
    task = Task("ragas", ({"samples": samples},))
    scores: list[tuple[float | None, float | None]] = []
    python = interpreter("evaluation", settings.environments_home, progress)
    with WorkerPool(
        workers=1, budget=budget, environment=settings.worker_environment, interpreter=python
    ) as pool:
        for outcome in pool.run("evidence.ragas", [task]):
            if isinstance(outcome, ItemFailed):
                raise outcome.to_error()
            if isinstance(outcome, ItemDone):
                scores = [(p, r) for p, r in outcome.result["scores"]]  # type: ignore[union-attr]
    return scores


def calibrate_answers(
    embedder: Embedder,
    questions: Sequence[Question],
    found: Sequence[Sequence[Found]],
    relevant: Mapping[str, Sequence[str]],
    *,
    vectors: "Matrix",
) -> CalibrationOutcome:
    """Fit when `ask` answers, on answerable and unanswerable questions alike.

    `relevant` are the chunks that hold an answerable question's answer, by its id: when none of
    them is among the chunks that an answer is quoted from, refusing is right. `vectors` [questions,
    dimension] are the questions'.
    """
    features = measure(embedder, [q.question for q in questions], found, vectors=vectors)
    samples = [
        CalibrationSample(
            measured.vector(),
            question.answerable,
            _supported(hits, relevant[question.id]) if question.answerable else None,
        )
        for question, hits, measured in zip(questions, found, features, strict=True)
    ]
    return calibrate(samples, names=FEATURE_NAMES)


def _supported(hits: Sequence[Found], relevant: Sequence[str]) -> bool:
    return not {h.chunk_id for h in hits[:ANSWER_CHUNKS]}.isdisjoint(relevant)


def sample_sentences(store: ObjectStore, retriever: Retriever, *, k: int) -> SentenceSample:
    """Evidence without labels: sampled sentences, searched for; do they find their own document?

    The sample is the sentences whose digests are smallest: the same for the same content. Asked are
    their first words, as people do. A double sampling plan (Dodge and Romig, A Method of Sampling
    Inspection, 1929): the first half is enough when all of it is found, else the whole sample
    counts. An index where 99 of 100 sentences are found is then done after half of them in 85 % of
    cases; one where 80 are found passes the floor 0.9 in 10.4 % of cases instead of 9.3 %.
    """
    sentences = _sampled(store, retriever.revision)
    first = _own_ranks(retriever, sentences[:SAMPLED_AT_FIRST], k=k)
    if all(rank is not None for rank in first):
        return _sample_of(first)
    return _sample_of([*first, *_own_ranks(retriever, sentences[SAMPLED_AT_FIRST:], k=k)])


def _own_ranks(
    retriever: Retriever, sentences: Sequence[tuple[str, str]], *, k: int
) -> list[int | None]:
    """The rank, from 1, of each sentence's own document among the first k; None: not there."""
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


def _sample_of(ranks: Sequence[int | None]) -> SentenceSample:
    return SentenceSample(
        sampled=len(ranks),
        own_at_1=ranks.count(1),
        own_at_k=len(ranks) - ranks.count(None),
    )


def _sampled(store: ObjectStore, revision: Revision) -> list[tuple[str, str]]:
    """(sentence, document key), in an order that has nothing to do with the documents."""
    drawn: list[tuple[str, str, str]] = []
    per_shard = -(-SAMPLED_SENTENCES // max(1, len(revision.chunks)))
    for shard in revision.chunks:
        table = read_table(store, shard.path, ["chunk_id", "document_key", "text"])
        ids = sorted(range(table.num_rows), key=table.column("chunk_id").to_pylist().__getitem__)
        rows = table.take(ids[:per_shard]).to_pylist() if ids else []
        drawn.extend(
            (digest_text(row["chunk_id"]), sentence, row["document_key"])
            for row in rows
            if (sentence := _sentence(row["text"]))
        )
    return [(text, key) for _, text, key in sorted(drawn)[:SAMPLED_SENTENCES]]


def _sentence(text: str) -> str:
    """The chunk's longest sentence of ordinary length, or nothing."""
    usable = [
        s
        for s in split_sentences(text)
        if SAMPLED_MIN_CHARACTERS <= len(s) <= SAMPLED_MAX_CHARACTERS
    ]
    return max(usable, key=len, default="")
