"""Documents that say different numbers of the same thing: told with the answer, never decided.

Which of two documents is right stands in neither. A plain lie looks like an outdated page or a
typing error, and each is an author's to mend; whoever reads the answer must see that there are two.
What is recognised are statements of the same words of which one number differs.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from platform_pipelines.core.knowledge_base.keywords import keyword_tokens
from platform_pipelines.core.knowledge_base.questions import sharp_terms
from platform_pipelines.core.knowledge_base.sentences import split_sentences
from platform_pipelines.core.knowledge_base.text import detect_language

SAME_WORDS = 0.8  # of the shorter statement's
FEWEST_WORDS = 3  # `Limit: 5` and `Limit: 7` may be of two things
_TOLD = {
    "en": "The documents disagree: {}.",
    "ko": "문서들이 서로 다르게 말합니다: {}.",
}


@dataclass(frozen=True, slots=True)
class Claim:
    """A statement of a document; `citation` is its place."""

    text: str
    document_key: str
    citation: str


@dataclass(frozen=True, slots=True)
class Disagreement:
    """What documents say of one thing: each number with the places that say it."""

    values: tuple[tuple[str, tuple[str, ...]], ...]


def claims_of(text: str, *, document_key: str, citation: str) -> list[Claim]:
    """The statements of a passage: what asks is none."""
    sentences = (s for s in split_sentences(text) if not s.endswith(("?", "？")))
    return [Claim(sentence, document_key, citation) for sentence in sentences]


def disagreements(
    question: str, answered: Sequence[str], claims: Sequence[Claim]
) -> tuple[Disagreement, ...]:
    """Where documents disagree about what an answer says, each once.

    A number of the question (which pool, which year) is part of what is asked: a statement that
    lacks it is about something else.
    """
    named = {term for term in sharp_terms(question) if term[0].isdigit()}
    known = [(c, _words(c.text), _numbers(c.text)) for c in claims]
    known = [one for one in known if named <= one[2]]
    found: dict[tuple[str, ...], Disagreement] = {}
    for statement in answered:
        words, numbers = _words(statement), _numbers(statement)
        alike = [one for one in known if _is_alike(words, one[1])]
        own = [one for one in alike if one[2] == numbers]
        others = [one for one in alike if _differs_by_one(numbers, one[2])]
        sides = [*own, *others]
        if own and others and len({claim.document_key for claim, _, _ in sides}) > 1:
            made = _of(numbers, own, others)
            found.setdefault(tuple(sorted(value for value, _ in made.values)), made)
    return tuple(found.values())


def told(question: str, found: Iterable[Disagreement]) -> str:
    """One line for a reader, in the question's language; nothing where documents agree."""
    parts = [
        ", ".join(f"{value} ({', '.join(places)})" for value, places in one.values) for one in found
    ]
    template = _TOLD.get(detect_language(question), _TOLD["en"])
    return template.format("; ".join(parts)) if parts else ""


_Known = tuple[Claim, frozenset[str], frozenset[str]]


def _of(numbers: frozenset[str], own: Sequence[_Known], others: Sequence[_Known]) -> Disagreement:
    places: dict[str, list[str]] = {}
    common = frozenset.intersection(*(held for _, _, held in (*own, *others))) & numbers
    for claim, _, held in (*own, *others):
        value = ", ".join(sorted(held - common))
        if claim.citation not in places.setdefault(value, []):
            places[value].append(claim.citation)
    return Disagreement(tuple((value, tuple(where)) for value, where in places.items()))


def _is_alike(one: frozenset[str], other: frozenset[str]) -> bool:
    shorter = min(len(one), len(other))
    return shorter >= FEWEST_WORDS and len(one & other) >= SAME_WORDS * shorter


def _differs_by_one(one: frozenset[str], other: frozenset[str]) -> bool:
    return len(one - other) == len(other - one) == 1


def _words(text: str) -> frozenset[str]:
    return frozenset(token for token in keyword_tokens(text) if not any(map(str.isdigit, token)))


def _numbers(text: str) -> frozenset[str]:
    return frozenset(term for term in sharp_terms(text) if term[0].isdigit())
