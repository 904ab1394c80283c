"""Running headers, footers and page numbers: lines in a page's margins that return. Pure.

A line is dropped only on proof: it says the same on most pages at the same height, and what varies
in it counts the pages. A row of a ledger at a page's edge has another number, and stays.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from platform_pipelines.stages.knowledge_base.parsing.pdf_layout import Piece, Row, rows_of

# Of the page's height: running lines stand nearer to the paper's edge than a one-inch margin.
_MARGIN_SHARE: Final = 0.09
_SAME_HEIGHT: Final = 3.0  # points from the same edge
_NUMBER: Final = re.compile(
    r"(?<![\w.,/:-])\d{1,5}(?![\w.,:-])|(?<=[pP]\.)\d{1,5}\b|(?<=/)\d{1,5}\b"
)
_NEXT_ROW_EMS: Final = 4.0
_ALIGNED_POINTS: Final = 4.0


def body_size(pieces: Sequence[Piece]) -> float:
    """The font size, to half a point, in which most characters are set."""
    sizes: Counter[float] = Counter()
    for piece in pieces:
        sizes[round(piece.size * 2) / 2] += len(piece.text)
    return max(sizes, key=lambda s: (sizes[s], -s), default=10.0)


@dataclass(frozen=True, slots=True)
class _Seen:
    """A piece in a margin: on which page (from 0), how far from which edge, what it says."""

    page: int
    piece: Piece
    top: bool
    distance: float

    @property
    def shape(self) -> str:
        """The text with each number that may count pages as `#`."""
        return _NUMBER.sub("#", self.piece.text)

    @property
    def numbers(self) -> tuple[int, ...]:
        """The numbers that the shape leaves out."""
        return tuple(map(int, _NUMBER.findall(self.piece.text)))


def without_running_lines(
    pages: Sequence[tuple[list[Piece], float]], *, heading_size: float
) -> list[list[Piece]]:
    """Each page's pieces without its running lines; a page is its pieces and its height.

    A row goes when it stands in a margin, is not set as large as a heading, is no row of a table,
    and each of its pieces is proven to be a running one.
    """
    margins = [_margin_rows(pieces, height, heading_size) for pieces, height in pages]
    seen: list[list[list[_Seen]]] = []
    for page, (rows, (_, height)) in enumerate(zip(margins, pages, strict=True)):
        seen.append([[_seen(page, piece, height) for piece in row.pieces] for row in rows])
    inside = _texts_inside(pages, margins)
    running = _running([s for rows in seen for row in rows for s in row], len(pages), inside)
    kept: list[list[Piece]] = []
    for (pieces, _), rows in zip(pages, seen, strict=True):
        gone = {
            id(s.piece) for row in rows if all(id(s.piece) in running for s in row) for s in row
        }
        kept.append([piece for piece in pieces if id(piece) not in gone])
    return kept


def _seen(page: int, piece: Piece, height: float) -> _Seen:
    top = piece.middle > height / 2
    return _Seen(page, piece, top, height - piece.middle if top else piece.middle)


def _texts_inside(
    pages: Sequence[tuple[list[Piece], float]], margins: Sequence[Sequence[Row]]
) -> frozenset[str]:
    """What stands outside the margins too: dropping a repetition of it loses nothing."""
    outer = {id(piece) for rows in margins for row in rows for piece in row.pieces}
    return frozenset(p.text for pieces, _ in pages for p in pieces if id(p) not in outer)


def _running(seen: Sequence[_Seen], pages: int, inside: frozenset[str]) -> set[int]:
    """Identities of the pieces that return."""
    groups: defaultdict[tuple[bool, str], list[_Seen]] = defaultdict(list)
    for one in seen:
        groups[one.top, one.shape].append(one)
    running: set[int] = set()
    for group in groups.values():
        for level in _levels(group):
            if _is_running(level, pages) or _repeats(level, inside):
                running |= {id(one.piece) for one in level}
    return running


def _levels(group: Sequence[_Seen]) -> list[list[_Seen]]:
    """The same words at the same height."""
    levels: list[list[_Seen]] = []
    for one in sorted(group, key=lambda s: s.distance):
        if levels and one.distance - levels[-1][0].distance <= _SAME_HEIGHT:
            levels[-1].append(one)
        else:
            levels.append([one])
    return levels


def _is_running(level: Sequence[_Seen], pages: int) -> bool:
    """On most pages, or on most of the left or the right ones; what varies counts the pages."""
    on = {one.page for one in level}
    if len(on) < 2 or not all(_counts_pages(level, n) for n in range(len(level[0].numbers))):
        return False
    sides = [sum(page % 2 == side for page in on) * 2 for side in (0, 1)]
    halves = ((pages + 1) // 2, pages // 2)
    alternating = any(n >= 4 and n > half for n, half in zip(sides, halves, strict=True))
    return len(on) * 2 > pages or alternating


def _counts_pages(level: Sequence[_Seen], number: int) -> bool:
    """Whether the number is the same on each page, or as far from the page as on the others."""
    values = [one.numbers[number] for one in level]
    return (
        len(set(values)) == 1
        or len({v - one.page for v, one in zip(values, level, strict=True)}) == 1
    )


def _repeats(level: Sequence[_Seen], inside: frozenset[str]) -> bool:
    """A chapter's title over its pages: it stands in the text as well."""
    texts = {one.piece.text for one in level}
    return len({one.page for one in level}) >= 2 and len(texts) == 1 and texts <= inside


def _margin_rows(pieces: Sequence[Piece], height: float, heading_size: float) -> list[Row]:
    edge = _MARGIN_SHARE * height
    rows = rows_of(pieces)
    found: list[Row] = []
    for number, row in enumerate(rows):
        outer = all(p.middle < edge or p.middle > height - edge for p in row.pieces)
        beside = [rows[n] for n in (number - 1, number + 1) if 0 <= n < len(rows)]
        small = all(piece.size < heading_size for piece in row.pieces)
        if outer and small and not any(_is_table_row(row, other) for other in beside):
            found.append(row)
    return found


def _is_table_row(row: Row, other: Row) -> bool:
    """Whether two rows of several pieces stand under each other like rows of a table."""
    near = abs(row.middle - other.middle) <= _NEXT_ROW_EMS * max(row.size, 1.0)
    lefts = [piece.left for piece in other.pieces]
    aligned = sum(
        any(abs(piece.left - left) <= _ALIGNED_POINTS for left in lefts) for piece in row.pieces
    )
    return near and aligned >= 2
