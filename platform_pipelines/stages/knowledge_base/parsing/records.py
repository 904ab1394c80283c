"""Rows of a sheet or a delimited file as lines that are understood alone: `header: value | …`."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from platform_pipelines.core.knowledge_base.documents import BlockKind, Place, Reason
from platform_pipelines.core.knowledge_base.text import one_line
from platform_pipelines.errors import DocumentError
from platform_pipelines.stages.knowledge_base.parsing.draft import (
    Draft,
    Outline,
    add_heading,
    pipe_rows,
)

# A block cites its first row: few enough rows that the citation is near, enough to fill a chunk.
ROWS_PER_BLOCK: Final = 40
_HEADER_CHARACTERS: Final = 80
_LOOK_AHEAD_ROWS: Final = 8  # narrow ones below a blank row, until one is as wide as the table

Row = tuple[int, Sequence[str]]  # number in the file, counting from 1; the cells' text


class _Held(NamedTuple):
    """A row without the empty cells at its end, and how many cells it had with them."""

    number: int
    texts: list[str]
    cells: int


@dataclass(slots=True)
class RecordWriter:
    """Turns the rows of one sheet into blocks; a header below a blank row starts a new table.

    `padded`: a row of the table has as many cells as its header, whatever is in them (CSV).
    """

    draft: Draft
    place: Place
    key: str
    cells_left: int
    padded: bool = False
    _outline: Outline = field(default_factory=Outline)
    _header: list[str] = field(default_factory=list)
    _cells: int = 0  # of the header's row, the empty ones counted
    _above: list[str] = field(default_factory=list)  # the header that a caption put aside
    _wordy: bool = False  # rows of this table look like headers themselves
    _held: list[_Held] = field(default_factory=list)  # whose table they are is not yet known
    _fresh: bool = True  # at the start, below a blank row, a caption or a header
    _under_header: bool = False
    _lines: list[str] = field(default_factory=list)
    _first: int = 0
    _bare: bool = False  # a header was taken and no row since

    def write(self, rows: Iterable[Row]) -> int:
        """Add all rows; returns how many cells may still be read.

        Raises:
            DocumentError: TOO_LARGE, more cells than allowed.
        """
        for number, cells in self._counted(rows):
            texts = _trimmed(cells)
            if not texts:
                self._settle()
                self._fresh, self._under_header = True, False
            elif self._fresh and not self._goes_on_at_once(texts, len(cells)):
                self._hold(_Held(number, texts, len(cells)))
            else:
                self._fresh = False
                self._add(number, texts)
        self._settle()
        self._flush()
        return self.cells_left

    def _counted(self, rows: Iterable[Row]) -> Iterator[Row]:
        for number, cells in rows:
            self.cells_left -= max(1, len(cells))
            if self.cells_left < 0:
                raise DocumentError(
                    "more cells than one document may have",
                    reason=Reason.TOO_LARGE,
                    where=self.key,
                    remedy="split the table, or raise max_cells",
                )
            yield number, cells

    def _goes_on_at_once(self, texts: list[str], cells: int) -> bool:
        """Whether a row is of the table above, however few of its cells are filled."""
        known = self._under_header or (self.padded and cells == self._cells)
        return known and not self._held and len(texts) <= len(self._header)

    def _hold(self, row: _Held) -> None:
        self._held.append(row)
        if len(row.texts) >= len(self._header) or len(self._held) == _LOOK_AHEAD_ROWS:
            self._settle()

    def _settle(self) -> None:
        """Decide what the held rows are: captions and a header first, the others rows."""
        held, self._held = self._held, []
        while held and self._starts_table(held):
            del held[0]
        for row in held:
            self._fresh = False
            self._add(row.number, row.texts)

    def _starts_table(self, held: Sequence[_Held]) -> bool:
        """Whether the first of these rows is taken as a caption or a header."""
        number, texts, _ = held[0]
        if self._goes_on(held):
            return False
        if len(texts) == 1 and len(texts[0]) <= _HEADER_CHARACTERS:
            self._flush()
            self._header, self._above = [], self._header or self._above
            self._under_header = False
            add_heading(self.draft, self._outline, 1, texts[0], self._at(number))
            return True
        if self._looks_like_header(texts):
            self._take_header(held[0])
            return True
        if not self._header and len(texts) == len(self._above):
            self._header = self._above  # what came between was a note, or a sparse row
        return False

    def _goes_on(self, held: Sequence[_Held]) -> bool:
        """Whether rows below a blank one are of the table above: one of them is as wide as it."""
        columns, first = len(self._header), held[0].texts
        # In a table of words every row looks like a header.
        if not columns or len(first) == columns:
            return columns > 0
        if len(first) > columns or max(len(row.texts) for row in held) < columns:
            return False
        return len(first) > 1 or not self._looks_like_header(held[1].texts)

    def _looks_like_header(self, texts: list[str]) -> bool:
        above = self._header or self._above
        other = not self._wordy or len(texts) != len(above) or texts == above
        return other and is_header(texts)

    def _take_header(self, row: _Held) -> None:
        self._flush()
        self._header = [text.rstrip(":") for text in row.texts]
        self._cells, self._first = row.cells, row.number
        self._above, self._wordy = [], False
        self._bare = self._under_header = True

    def _add(self, number: int, texts: list[str]) -> None:
        if not self._lines:
            self._first = number
        self._bare = False
        self._wordy = self._wordy or (len(texts) == len(self._header) and is_header(texts))
        self._lines.append(record_line(self._header, texts))
        if len(self._lines) == ROWS_PER_BLOCK:
            self._flush()

    def _flush(self) -> None:
        """End the open block; a header without rows still says which columns there are."""
        lines, self._lines = self._lines, []
        text = pipe_rows([self._header]) if self._bare else "\n".join(lines)
        self._bare = False
        self.draft.add(text, BlockKind.TABLE, self._at(self._first))

    def _at(self, number: int) -> Place:
        return self.place._replace(line=number, heading=self._outline.path)


def record_line(header: Sequence[str], cells: Sequence[str]) -> str:
    """One row as `header: value` pairs without empty cells; unnamed columns have no header."""
    names = [*header, *[""] * (len(cells) - len(header))]
    pairs = zip(names, cells, strict=False)
    return " | ".join(f"{name}: {cell}" if name else cell for name, cell in pairs if cell)


def is_header(texts: Sequence[str]) -> bool:
    """A row of at least two short distinct names, none of them a number or a date."""
    filled = [text for text in texts if text]
    return (
        len(filled) >= 2
        and len(filled) * 2 > len(texts)
        and all(len(t) <= _HEADER_CHARACTERS and not is_quantity(t) for t in filled)
        and len(set(filled)) * 2 > len(filled)
    )


def is_quantity(text: str) -> bool:
    """Whether a cell is a number, an amount or a date rather than a name: mostly digits."""
    digits = sum(c.isdecimal() for c in text)
    letters = sum(c.isalpha() for c in text)
    return digits > 0 and digits >= 2 * letters


def _trimmed(cells: Sequence[str]) -> list[str]:
    texts = [one_line(cell) if cell else "" for cell in cells]
    while texts and not texts[-1]:
        texts.pop()
    return texts
