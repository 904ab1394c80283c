"""Geometry of a PDF page: characters to pieces of lines, pieces to reading order. Pure.

Lengths are PDF points; y grows upward. A piece is a run of characters on one base line without a
gap as wide as a gutter; a table row is several pieces on one base line.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from math import inf
from typing import Final, TypeVar

GUTTER_EMS: Final = 1.8  # a gap wider than this separates columns or cells, not words
_NARROW_EMS: Final = 0.7  # a gap wider than a space: between cells, or in stretched lines
_SAME_LINE: Final = 0.5  # of the smaller height: how far the middles of one row's pieces may differ
_COLUMN_SHARE: Final = 0.28  # of the page's text width: narrower pieces are cells, not columns
_COLUMN_LINES: Final = 3
_DEEPEST_CUT: Final = 6
_GUTTER_CANDIDATES: Final = 12


@dataclass(frozen=True, slots=True)
class Glyph:
    """One character and its box; `size` is the font's size in points, 0 when unknown."""

    text: str
    left: float
    bottom: float
    right: float
    top: float
    size: float


@dataclass(frozen=True, slots=True)
class Piece:
    """Text on one base line; `spaced` when the file itself ends it with a space (a word ends)."""

    text: str
    left: float
    bottom: float
    right: float
    top: float
    size: float
    spaced: bool = False

    @property
    def height(self) -> float:
        """Points from bottom to top, never zero."""
        return max(self.top - self.bottom, 0.1)

    @property
    def middle(self) -> float:
        """The height above the page's origin of the middle."""
        return (self.top + self.bottom) / 2


@dataclass(frozen=True, slots=True)
class Row:
    """Pieces on one base line, left to right, at least one; `edge` is its column's right border."""

    pieces: tuple[Piece, ...]
    edge: float

    @property
    def text(self) -> str:
        """All pieces as running text."""
        return " ".join(piece.text for piece in self.pieces)

    @property
    def middle(self) -> float:
        """The height above the page's origin."""
        return self.pieces[0].middle

    @property
    def size(self) -> float:
        """The font size to half a point; that of the first piece."""
        return round(self.pieces[0].size * 2) / 2

    @property
    def width(self) -> float:
        """From the first piece's left to the last one's right."""
        return self.pieces[-1].right - self.pieces[0].left

    @property
    def fullness(self) -> float:
        """How much of the room to its column's right border the row takes, 0 to 1."""
        left, right = self.pieces[0].left, self.pieces[-1].right
        return (right - left) / max(self.edge - left, 1.0)


Placed = TypeVar("Placed", Glyph, Piece)


def turned(one: Placed, turn: int, width: float, height: float) -> Placed:
    """The same on the paper of `width` x `height` turned by quarters, clockwise."""
    left, bottom, right, top = one.left, one.bottom, one.right, one.top
    match turn % 4:
        case 1:
            box = (bottom, width - right, top, width - left)
        case 2:
            box = (width - right, height - top, width - left, height - bottom)
        case 3:
            box = (height - top, left, height - bottom, right)
        case _:
            return one
    return replace(one, left=box[0], bottom=box[1], right=box[2], top=box[3])


def make_piece(glyphs: Sequence[Glyph]) -> Piece | None:
    """The piece that a run of characters makes; None when it is blank."""
    inked = [g for g in glyphs if not g.text.isspace()]
    if not inked:
        return None
    sizes = sorted(g.size for g in inked)
    return Piece(
        "".join(g.text for g in glyphs).strip(),
        min(g.left for g in inked),
        min(g.bottom for g in inked),
        max(g.right for g in inked),
        max(g.top for g in inked),
        sizes[len(sizes) // 2],
        spaced=glyphs[-1].text.isspace(),
    )


def page_pieces(lines: Iterable[Iterable[Glyph]]) -> list[Piece]:
    """Pieces of a page's lines, cut at gutters and backward jumps.

    A gap narrower than a gutter cuts too where at least two wide gaps of the page end at the same
    x: a cell whose left neighbour is nearly full.
    """
    split = [_runs(line) for line in lines]
    starts = Counter(
        round(glyphs[0].left) for runs in split for gap, glyphs in runs if gap > GUTTER_EMS
    )
    pieces: list[Piece] = []
    for runs in split:
        joined: list[list[Glyph]] = []
        for gap, glyphs in runs:
            x = round(glyphs[0].left)
            aligned = max(starts[x - 1], starts[x], starts[x + 1]) >= 2
            if not joined or gap > GUTTER_EMS or aligned:
                joined.append(list(glyphs))
            else:
                joined[-1] += glyphs
        pieces += filter(None, map(make_piece, joined))
    return pieces


def _runs(line: Iterable[Glyph]) -> list[tuple[float, list[Glyph]]]:
    """Runs of characters and the gap before each in font sizes; white space ends a run with it."""
    runs: list[tuple[float, list[Glyph]]] = []
    last: Glyph | None = None
    for glyph in line:
        if glyph.text.isspace():
            if runs:
                runs[-1][1].append(glyph)
            continue
        gap = _gap(last, glyph) if last is not None else 0.0
        if not runs or gap > _NARROW_EMS:
            runs.append((gap, []))
        runs[-1][1].append(glyph)
        last = glyph
    return runs


def _gap(last: Glyph, glyph: Glyph) -> float:
    """The gap between two characters in font sizes; a jump backwards is infinitely wide."""
    gap = (glyph.left - last.right) / max(last.size, glyph.size, 1.0)
    return inf if gap < -3 else gap


def rows_of(pieces: Sequence[Piece]) -> list[Row]:
    """Pieces on the same base line together, left to right; rows from top to bottom."""
    edge = max((p.right for p in pieces), default=0.0)
    groups: list[list[Piece]] = []
    for piece in sorted(pieces, key=lambda p: (-p.middle, p.left)):
        if groups and _same_row(groups[-1][0], piece):
            groups[-1].append(piece)
        else:
            groups.append([piece])
    return [Row(tuple(sorted(group, key=lambda p: p.left)), edge) for group in groups]


def _same_row(a: Piece, b: Piece) -> bool:
    return abs(a.middle - b.middle) <= _SAME_LINE * min(a.height, b.height)


def reading_order(pieces: Sequence[Piece], depth: int = 0) -> list[Row]:
    """Rows in the order in which a person reads: a column to its end before the next one.

    Columns are told from tables by width: a gutter counts only where several wide pieces stand on
    both sides of it. Pieces that cross it cut the page into bands, read from top to bottom.
    """
    gutter = _gutter(pieces) if depth < _DEEPEST_CUT else None
    if gutter is None:
        return rows_of(pieces)
    out: list[Row] = []
    for crossing, band in _bands(pieces, gutter):
        if crossing:
            out += rows_of(band)
        else:
            out += reading_order([p for p in band if p.right <= gutter + 1], depth + 1)
            out += reading_order([p for p in band if p.right > gutter + 1], depth + 1)
    return out


def _gutter(pieces: Sequence[Piece]) -> float | None:
    """The x at which the right column starts, where one does; the best supported one."""
    if len(pieces) < 2 * _COLUMN_LINES:
        return None
    width = max(p.right for p in pieces) - min(p.left for p in pieces)
    wide = [p for p in pieces if p.right - p.left >= _COLUMN_SHARE * width]
    starts = Counter(round(p.left) for p in wide).most_common(_GUTTER_CANDIDATES)
    supported = [(_support(wide, x - 1.0), x - 1.0) for x, _ in starts]
    best = max(supported, default=(0, 0.0))
    return best[1] if best[0] else None


def _support(wide: Sequence[Piece], x: float) -> int:
    """How many pieces speak for a gutter at x; 0 unless both sides are columns side by side."""
    left = [p for p in wide if p.right <= x + 1]
    right = [p for p in wide if p.left >= x]
    if min(len(left), len(right)) < _COLUMN_LINES:
        return 0
    top = min(max(p.top for p in left), max(p.top for p in right))
    bottom = max(min(p.bottom for p in left), min(p.bottom for p in right))
    shortest = min(_extent(left), _extent(right))
    return len(left) + len(right) if top - bottom >= 0.5 * shortest else 0


def _extent(pieces: Sequence[Piece]) -> float:
    return max(p.top for p in pieces) - min(p.bottom for p in pieces)


def _bands(pieces: Iterable[Piece], gutter: float) -> Iterator[tuple[bool, list[Piece]]]:
    """From the top: runs of pieces that cross the gutter, and runs that do not."""
    ordered = sorted(pieces, key=lambda p: -p.middle)
    for crossing, band in groupby(
        ordered, key=lambda p: p.left < gutter - 1 < gutter + 1 < p.right
    ):
        yield crossing, list(band)
