"""Tables on a PDF page: rows of several pieces under each other. Pure; lengths are points."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from platform_pipelines.stages.knowledge_base.parsing.pdf_layout import Piece, Row

_ALIGNED_POINTS: Final = 4.0
_ROW_DISTANCE_EMS: Final = 4.0
_LINE_PITCH_EMS: Final = 1.5  # within a cell; rows stand wider apart


def table_end(rows: Sequence[Row], start: int, body: float) -> int:
    """The end (exclusive) of the table that starts here: at least two rows of several pieces.

    `start` itself when no table starts here; `body` is the document's usual font size.
    """
    widest: Sequence[Piece] = ()
    end, several = start, 0
    for at in range(start, len(rows)):
        row = rows[at]
        near = at == start or _near(rows[at - 1], row, body)
        if not near or not (len(row.pieces) >= 2 or continues_cell(widest, row)):
            break
        several += len(row.pieces) >= 2
        widest = max(widest, row.pieces, key=len)
        end = at + 1
    return end if several >= 2 else start


def _near(above: Row, row: Row, body: float) -> bool:
    return 0 < above.middle - row.middle <= _ROW_DISTANCE_EMS * body


def continues_cell(widest: Sequence[Piece], row: Row) -> bool:
    """Whether a lone piece stands under a later column: the second line of a cell."""
    if len(row.pieces) != 1:
        return False
    return any(abs(c.left - row.pieces[0].left) <= _ALIGNED_POINTS for c in widest[1:])


@dataclass(slots=True)
class _Cell:
    """Lines of one column that belong together; `row` when one stands in a row's main line."""

    lines: list[Piece]
    row: int | None = None


def table_cells(rows: Sequence[Row]) -> list[list[str]]:
    """Rows of cells under the columns of the row with the most pieces; wrapped cells are joined.

    A row's main line is one with a piece in the first column; lines of a wrapped cell stand
    below it (cells set to the top), or on both sides of it (cells set to the middle).
    """
    widest = max((row.pieces for row in rows), key=len)
    head = _grouped_header(widest, rows)
    if head:
        return [*head, *_body_cells(widest, rows[len(head) :])]
    return _body_cells(widest, rows)


def _grouped_header(widest: Sequence[Piece], rows: Sequence[Row]) -> list[list[str]]:
    """The first two rows where the first names groups of the second's columns, each at its left.

    The second begins right of the first column, and names columns over which nothing stands.
    """
    if len(rows) < 3 or len(rows[0].pieces) < 2 or len(rows[1].pieces) < 2:
        return []
    top, second = rows[0].pieces, rows[1].pieces
    columns = [_column(widest, piece) for piece in second]
    named = {_column(widest, piece) for piece in top}
    far = rows[0].middle - rows[1].middle >= max(piece.size for piece in second)
    if columns[0] == 0 or len(second) < len(top) or not set(columns) - named or not far:
        return []
    groups = [piece for piece in top if _column(widest, piece) != 0]
    if not groups or _column(widest, rows[2].pieces[0]) != 0:
        return []
    head = [[""] * len(widest), [""] * len(widest)]
    head[0][0] = " ".join(piece.text for piece in top if piece not in groups)
    seen: set[int] = set()
    for column, piece in zip(columns, second, strict=True):
        over = min(range(len(groups)), key=lambda n: abs(_centre(groups[n]) - _centre(piece)))
        head[1][column] = f"{head[1][column]} {piece.text}".strip()
        if over not in seen:
            seen.add(over)
            head[0][column] = groups[over].text
    return head if len(seen) == len(groups) else []


def _centre(piece: Piece) -> float:
    return (piece.left + piece.right) / 2


def _body_cells(widest: Sequence[Piece], rows: Sequence[Row]) -> list[list[str]]:
    mains: list[float] = []
    columns: list[list[_Cell]] = [[] for _ in widest]
    for row in rows:
        placed = [(_column(widest, piece), piece) for piece in row.pieces]
        main = len(placed) >= 2 and placed[0][0] == 0
        if main:
            mains.append(row.middle)
        for column, piece in placed:
            _add_line(columns[column], piece, len(mains) - 1 if main else None)
    table = [[""] * len(widest) for _ in mains or rows[:1]]
    for column, cells in enumerate(columns):
        for cell in cells:
            texts = table[_row_of(cell, mains)]
            text = " ".join(line.text for line in cell.lines)
            texts[column] = f"{texts[column]} {text}".strip()
    return table


def column_lefts(rows: Sequence[Row]) -> tuple[float, ...]:
    """Where the columns begin: the leftmost piece of each."""
    widest = max((row.pieces for row in rows), key=len)
    lefts = [piece.left for piece in widest]
    # A group's name stands in the middle over its columns.
    for row in rows[1:] if _grouped_header(widest, rows) else rows:
        for piece in row.pieces:
            column = _column(widest, piece)
            lefts[column] = min(lefts[column], piece.left)
    return tuple(lefts)


def _add_line(cells: list[_Cell], piece: Piece, row: int | None) -> None:
    last = cells[-1] if cells else None
    if last is None or (row is not None and last.row is not None) or not _touches(last, piece):
        cells.append(_Cell([piece], row))
        return
    last.lines.append(piece)
    last.row = last.row if row is None else row


def _touches(cell: _Cell, piece: Piece) -> bool:
    return cell.lines[-1].middle - piece.middle <= _LINE_PITCH_EMS * max(piece.size, 1.0)


def _row_of(cell: _Cell, mains: Sequence[float]) -> int:
    if cell.row is not None or not mains:
        return cell.row or 0
    middle = (cell.lines[0].middle + cell.lines[-1].middle) / 2
    return min(range(len(mains)), key=lambda n: abs(mains[n] - middle))


def _column(widest: Sequence[Piece], piece: Piece) -> int:
    """The column whose cell overlaps the piece most, or else lies nearest."""

    def overlap(number: int) -> float:
        cell = widest[number]
        return min(cell.right, piece.right) - max(cell.left, piece.left)

    return max(range(len(widest)), key=overlap)
