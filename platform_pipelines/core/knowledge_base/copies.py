"""Near-duplicates: passages that say, nearly to the letter, what another document says.

A PDF beside the HTML pages that it was printed from would fill half of what a search shows. The
passage that is shown is of the form that keeps more of the structure; the others stand beside it
as "also in". What differs in a number or in a `not` is no copy: last year's rules are not this
year's, whatever they share.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, TypeAlias

from platform_pipelines.core.knowledge_base.matching import fold

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Marks: TypeAlias = npt.NDArray[np.uint64]

RUN = 16  # characters, spaces and marks left out: three words, or a Korean clause
SHARE = 0.7  # of a passage's runs. One changed letter takes 16 runs with it
ONE_IN = 4  # runs are sampled, by their own content: equal ones on both sides
FEWEST = 8  # sampled runs; a shorter passage is a copy where it stands whole
_TOUCHED = 0.2  # of a passage: less is a phrase that many documents hold
_BESIDE = 6  # characters beside a number or a `not` that must agree on one side

# The shown one of equals is the first of these: what was written before what was printed from it.
_FORMS = (
    "markdown", "html", "docx", "hwpx", "text", "chat", "mail", "xlsx", "csv", "code", "pptx",
    "pdf", "image",
)  # fmt: skip
_SHARP = re.compile(  # of a folded text, which has no spaces: `another` holds a `not`, too
    r"\d+(?:[.,:]\d+)*|never|not|without|except|n['’]t|않|없|못|금지|불가|아니|아닌|제외"
)


@dataclass(frozen=True, slots=True)
class Passage:
    """What is compared of a chunk."""

    chunk_id: str
    document_key: str
    document_type: str
    text: str


@dataclass(frozen=True, slots=True)
class Copies:
    """Chunk ids only. `shown`: of each copy, the passages that say the same and are kept.

    `held`: of a passage that says more, the preferred ones that stand in it whole.
    """

    shown: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    held: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])

    def collapse(self, ranking: Sequence[str]) -> list[str]:
        """A ranking without copies: what says the same takes their place, or one before it.

        A passage that holds a preferred one, and more, stays, behind the one that it holds.
        """
        rank = {item: place for place, item in enumerate(ranking)}
        placed: dict[str, None] = {}
        for item in ranking:
            kept, held = self.shown.get(item, ()), self.held.get(item, ())
            first = min(kept or held, key=lambda i: rank.get(i, len(rank)), default=None)
            if first is not None:
                placed.setdefault(first)
            if not kept:
                placed.setdefault(item)
        return list(placed)


def preference(passage: Passage) -> tuple[int, int, str, str]:
    """Of passages that say the same, the one with the least is shown."""
    form = passage.document_type
    place = _FORMS.index(form) if form in _FORMS else len(_FORMS)
    return place, len(passage.document_key), passage.document_key, passage.chunk_id


def find_copies(passages: Sequence[Passage]) -> Copies:
    """Which of some passages are copies of others among them; never within one document."""
    if len({p.document_key for p in passages}) < 2:
        return Copies()
    ordered = sorted({p.chunk_id: p for p in passages}.values(), key=preference)
    prepared = [_prepared(p.text) for p in ordered]
    folded = [text for text, _ in prepared]
    shares = _Shares(folded, [marks for _, marks in prepared])
    shown: dict[str, tuple[str, ...]] = {}
    held: dict[str, tuple[str, ...]] = {}
    for number, passage in enumerate(ordered):
        others = [
            n
            for n in shares.touching(number)
            if ordered[n].document_key != passage.document_key and ordered[n].chunk_id not in shown
        ]
        said_by = sorted(others, key=lambda n: -shares.of(number, [n]))
        if shares.of(number, said_by) >= SHARE and agrees(
            folded[number], [folded[n] for n in said_by]
        ):
            shown[passage.chunk_id] = tuple(ordered[n].chunk_id for n in said_by)
            continue
        inside = [n for n in others if _stands_in(folded, shares, n, number)]
        if inside:
            held[passage.chunk_id] = tuple(ordered[n].chunk_id for n in inside)
    return Copies(shown, held)


@lru_cache(maxsize=4096)  # a search finds the chunks of the one before it: 8 MB
def _prepared(text: str) -> "tuple[str, Marks]":
    folded = fold(text).casefold()
    return folded, run_marks(folded)


def _stands_in(folded: Sequence[str], shares: "_Shares", part: int, whole: int) -> bool:
    return shares.of(part, [whole]) >= SHARE and agrees(folded[part], [folded[whole]])


def agrees(text: str, others: Sequence[str]) -> bool:
    """Whether folded texts hold the same numbers and the same `not`s where they say the same.

    Each one of the text stands in the others, with the characters before it or those behind it; and
    the text does not go on without one where the others have it.
    """
    for match in _SHARP.finditer(text):
        before = text[max(0, match.start() - _BESIDE) : match.end()]
        behind = text[match.start() : match.end() + _BESIDE]
        if not any(_ends(before, other) or _begins(behind, other) for other in others):
            return False
    return not any(_lacks(text, other) for other in others)


def _ends(piece: str, other: str) -> bool:
    """Whether a piece stands in a text; the number at its end is not the beginning of a longer."""
    at = other.find(piece)
    while at >= 0:
        end = at + len(piece)
        if not (piece[-1].isdigit() and other[end : end + 1].isdigit()):
            return True
        at = other.find(piece, at + 1)
    return False


def _begins(piece: str, other: str) -> bool:
    """Whether a piece stands in a text; the number at its beginning is not the end of a longer."""
    at = other.find(piece)
    while at >= 0:
        if not (piece[0].isdigit() and other[max(0, at - 1) : at].isdigit()):
            return True
        at = other.find(piece, at + 1)
    return False


def _lacks(text: str, other: str) -> bool:
    return any(
        match.start() >= _BESIDE
        and other[match.start() - _BESIDE : match.start()]
        + other[match.end() : match.end() + _BESIDE]
        in text
        for match in _SHARP.finditer(other)
    )


def run_marks(text: str, *, one_in: int = ONE_IN) -> "Marks":
    """The sampled runs of a folded text, as sorted 64-bit marks; equal runs have equal marks."""
    import numpy as np

    codes = np.frombuffer(text.encode("utf-32-le", "replace"), dtype=np.uint32).astype(np.uint64)
    length = len(codes) - RUN + 1
    if length < 1:
        return np.zeros(0, dtype=np.uint64)
    marks = np.zeros(length, dtype=np.uint64)
    for step in range(RUN):  # a polynomial modulo 2**64
        marks = marks * np.uint64(0x9E3779B97F4A7C15) + codes[step : step + length]
    marks ^= marks >> np.uint64(29)
    marks *= np.uint64(0xBF58476D1CE4E5B9)
    marks ^= marks >> np.uint64(32)
    return np.unique(marks[marks % np.uint64(one_in) == 0])


class _Shares:
    """How much of each passage stands in others; by a table of [distinct runs, passages]."""

    def __init__(self, folded: Sequence[str], marks: "Sequence[Marks]") -> None:
        import numpy as np

        distinct, places = np.unique(np.concatenate(marks), return_inverse=True)
        self._rows = np.split(places, np.cumsum([len(one) for one in marks])[:-1])
        self._present = np.zeros((len(distinct), len(marks)), dtype=np.bool_)
        for number, own in enumerate(self._rows):
            self._present[own, number] = True
        self._pairs = np.stack([self._pair(folded, number) for number in range(len(marks))])

    def _pair(self, folded: Sequence[str], number: int) -> "npt.NDArray[np.float64]":
        import numpy as np

        own = self._rows[number]
        if len(own) >= FEWEST:
            return self._present[own].sum(axis=0) / len(own)
        return np.asarray([float(folded[number] in other) for other in folded])

    def touching(self, passage: int) -> list[int]:
        """Those before it that share a good part of it, or of themselves, with it."""
        both = (self._pairs[passage] >= _TOUCHED) | (self._pairs[:, passage] >= _TOUCHED)
        return [int(n) for n in both[:passage].nonzero()[0]]

    def of(self, passage: int, others: Sequence[int]) -> float:
        """The share of a passage's runs that stand in any of the others."""
        single = max((float(self._pairs[passage][n]) for n in others), default=0.0)
        if len(others) < 2 or len(self._rows[passage]) < FEWEST:
            return single
        own = self._present[self._rows[passage]]
        return float(own[:, list(others)].any(axis=1).mean())
