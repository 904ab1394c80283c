"""Extractive answers: which sentences answer a question, and whether any does.

Cosines of the e5 models lie between 0.75 and 0.92 whatever the texts, so similarity alone cannot
tell an answer from its absence. It is combined with what a reader would check: are the question's
rare words there, its identifiers, its numbers?
"""

import math
import re
import statistics
import unicodedata
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from typing import TypeAlias

from platform_pipelines.core.calibration import Calibration

Tokenizer: TypeAlias = Callable[[str], list[str]]


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Without a calibration: this share of the weight of the question's words in one chunk, and all its
# identifiers and numbers. Chosen on the sample's questions over rough chunks, where it gave 5 of 30
# false answers and 48 of 101 false refusals: better than nothing, and no match for a calibration.
DEFAULT_THRESHOLD = 0.35
_SIMILARITY_SCALE = 5.0  # 0.1 of cosine weighs as much as half of the question's words
_SAME_LANGUAGE = 0.15  # of a score around 1: a good sentence in the other language still wins
_IS_HEADING = 0.2  # a heading, a label, a cell: close to the question, and no answer
_SHORT_CHARACTERS = 24
_WORTH_QUOTING = 0.3  # below the best
_IS_QUESTION = 0.4  # headings of a FAQ resemble the question more than their answers do

_WORD = re.compile(r"[\w][\w.\-/:]*[\w]|\w")
_SEPARATED = re.compile(r"(?<=\d),(?=\d{3})")
_NUMBER = re.compile(r"(?<![\w.])\d+(?:[.:]\d+)*")
_ASCII_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.\-/]*[A-Za-z0-9]")
_IDENTIFIER = re.compile(r"(?=.*[A-Za-z])(?:.*[\d_/].*|.*\w\.\w.*|[A-Z]{2,}|.*[a-z][A-Z].*)")
_FUNCTION_WORDS = _words(
    """
    a an the is are was were be been am do does did doing done can could should would will shall may
    might must have has had how what which who whom whose when where why in on at of for to from by
    with without as and or not no if then than that this these those it its we our us you your i my
    me they their them there here any some all many much long often into about per please tell give
    get gets use used using need needs happen happens so
    """
)


@dataclass(frozen=True, slots=True)
class RetrievedChunk:
    """A retrieved chunk: what is searched of it (title, headings and text), and its cosine."""

    chunk_id: str
    text: str
    similarity: float


@dataclass(frozen=True, slots=True)
class SentenceCandidate:
    """A sentence of a retrieved chunk, its cosine to the question, and its document's language."""

    chunk_id: str
    sentence: str
    similarity: float
    language: str


@dataclass(frozen=True, slots=True)
class RankedSentence:
    """A sentence to quote. `score` orders the sentences of one question and means nothing else."""

    candidate: SentenceCandidate
    score: float
    coverage: float


@dataclass(frozen=True, slots=True)
class AnswerFeatures:
    """What calibration reads, in this order. Shares are in [0, 1]."""

    top_similarity: float
    similarity_margin: float  # best chunk over the median chunk
    chunk_coverage: float  # weight of the question's words that the best chunk holds
    sentence_coverage: float  # the same of the best sentence
    sharp_missing: float  # share of its identifiers and numbers that the fullest chunk lacks
    support: float  # similarity and coverage together, of the chunk that has most of both

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


def content_terms(question: str, tokens: Tokenizer) -> tuple[str, ...]:
    """The question's tokens without English function words, each once.

    Korean gets no list: on the sample's 84 Korean questions, dropping particles and question words
    told answers from their absence no better (AUC of the coverage 0.78 with, 0.85 without).
    """
    words = _WORD.findall(unicodedata.normalize("NFC", question))
    kept = [w for w in words if w.lower() not in _FUNCTION_WORDS]
    return tuple(dict.fromkeys(t for word in kept for t in tokens(word)))


def sharp_terms(text: str) -> tuple[str, ...]:
    """Identifiers and numbers of a text, lower-cased: what an answer must share to the letter."""
    plain = _SEPARATED.sub("", unicodedata.normalize("NFC", text))
    names = [w.lower() for w in _ASCII_WORD.findall(plain) if _IDENTIFIER.fullmatch(w)]
    return tuple(dict.fromkeys([*names, *_NUMBER.findall(plain)]))


def rank_sentences(
    question: str,
    candidates: Sequence[SentenceCandidate],
    *,
    language: str,
    tokens: Tokenizer,
    limit: int = 3,
) -> list[RankedSentence]:
    """The sentences to quote, best first: at most `limit`, none far below the best, none twice.

    `language` is the question's: sentences in it are preferred. Candidates with a similarity that
    is not finite are left out. Ties keep the order given.
    """
    usable = [c for c in candidates if math.isfinite(c.similarity)]
    if not usable:
        return []
    token_sets = [frozenset(tokens(c.sentence)) for c in usable]
    weights = term_weights(token_sets)
    terms, sharp = content_terms(question, tokens), sharp_terms(question)
    low = min(c.similarity for c in usable)
    spread = max(c.similarity for c in usable) - low
    ranked: list[RankedSentence] = []
    for candidate, held in zip(usable, token_sets, strict=True):
        covered = _coverage(terms, held, weights)
        close = (candidate.similarity - low) / spread if spread > 0 else 1.0
        score = 0.8 * close + 0.4 * covered + 0.1 * (1.0 - _missing(sharp, candidate.sentence))
        ranked.append(RankedSentence(candidate, score + _form(candidate, language), covered))
    return _worth_quoting(sorted(ranked, key=lambda r: -r.score), limit=limit)


def answer_features(
    question: str,
    chunks: Sequence[RetrievedChunk],
    candidates: Sequence[SentenceCandidate],
    *,
    tokens: Tokenizer,
) -> AnswerFeatures:
    """Measure a question against what was retrieved for it; nothing: the worst of each."""
    if not chunks:
        return AnswerFeatures(0.0, 0.0, 0.0, 0.0, 1.0, 0.0)
    token_sets = [frozenset(tokens(c.text)) for c in chunks]
    weights = term_weights(token_sets)
    terms, sharp = content_terms(question, tokens), sharp_terms(question)
    covered = [_coverage(terms, held, weights) for held in token_sets]
    similarities = [c.similarity for c in chunks]
    sentences = [_coverage(terms, set(tokens(c.sentence)), weights) for c in candidates]
    return AnswerFeatures(
        top_similarity=max(similarities),
        similarity_margin=max(similarities) - statistics.median(similarities),
        chunk_coverage=max(covered),
        sentence_coverage=max(sentences, default=0.0),
        sharp_missing=min(_missing(sharp, c.text) for c in chunks),
        support=max(c + _SIMILARITY_SCALE * s for c, s in zip(covered, similarities, strict=True)),
    )


def decide_answer(features: AnswerFeatures, calibration: Calibration | None) -> AnswerDecision:
    """Whether to answer or to say "I do not know". A score that is not finite never answers."""
    if calibration is not None:
        score, threshold = calibration.probability(features.vector()), calibration.threshold
    else:
        score = features.chunk_coverage if features.sharp_missing <= 0.0 else 0.0
        threshold = DEFAULT_THRESHOLD
    answer = math.isfinite(score) and score >= threshold
    return AnswerDecision(answer, score, threshold, calibration is not None)


def _form(candidate: SentenceCandidate, language: str) -> float:
    """What speaks for or against quoting a sentence, whatever the question."""
    sentence = candidate.sentence.strip()
    score = _SAME_LANGUAGE if candidate.language == language else 0.0
    if sentence.endswith(("?", "？")):
        score -= _IS_QUESTION
    if sentence.startswith("#") or len(sentence) < _SHORT_CHARACTERS:
        score -= _IS_HEADING
    return score


def _coverage(terms: Sequence[str], held: Collection[str], weights: TermWeights) -> float:
    total = math.fsum(weights.weight(t) for t in terms)
    found = math.fsum(weights.weight(t) for t in terms if t in held)
    return found / total if total > 0 else 0.0


def _missing(sharp: Sequence[str], text: str) -> float:
    """Share of identifiers and numbers that the text does not hold as whole words; 0 for none."""
    if not sharp:
        return 0.0
    plain = _SEPARATED.sub("", unicodedata.normalize("NFC", text)).lower()
    bounded = (rf"(?<![a-z0-9]){re.escape(term)}(?![a-z0-9])" for term in sharp)
    return sum(re.search(pattern, plain) is None for pattern in bounded) / len(sharp)


def _worth_quoting(ranked: Sequence[RankedSentence], *, limit: int) -> list[RankedSentence]:
    best = ranked[0].score
    chosen: dict[str, RankedSentence] = {}
    for sentence in ranked:
        key = " ".join(sentence.candidate.sentence.split())
        if sentence.score >= best - _WORTH_QUOTING:
            chosen.setdefault(key, sentence)
    return list(chosen.values())[:limit]
