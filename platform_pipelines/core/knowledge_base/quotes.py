"""Sentences of retrieved chunks that may be quoted, and the few of them worth comparing closely."""

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass

from platform_pipelines.core.knowledge_base.matching import fold
from platform_pipelines.core.knowledge_base.sentences import split_sentences
from platform_pipelines.core.knowledge_base.text import display_width

WHOLE_ANSWER_COLUMNS = 80  # a statement of this width says enough; a Hangul syllable is two
_LIST_MARKS = ("- ", "* ", "• ", "+ ")
_MOST_LIST_ITEMS = 4
_CELL = " | "
_LABEL_COLUMNS = 60
_TERM_CHARACTERS = 24
_QUOTED = re.compile(r"[\"“”]([^\"“”]{6,})[\"“”]")
_LABEL = re.compile(r"[^\W\d_][\w ,()/&'’]*(?<![다요죠음함임됨])")
# A sentence that starts so says nothing without the one before it.
_CONTINUES = (
    "It ", "They ", "This ", "These ", "That ", "Those ", "Then ", "Otherwise", "Instead ",
    "However", "So ", "But ", "And ", "Both ", "그 ", "그러", "그래", "그리고", "이는 ", "이때",
    "이 ", "다만", "단,", "단 ", "따라서", "또한", "하지만", "반대로", "둘 다",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class RetrievedChunk:
    """A retrieved chunk. `score` is that of the ranking, 0 or more."""

    chunk_id: str
    text: str  # what is shown
    searched: str  # title, headings and text
    title: str
    heading: tuple[str, ...]
    language: str
    score: float


@dataclass(frozen=True, slots=True)
class SentenceCandidate:
    """A sentence with what stands around it. `rank_score`: of its chunk, 1 for the best one."""

    chunk_id: str
    sentence: str
    context: str  # with its neighbours
    quoted: tuple[str, ...]  # it and what it makes no sense without, in the text's order
    head: str  # title and innermost heading
    language: str
    rank_score: float
    is_heading: bool

    @property
    def searched(self) -> str:
        """What is embedded of it: few sentences name what they are about, their headings do."""
        return f"{self.head}\n{self.sentence}"

    @property
    def fullness(self) -> float:
        """Share of a whole statement's width, at most 1: fragments and labels have little."""
        return min(1.0, display_width(self.sentence) / WHOLE_ANSWER_COLUMNS)

    @property
    def is_question(self) -> bool:
        """A question resembles the question that is asked more than its answer does."""
        return self.sentence.endswith(("?", "？"))


def echoes(sentence: str, question: str) -> bool:
    """Whether a sentence holds the question, or a part of it, in quotation marks: an example."""
    asked = fold(question).rstrip("?？")
    quoted = (fold(found).rstrip("?？") for found in _QUOTED.findall(sentence))
    return any(part and (part in asked or asked in part) for part in quoted)


def quotable(chunks: Sequence[RetrievedChunk]) -> list[SentenceCandidate]:
    """All sentences of the chunks, in their order."""
    best = max((c.score for c in chunks), default=0.0)
    return [
        candidate
        for chunk in chunks
        for candidate in _of_chunk(chunk, chunk.score / best if best > 0 else 0.0)
    ]


def _of_chunk(chunk: RetrievedChunk, rank_score: float) -> list[SentenceCandidate]:
    sentences = _with_terms(split_sentences(chunk.text))
    headings = {chunk.title, *chunk.heading}
    head = [part for part in (chunk.title, *chunk.heading[-1:]) if part]
    rows = _header_rows(sentences)
    return [
        SentenceCandidate(
            chunk_id=chunk.chunk_id,
            sentence=sentence,
            context="\n".join(_unique(rows.get(i, ""), *sentences[max(0, i - 1) : i + 2])),
            quoted=_unique(rows.get(i, ""), *_quoted(sentences, i)),
            head="\n".join(_unique(*head, rows.get(i, ""))),
            language=chunk.language,
            rank_score=rank_score,
            is_heading=sentence.strip("# ") in headings
            or _is_label(sentence)
            or rows.get(i) == sentence,
        )
        for i, sentence in enumerate(sentences)
    ]


def _unique(*parts: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(part for part in parts if part))


def _header_rows(sentences: Sequence[str]) -> dict[int, str]:
    """Of each row of a table, the row that names its columns: the first of those beside it.

    A chunk's table begins with it, whichever part of the table it is. A row that names its own
    cells (`team: serving | quota: 64`) needs none.
    """
    found: dict[int, str] = {}
    for cells, run in itertools.groupby(range(len(sentences)), lambda i: _cells(sentences[i])):
        rows = list(run)
        if cells and len(rows) > 1:
            found.update(dict.fromkeys(rows, sentences[rows[0]]))
    return found


def _cells(sentence: str) -> int:
    """How many cells a row has; 0 for what is none, or names its own cells."""
    cells = sentence.split(_CELL)
    named = sum(": " in cell for cell in cells)
    return 0 if len(cells) < 2 or named == len(cells) else len(cells)


def _with_terms(sentences: Sequence[str]) -> list[str]:
    """Sentences, a term that a list item explains (`- Revision.`) joined with its explanation."""
    joined: list[str] = []
    for sentence in sentences:
        term = joined[-1] if joined else ""
        if term.startswith(_LIST_MARKS) and term.endswith(".") and len(term) <= _TERM_CHARACTERS:
            joined[-1] = f"{term} {sentence}"
        else:
            joined.append(sentence)
    return joined


def _is_label(sentence: str) -> bool:
    """A short line of plain words without an end: the heading of a part, a caption, a cell."""
    return sentence.startswith("#") or (
        display_width(sentence) < _LABEL_COLUMNS and _LABEL.fullmatch(sentence) is not None
    )


def _quoted(sentences: Sequence[str], at: int) -> tuple[str, ...]:
    """A sentence with the list that it introduces, or with the neighbour that it hangs on."""
    sentence, following = sentences[at], sentences[at + 1 :]
    if sentence.endswith((":", "：")):
        return (sentence, *_alike(following[:_MOST_LIST_ITEMS]))
    if at and sentence.startswith(_CONTINUES):
        return (sentences[at - 1], sentence)
    if following and following[0].startswith(_CONTINUES):
        return (sentence, following[0])
    return (sentence,)


def _alike(items: Sequence[str]) -> list[str]:
    """The first items that are all list items, or all not."""
    marked = [item.startswith(_LIST_MARKS) or item[:1].isdigit() for item in items]
    return [
        item
        for item, _ in itertools.takewhile(
            lambda p: p[1] == marked[0], zip(items, marked, strict=True)
        )
    ]
