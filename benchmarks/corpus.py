"""A synthetic corpus: Markdown documents, every other one Korean, equal for equal numbers.

Every document has words of its own beside a shared vocabulary, so that a sentence finds its
document again without labels. A word is a number written in syllables: no lists, no chance.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

CHANGED_EVERY = 100  # one document in a hundred: 1 %
DOCUMENT_BYTES = (2_000, 3_000)
SECTIONS = 4
SHARED_WORDS = 1_500
OWN_WORDS = 24
SENTENCE_WORDS = (8, 13)
FOLDER_DOCUMENTS = 500

_ENGLISH = [a + b for a in "bcdfghklmnprstvz" for b in ("a", "e", "i", "o", "u", "ar", "en", "is")]
_KOREAN = [chr(0xAC00 + (lead * 21 + vowel) * 28) for lead in range(19) for vowel in (0, 4, 8, 13)]
_PARTICLES = ("은", "는", "이", "가", "을", "를", "에서", "의", "와", "에", "로", "")
_ENDINGS = ("합니다", "했습니다", "됩니다", "한다", "하세요")


@dataclass(frozen=True, slots=True)
class _Language:
    syllables: list[str]
    sentence: Callable[[random.Random, list[str]], str]


def write_corpus(folder: Path, documents: int) -> int:
    """Write documents 0 to `documents` - 1; the bytes written."""
    return sum(_write(folder, number, edition=0) for number in range(documents))


def change_corpus(folder: Path, documents: int, *, edition: int) -> int:
    """Rewrite one paragraph of every hundredth document; how many documents changed."""
    changed = range(CHANGED_EVERY // 2, documents, CHANGED_EVERY)
    for number in changed:
        _write(folder, number, edition=edition)
    return len(changed)


def document_text(number: int, *, edition: int = 0) -> str:
    """One document; another `edition` has another last paragraph and is otherwise the same."""
    chance = random.Random(f"document {number}")
    language = _LANGUAGES[number % 2]
    own = [_word(language, SHARED_WORDS + number * OWN_WORDS + n) for n in range(OWN_WORDS)]
    section_bytes = chance.randint(*DOCUMENT_BYTES) // SECTIONS
    lines = [f"# {_title(own[:3])}", ""]
    for section in range(SECTIONS):
        last = section == SECTIONS - 1
        if last and edition:
            chance = random.Random(f"document {number}, edition {edition}")
        lines += [f"## {_title(own[3 + section : 5 + section])}", ""]
        lines += _section(chance, language, own, section_bytes, as_list=section == 1)
    return "\n".join(lines)


def _section(
    chance: random.Random, language: _Language, own: list[str], size: int, *, as_list: bool
) -> list[str]:
    """Two paragraphs, or a list."""
    sentences: list[str] = []
    left = size
    while left > 0:
        sentences.append(_sentence(chance, language, own))
        left -= len(sentences[-1].encode()) + 1
    if as_list:
        return [*(f"- {sentence}" for sentence in sentences), ""]
    half = len(sentences) // 2
    return [" ".join(sentences[:half]), "", " ".join(sentences[half:]), ""]


def _sentence(chance: random.Random, language: _Language, own: list[str]) -> str:
    count = chance.randint(*SENTENCE_WORDS)
    # Squared: low numbers come more often, as in a natural vocabulary.
    shared = (int(SHARED_WORDS * chance.random() ** 2) for _ in range(count - 3))
    words = [_word(language, number) for number in shared] + chance.choices(own, k=3)
    chance.shuffle(words)
    return language.sentence(chance, words)


def _english(chance: random.Random, words: list[str]) -> str:
    del chance
    return f"{' '.join(words).capitalize()}."


def _korean(chance: random.Random, words: list[str]) -> str:
    *first, verb = words
    said = " ".join(word + chance.choice(_PARTICLES) for word in first)
    return f"{said} {verb}{chance.choice(_ENDINGS)}."


_LANGUAGES = (_Language(_ENGLISH, _english), _Language(_KOREAN, _korean))


def _word(language: _Language, number: int) -> str:
    """The number in base len(syllables), at least two syllables."""
    base = len(language.syllables)
    parts: list[str] = []
    number += base
    while number:
        number, digit = divmod(number, base)
        parts.append(language.syllables[digit])
    return "".join(parts)


def _title(words: list[str]) -> str:
    return " ".join(word.capitalize() for word in words)


def _write(folder: Path, number: int, *, edition: int) -> int:
    path = folder / f"{number // FOLDER_DOCUMENTS:03d}" / f"{number:06d}.md"
    path.parent.mkdir(parents=True, exist_ok=True)
    data = document_text(number, edition=edition).encode()
    path.write_bytes(data)
    return len(data)
