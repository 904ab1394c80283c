"""Comparing questions with the sentences that were retrieved for them: for `ask` and its threshold.

Both read the same numbers, so that the threshold means in `ask` what it meant in the evidence.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from platform_pipelines.core.answers import (
    AnswerFeatures,
    RankedSentence,
    answer_features,
    likely_sentences,
    rank_sentences,
)
from platform_pipelines.core.chunks import search_text
from platform_pipelines.core.keywords import keyword_tokens
from platform_pipelines.core.quotes import RetrievedChunk, SentenceCandidate, quotable
from platform_pipelines.core.text import detect_language
from platform_pipelines.gateways.embedder import Embedder
from platform_pipelines.stages.retrieve import Found

if TYPE_CHECKING:
    from platform_pipelines.gateways.embedder import Matrix

ANSWER_CHUNKS = 5  # that an extractive answer may quote from


@dataclass(frozen=True, slots=True)
class Compared:
    """One question against its chunks: whether it is answered, and what would be quoted."""

    features: AnswerFeatures
    quotes: tuple[RankedSentence, ...]


def compare(
    embedder: Embedder,
    questions: Sequence[str],
    found: Sequence[Sequence[Found]],
    *,
    vectors: "Matrix",
) -> list[Compared]:
    """Each question's features and quotes; `vectors` [questions, dimension] are the questions'.

    The sentences of all questions are embedded together, each once.

    Raises:
        UnavailableError: the embedder does not answer.
    """
    chunks = [[_chunk(hit) for hit in hits[:ANSWER_CHUNKS]] for hits in found]
    likely = [
        likely_sentences(question, quotable(retrieved), tokens=keyword_tokens)
        for question, retrieved in zip(questions, chunks, strict=True)
    ]
    similarities = _similarities(embedder, likely, vectors)
    return [
        Compared(
            answer_features(question, retrieved, near, tokens=keyword_tokens),
            tuple(
                rank_sentences(
                    question, sentences, near,
                    language=detect_language(question), tokens=keyword_tokens,
                )
            ),
        )
        for question, retrieved, sentences, near in zip(
            questions, chunks, likely, similarities, strict=True
        )
    ]  # fmt: skip


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


def _chunk(hit: Found) -> RetrievedChunk:
    return RetrievedChunk(
        chunk_id=hit.chunk_id,
        text=hit.text,
        searched=search_text(hit.title, hit.place.heading, hit.text),
        title=hit.title,
        heading=hit.place.heading,
        language=hit.language,
        score=hit.score,
    )
