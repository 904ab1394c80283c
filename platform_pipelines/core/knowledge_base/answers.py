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
from platform_pipelines.core.knowledge_base.matching import fold
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
_WHOLE = 16  # folded characters: a shorter part (`Yes.`) stands in many sentences
_CELL = " | "  # between the cells of a table's row
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
    word_coverage: float  # weight of the question's words that the fullest chunk holds, 0 to 1
    passages_coverage: float  # that all chunks hold together
    sharp_missing: float  # share of its identifiers and numbers that the fullest chunk lacks

    def vector(self) -> tuple[float, ...]:
        """The features as numbers."""
        return astuple(self)


FEATURE_NAMES = tuple(f.name for f in fields(AnswerFeatures))


@dataclass(frozen=True, slots=True)
class AnswerDecision:
    """Whether to answer. Not calibrated: by the shipped default, of other corpora."""

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
    corpus: TermWeights | None = None,
) -> AnswerFeatures:
    """Measure a question against what was retrieved for it; nothing: the worst of each.

    `similarities` are those of the likely sentences. Words weigh by their rarity in the `corpus`:
    among the few retrieved chunks alone, one word that they happen to lack decides. Where nobody
    counted (a release of an earlier version), the retrieved ones have to do.
    """
    if not chunks:
        return AnswerFeatures(0.0, 0.0, 0.0, 1.0)
    token_sets = [frozenset(tokens(c.searched)) for c in chunks]
    weights = corpus or term_weights(token_sets)
    terms, sharp = asked_terms(question, tokens), sharp_terms(question)
    return AnswerFeatures(
        sentence_similarity=max((s for s in similarities if math.isfinite(s)), default=0.0),
        word_coverage=max(_coverage(terms, held, weights) for held in token_sets),
        passages_coverage=_coverage(terms, frozenset[str]().union(*token_sets), weights),
        sharp_missing=min(missing_share(sharp, c.searched) for c in chunks),
    )


def decide_answer(
    features: AnswerFeatures, calibration: Calibration | None, *, default: Calibration
) -> AnswerDecision:
    """Whether to answer or to say "I do not know". A score that is not finite never answers.

    A calibration of other features than today's (an older release's) is none. The default may be
    of some of them: how near a sentence is means another number with each embedder.
    """
    calibrated = calibration is not None and calibration.features == FEATURE_NAMES
    used = calibration if calibration is not None and calibrated else default
    values = dict(zip(FEATURE_NAMES, features.vector(), strict=True))
    score = used.probability([values[name] for name in used.features])
    if not all(math.isfinite(value) for value in values.values()):
        score = math.nan
    answer = math.isfinite(score) and score >= used.threshold
    return AnswerDecision(answer, score, used.threshold, calibrated)


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
    said: list[str] = []
    for sentence in ranked:
        # A header may be said again, with another row of its table.
        parts = [fold(part) for part in sentence.candidate.quoted[-1:]]
        parts += [fold(part) for part in sentence.candidate.quoted[:-1] if _CELL not in part]
        if sentence.score >= best - _WORTH_QUOTING and not _said_again(parts, said):
            chosen.append(sentence)
            said.extend(fold(part) for part in sentence.candidate.quoted)
    return chosen[:limit]


def _said_again(parts: Sequence[str], said: Sequence[str]) -> bool:
    """Whether a part is, or is a part of, what was said: chunks overlap, and documents repeat."""
    worded = [part for part in parts if part]
    if not worded:
        return bool(said)
    return any(
        part in one or (len(one) >= _WHOLE and one in part) for part in worded for one in said
    )
