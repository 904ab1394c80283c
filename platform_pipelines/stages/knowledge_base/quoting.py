"""Comparing questions with the sentences that were retrieved for them: for `ask` and its threshold.

Both read the same numbers, so that the threshold means in `ask` what it meant in the evidence.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from platform_pipelines.core.knowledge_base.answers import (
    AnswerFeatures,
    RankedSentence,
    TermWeights,
    answer_features,
    likely_sentences,
    rank_sentences,
)
from platform_pipelines.core.knowledge_base.chunks import search_text
from platform_pipelines.core.knowledge_base.keywords import keyword_tokens
from platform_pipelines.core.knowledge_base.quotes import (
    RetrievedChunk,
    SentenceCandidate,
    quotable,
)
from platform_pipelines.core.knowledge_base.suspicion import suspicions
from platform_pipelines.core.knowledge_base.text import detect_language
from platform_pipelines.gateways.embedder import Embedder
from platform_pipelines.stages.knowledge_base.retrieve import Found

if TYPE_CHECKING:
    from platform_pipelines.gateways.embedder import Matrix

ANSWER_CHUNKS = 5  # that an extractive answer may quote from
COMPARED_SENTENCES = 12  # of one question: all (40) cost three times as much and quote no better
MEASURED_SENTENCES = 6  # more leave the threshold's error counts where they are


@dataclass(frozen=True, slots=True)
class Compared:
    """One question against its chunks: whether it is answered, and what would be quoted."""

    features: AnswerFeatures
    quotes: tuple[RankedSentence, ...]


def measure(
    embedder: Embedder,
    questions: Sequence[str],
    found: Sequence[Sequence[Found]],
    *,
    vectors: "Matrix",
    corpus: TermWeights | None = None,
) -> list[AnswerFeatures]:
    """Each question's features; `vectors` [questions, dimension] are the questions'.

    `corpus` says how rare words are in the revision.

    The sentences of all questions are embedded together, each once.

    Raises:
        UnavailableError: the embedder does not answer.
    """
    chunks = [_chunks(hits) for hits in found]
    likely = [
        likely_sentences(question, quotable(own), tokens=keyword_tokens, limit=MEASURED_SENTENCES)
        for question, own in zip(questions, chunks, strict=True)
    ]
    near = _similarities(embedder, likely, vectors)
    return [
        answer_features(question, own, similarities, tokens=keyword_tokens, corpus=corpus)
        for question, own, similarities in zip(questions, chunks, near, strict=True)
    ]


def compare(
    embedder: Embedder,
    question: str,
    hits: Sequence[Found],
    vector: "Matrix",
    *,
    corpus: TermWeights | None = None,
) -> Compared:
    """One question's features, as `measure` has them, and its quotes; `vector` [1, dimension].

    Raises:
        UnavailableError: the embedder does not answer.
    """
    chunks = _chunks(hits)
    candidates = quotable(chunks)
    likely = partial(likely_sentences, question, candidates, tokens=keyword_tokens)
    sentences = likely(limit=COMPARED_SENTENCES)
    near = _similarities(embedder, [sentences], vector)[0]
    similarity = dict(zip(sentences, near, strict=True))
    measured = [similarity[candidate] for candidate in likely(limit=MEASURED_SENTENCES)]
    language = detect_language(question)
    return Compared(
        answer_features(question, chunks, measured, tokens=keyword_tokens, corpus=corpus),
        tuple(rank_sentences(question, sentences, near, language=language, tokens=keyword_tokens)),
    )


def _similarities(
    embedder: Embedder, likely: Sequence[Sequence[SentenceCandidate]], vectors: "Matrix"
) -> list[list[float]]:
    texts = list(dict.fromkeys(c.searched for sentences in likely for c in sentences))
    if not texts:
        return [[] for _ in likely]
    embedded = embedder.embed_passages(texts)
    row = {text: i for i, text in enumerate(texts)}
    return [
        [float(embedded[row[c.searched]] @ vector) for c in sentences]
        for sentences, vector in zip(likely, vectors, strict=True)
    ]


def _chunks(hits: Sequence[Found]) -> list[RetrievedChunk]:
    return [
        RetrievedChunk(
            chunk_id=hit.chunk_id,
            text=hit.text,
            searched=search_text(hit.title, hit.place.heading, hit.text),
            title=hit.title,
            heading=hit.place.heading,
            language=hit.language,
            score=hit.score,
        )
        for hit in sound(hits)[:ANSWER_CHUNKS]
    ]


def sound(hits: Sequence[Found]) -> list[Found]:
    """Those that an answer may be made from: not what speaks to a model."""
    return [hit for hit in hits if not suspicions(f"{hit.citation}\n{hit.text}")]
