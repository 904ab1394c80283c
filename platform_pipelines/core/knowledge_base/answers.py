"""Extractive answers: which sentences answer a question, and whether any does.

Cosines of the e5 models lie between 0.75 and 0.92 whatever the texts, so similarity alone cannot
tell an answer from its absence. It is combined with what a reader would check: are the question's
rare words there, its identifiers, its numbers?
"""

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import astuple, dataclass, fields

from platform_pipelines.core.knowledge_base.calibration import Calibration
from platform_pipelines.core.knowledge_base.questions import (
    Tokenizer,
    asked_terms,
    asks_for_number,
    holds_number,
    missing_share,
    sharp_terms,
)
from platform_pipelines.core.knowledge_base.quotes import (
    RetrievedChunk,
    SentenceCandidate,
    echoes,
)

# Without a calibration: this share of the weight of the question's words in one chunk, and all its
# identifiers and numbers. On the sample: 5 of 30 false answers and 51 of 109 false refusals,
# a calibration about 5 and 26: better than nothing, and no match for one.
DEFAULT_THRESHOLD = 0.35

# A sentence's similarity goes from 0 to 1 over a question's candidates; the others in its units.
# Round numbers: on the sample, halving or doubling any one of them changes the share of questions
# whose answer is quoted by less than its sampling error.
_CHUNK = 0.5  # the chunk's place: retrieval read all of it, the sentence is a part
_COVERAGE = 0.5  # the question's words in the sentence and its neighbours
_FULL = 0.25  # statements before fragments
_SHARP = 0.2  # identifiers and numbers that are missing
_NUMBER = 0.2  # asked for a quantity, and none is there
_HEADING = 0.5
_QUESTION = 0.5
_ECHO = 1.0  # the question itself, in quotation marks: never worth quoting
_SAME_LANGUAGE = 0.03  # between equals only
_WORTH_QUOTING = 0.5  # below the best


@dataclass(frozen=True, slots=True)
class RankedSentence:
    """A quote. `score` orders the quotes of one question and means nothing else."""

    candidate: SentenceCandidate
    score: float
    coverage: float

    @property
    def quote(self) -> str:
        """The sentence and what it hangs on, to the letter."""
        return " ".join(self.candidate.quoted)


@dataclass(frozen=True, slots=True)
class AnswerFeatures:
    """What calibration reads, in this order. Few: a golden set has few unanswerable questions."""

    sentence_similarity: float  # of the nearest sentence under its heading
    chunk_coverage: float  # weight of the question's words that the fullest chunk holds, 0 to 1
    sharp_missing: float  # share of its identifiers and numbers that the fullest chunk lacks

    def vector(self) -> tuple[float, ...]:
        """The features as numbers."""
        return astuple(self)


FEATURE_NAMES = tuple(f.name for f in fields(AnswerFeatures))


@dataclass(frozen=True, slots=True)
class AnswerDecision:
    """Whether to answer. Not calibrated: by the conservative default."""

    answer: bool
    score: float
    threshold: float
    calibrated: bool


@dataclass(frozen=True, slots=True)
class TermWeights:
    """How rare a term is among some texts; a term that none of them holds is the rarest."""

    texts: int
    holding: Mapping[str, int]

    def weight(self, term: str) -> float:
        """ln(1 + (N - n + 0.5) / (n + 0.5)) (Robertson & Zaragoza, The Probabilistic Relevance
        Framework, 2009, in the form that is never negative)."""
        n = self.holding.get(term, 0)
        return math.log1p((self.texts - n + 0.5) / (n + 0.5))


def term_weights(texts: Sequence[Collection[str]]) -> TermWeights:
    """Weights from the tokens of each text."""
    counts = Counter(term for text in texts for term in set(text))
    return TermWeights(texts=len(texts), holding=dict(counts))


def likely_sentences(
    question: str,
    candidates: Sequence[SentenceCandidate],
    *,
    tokens: Tokenizer,
    limit: int,
) -> list[SentenceCandidate]:
    """The `limit` most likely candidates by what needs no model, in the order given.

    Those of a smaller limit are among those of a larger one.
    """
    covered = _coverages(question, candidates, tokens)
    scores = [
        _CHUNK * c.rank_score + s + _form(c) for c, s in zip(candidates, covered, strict=True)
    ]
    best = sorted(range(len(candidates)), key=lambda i: -scores[i])[:limit]
    return [candidates[i] for i in sorted(best)]


def rank_sentences(
    question: str,
    candidates: Sequence[SentenceCandidate],
    similarities: Sequence[float],
    *,
    language: str,
    tokens: Tokenizer,
    limit: int = 3,
) -> list[RankedSentence]:
    """What to quote, best first: at most `limit`, none far below the best, no sentence twice.

    `similarities` are the cosines of the candidates' `searched` texts to the question; candidates
    whose similarity is not finite are left out. `language` is the question's. Ties keep the order.
    """
    usable = [(c, s) for c, s in zip(candidates, similarities, strict=True) if math.isfinite(s)]
    if not usable:
        return []
    covered = _coverages(question, [c for c, _ in usable], tokens)
    low = min(s for _, s in usable)
    spread = max(s for _, s in usable) - low
    ranked = [
        RankedSentence(
            candidate,
            ((similarity - low) / spread if spread > 0 else 1.0)
            + _CHUNK * candidate.rank_score
            + _COVERAGE * share
            + _form(candidate)
            + _fit(question, candidate, language),
            share,
        )
        for (candidate, similarity), share in zip(usable, covered, strict=True)
    ]
    return _worth_quoting(sorted(ranked, key=lambda r: -r.score), limit=limit)


def answer_features(
    question: str,
    chunks: Sequence[RetrievedChunk],
    similarities: Sequence[float],
    *,
    tokens: Tokenizer,
) -> AnswerFeatures:
    """Measure a question against what was retrieved for it; nothing: the worst of each.

    `similarities` are those of the likely sentences.
    """
    if not chunks:
        return AnswerFeatures(0.0, 0.0, 1.0)
    token_sets = [frozenset(tokens(c.searched)) for c in chunks]
    weights = term_weights(token_sets)
    terms, sharp = asked_terms(question, tokens), sharp_terms(question)
    return AnswerFeatures(
        sentence_similarity=max((s for s in similarities if math.isfinite(s)), default=0.0),
        chunk_coverage=max(_coverage(terms, held, weights) for held in token_sets),
        sharp_missing=min(missing_share(sharp, c.searched) for c in chunks),
    )


def decide_answer(features: AnswerFeatures, calibration: Calibration | None) -> AnswerDecision:
    """Whether to answer or to say "I do not know". A score that is not finite never answers.

    A calibration of other features than today's (an older release's) is none.
    """
    calibrated = calibration is not None and calibration.features == FEATURE_NAMES
    if calibration is not None and calibrated:
        score, threshold = calibration.probability(features.vector()), calibration.threshold
    else:
        score = features.chunk_coverage if features.sharp_missing <= 0.0 else 0.0
        threshold = DEFAULT_THRESHOLD
    answer = math.isfinite(score) and score >= threshold
    return AnswerDecision(answer, score, threshold, calibrated)


def _form(candidate: SentenceCandidate) -> float:
    """What speaks for or against quoting a sentence, whatever the question."""
    score = _FULL * candidate.fullness
    score -= _HEADING if candidate.is_heading else 0.0
    return score - (_QUESTION if candidate.is_question else 0.0)


def _fit(question: str, candidate: SentenceCandidate, language: str) -> float:
    """What the question asks for in particular, and whether the sentence has it."""
    missing = missing_share(sharp_terms(question), candidate.searched)
    lacks_number = asks_for_number(question) and not holds_number(candidate.sentence)
    same = _SAME_LANGUAGE if candidate.language == language else 0.0
    echo = _ECHO if echoes(candidate.sentence, question) else 0.0
    return same - echo - _SHARP * missing - (_NUMBER if lacks_number else 0.0)


def _coverages(
    question: str, candidates: Sequence[SentenceCandidate], tokens: Tokenizer
) -> list[float]:
    """Share of the question's words in each candidate's context; a rare word weighs more."""
    weights = term_weights([frozenset(tokens(c.sentence)) for c in candidates])
    terms = asked_terms(question, tokens)
    return [_coverage(terms, frozenset(tokens(c.context)), weights) for c in candidates]


def _coverage(terms: Sequence[str], held: Collection[str], weights: TermWeights) -> float:
    total = math.fsum(weights.weight(t) for t in terms)
    found = math.fsum(weights.weight(t) for t in terms if t in held)
    return found / total if total > 0 else 0.0


def _worth_quoting(ranked: Sequence[RankedSentence], *, limit: int) -> list[RankedSentence]:
    best = ranked[0].score
    chosen: list[RankedSentence] = []
    said: set[str] = set()
    for sentence in ranked:
        quoted = sentence.candidate.quoted
        if sentence.score >= best - _WORTH_QUOTING and said.isdisjoint(quoted):
            chosen.append(sentence)
            said.update(quoted)
    return chosen[:limit]
