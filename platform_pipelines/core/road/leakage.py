"""The leakage guard: what is judged by a question must not have learnt its answer from it.

A text leaks a question when it holds it, or nearly: their character n-grams, after case, width,
spaces and punctuation are taken away, overlap. Containment finds a question inside a longer text,
similarity finds one that was reworded a little. Everything that makes data for training, prompts or
indexes of examples goes through here.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

GRAM_CHARACTERS = 4
SIMILAR = 0.75  # Jaccard of the n-grams of two questions
CONTAINED = 0.9  # share of the question's n-grams that a text holds
_NOT_WORD = re.compile(r"[\W_]+")


@dataclass(frozen=True, slots=True)
class Leak:
    """A text that holds a question: where, which one, and how much of it."""

    position: int  # in the texts that were looked at
    question_id: str
    similarity: float
    containment: float


def normalised(text: str) -> str:
    """Case, width, accents' form, spaces and punctuation taken away."""
    return _NOT_WORD.sub("", unicodedata.normalize("NFKC", text).casefold())


def grams(text: str) -> frozenset[str]:
    """The character n-grams of a text in its normal form; a short one is one gram."""
    plain = normalised(text)
    if len(plain) <= GRAM_CHARACTERS:
        return frozenset((plain,)) if plain else frozenset()
    return frozenset(
        plain[i : i + GRAM_CHARACTERS] for i in range(len(plain) - GRAM_CHARACTERS + 1)
    )


class LeakageGuard:
    """Finds the questions that a text gives away.

    Cost: the n-grams of a text, whatever the number of questions that share none of them.
    """

    def __init__(self, questions: Iterable[tuple[str, str]]) -> None:
        """`questions`: (id, text) each; blank ones are ignored."""
        self._grams = {name: found for name, text in questions if (found := grams(text))}
        self._holders: dict[str, list[str]] = {}
        for name, found in self._grams.items():
            for gram in found:
                self._holders.setdefault(gram, []).append(name)

    def leaks(self, texts: Sequence[Sequence[str]]) -> list[Leak]:
        """One leak at most for each text, its worst. A text is given as its parts (its turns)."""
        found = (self._worst(position, parts) for position, parts in enumerate(texts))
        return [leak for leak in found if leak is not None]

    def _worst(self, position: int, parts: Sequence[str]) -> Leak | None:
        worst: Leak | None = None
        for part in parts:
            leak = self._in_part(position, grams(part))
            if leak and (worst is None or _weight(leak) > _weight(worst)):
                worst = leak
        return worst

    def _in_part(self, position: int, held: frozenset[str]) -> Leak | None:
        shared = Counter(name for gram in held for name in self._holders.get(gram, ()))
        leaks: list[Leak] = []
        for name, count in shared.items():
            asked = len(self._grams[name])
            similarity, containment = count / (asked + len(held) - count), count / asked
            if similarity >= SIMILAR or containment >= CONTAINED:
                leaks.append(Leak(position, name, similarity, containment))
        return max(leaks, key=lambda leak: (*_weight(leak), leak.question_id), default=None)


def _weight(leak: Leak) -> tuple[float, float]:
    return leak.containment, leak.similarity
