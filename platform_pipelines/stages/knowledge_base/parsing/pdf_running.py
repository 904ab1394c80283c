"""Running headers, footers and page numbers: lines in a page's margins that return. Pure."""

import re
from collections import Counter
from collections.abc import Sequence
from typing import Final

from platform_pipelines.stages.knowledge_base.parsing.pdf_layout import Piece, rows_of

# Of the page's height: running lines stand nearer to the paper's edge than a one-inch margin.
_MARGIN_SHARE: Final = 0.09
_DIGITS: Final = re.compile(r"\d+")


def body_size(pieces: Sequence[Piece]) -> float:
    """The font size, to half a point, in which most characters are set."""
    sizes: Counter[float] = Counter()
    for piece in pieces:
        sizes[round(piece.size * 2) / 2] += len(piece.text)
    return max(sizes, key=lambda s: (sizes[s], -s), default=10.0)


def without_running_lines(
    pages: Sequence[tuple[list[Piece], float]], *, heading_size: float
) -> list[list[Piece]]:
    """Each page's pieces without its running lines; a page is its pieces and its height.

    A row goes when it stands in a margin, is not set as large as a heading, and each of its pieces
    (numbers aside) stands in the margin of another page too.
    """
    margins = [_margin_rows(pieces, height, heading_size) for pieces, height in pages]
    seen: Counter[str] = Counter()
    for rows in margins:
        seen.update({_shape(piece) for row in rows for piece in row})
    kept: list[list[Piece]] = []
    for (pieces, _), rows in zip(pages, margins, strict=True):
        gone = {id(piece) for row in rows if all(seen[_shape(p)] > 1 for p in row) for piece in row}
        kept.append([piece for piece in pieces if id(piece) not in gone])
    return kept


def _margin_rows(
    pieces: Sequence[Piece], height: float, heading_size: float
) -> list[tuple[Piece, ...]]:
    edge = _MARGIN_SHARE * height
    outer = [p for p in pieces if p.middle < edge or p.middle > height - edge]
    rows = (row.pieces for row in rows_of(outer))
    return [row for row in rows if all(piece.size < heading_size for piece in row)]


def _shape(piece: Piece) -> str:
    return _DIGITS.sub("#", piece.text)
