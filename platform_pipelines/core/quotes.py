"""Sentences of retrieved chunks that may be quoted, and the few of them worth comparing closely."""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from platform_pipelines.core.sentences import split_sentences

WHOLE_ANSWER_COLUMNS = 80  # a statement of this width says enough; a Hangul syllable is two
COMPARED_SENTENCES = 12  # of one question: more cost time, and add no quoted answers
_LIST_MARKS = ("- ", "* ", "• ", "+ ")
_MOST_LIST_ITEMS = 4
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
    position: int  # among the sentences of its chunk
    sentence: str
    context: str  # with its neighbours
    after: tuple[str, ...]  # what continues it, to be quoted with it
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
        wide = sum(unicodedata.east_asian_width(c) in "WF" for c in self.sentence)
        return min(1.0, (len(self.sentence) + wide) / WHOLE_ANSWER_COLUMNS)

    @property
    def is_question(self) -> bool:
        """A question resembles the question that is asked more than its answer does."""
        return self.sentence.endswith(("?", "？"))


def quotable(chunks: Sequence[RetrievedChunk]) -> list[SentenceCandidate]:
    """All sentences of the chunks, in their order."""
    best = max((c.score for c in chunks), default=0.0)
    return [
        candidate
        for chunk in chunks
        for candidate in _of_chunk(chunk, chunk.score / best if best > 0 else 0.0)
    ]


def _of_chunk(chunk: RetrievedChunk, rank_score: float) -> list[SentenceCandidate]:
    sentences = split_sentences(chunk.text)
    headings = {chunk.title, *chunk.heading}
    head = "\n".join(dict.fromkeys(part for part in (chunk.title, *chunk.heading[-1:]) if part))
    return [
        SentenceCandidate(
            chunk_id=chunk.chunk_id,
            position=i,
            sentence=sentence,
            context="\n".join(sentences[max(0, i - 1) : i + 2]),
            after=_continued(sentence, sentences[i + 1 :]),
            head=head,
            language=chunk.language,
            rank_score=rank_score,
            is_heading=sentence.startswith("#") or sentence.strip("# ") in headings,
        )
        for i, sentence in enumerate(sentences)
    ]


def _continued(sentence: str, following: Sequence[str]) -> tuple[str, ...]:
    """The list that a sentence introduces, or the next sentence when it only makes sense after."""
    if sentence.endswith((":", "：")):
        items: list[str] = []
        for item in following[:_MOST_LIST_ITEMS]:
            if items and _marked(items[0]) != _marked(item):
                break
            items.append(item)
        return tuple(items)
    if following and following[0].startswith(_CONTINUES):
        return (following[0],)
    return ()


def _marked(item: str) -> bool:
    return item.startswith(_LIST_MARKS) or item[:1].isdigit()
