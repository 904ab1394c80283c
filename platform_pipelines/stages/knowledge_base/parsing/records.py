"""Rows of a sheet or a delimited file as lines that are understood alone: `header: value | …`."""

from collections import deque
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
    cells_line,
)
from platform_pipelines.stages.knowledge_base.parsing.headers import (
    NAME_CHARACTERS,
    column_names,
    header_depth,
    is_header,
)

# A block cites its first row: few enough rows that the citation is near, enough to fill a chunk.
ROWS_PER_BLOCK: Final = 40
_LOOK_AHEAD_ROWS: Final = 8  # narrow ones below a blank row, until one is as wide as the table
_JUDGED_ROWS: Final = 12  # after a row, by which it is told whether it is a header

Row = tuple[int, Sequence[str]]  # number in the file, counting from 1; the cells' text


class _Held(NamedTuple):
    """A row without the empty cells at its end, and how many cells it had with them."""

    number: int
    texts: list[str]
    cells: int
    spread: bool = False


class Spread(tuple[str, ...]):
    """The cells of a row that is one merged cell: a remark on the table, no column's value."""

    __slots__ = ()


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
    _captioned: bool = False  # a caption was taken and nothing since
    _coming: deque[_Held] = field(default_factory=deque[_Held])  # read, not yet taken
    _skipped: int = 0  # coming rows that a header took

    def write(self, rows: Iterable[Row]) -> int:
        """Add all rows; returns how many cells may still be read.

        Raises:
            DocumentError: TOO_LARGE, more cells than allowed.
        """
        for row in self._looking_ahead(rows):
            if self._skipped:
                self._skipped -= 1
            elif not row.texts:
                self._settle()
                self._fresh, self._under_header = True, False
            elif self._fresh and not self._goes_on_at_once(row.texts, row.cells):
                self._hold(row)
            else:
                self._fresh = False
                self._add(row)
        self._settle()
        self._flush()
        return self.cells_left

    def _looking_ahead(self, rows: Iterable[Row]) -> Iterator[_Held]:
        """Each row, with those after it in `_coming`."""
        for number, cells in self._counted(rows):
            self._coming.append(
                _Held(number, _trimmed(cells), len(cells), isinstance(cells, Spread))
            )
            if len(self._coming) > _JUDGED_ROWS:
                yield self._coming.popleft()
        while self._coming:
            yield self._coming.popleft()

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
        while held and (taken := self._starts_table(held)):
            self._skipped = max(0, taken - len(held))
            held = held[taken:]
        for row in held:
            self._fresh = False
            self._add(row)

    def _starts_table(self, held: Sequence[_Held]) -> int:
        """How many of these rows are taken as a caption or a header."""
        number, texts = held[0].number, held[0].texts
        if self._goes_on(held):
            return 0
        filled = [text for text in texts if text]
        lone = len(texts) == 1 or (len(filled) == 1 and not self._header)
        if lone and len(filled[0]) <= NAME_CHARACTERS:
            self._take_caption(number, filled[0])
            return 1
        depth = self._header_depth(held)
        if depth:
            self._take_header([*held, *self._coming][:depth])
        elif not self._header and len(texts) == len(self._above):
            self._header = self._above  # what came between was a note, or a sparse row
        return depth

    def _take_caption(self, number: int, text: str) -> None:
        """A line above a table; a second one, such as the unit, stands under the first."""
        self._flush()
        self._header, self._above = [], self._header or self._above
        self._under_header = False
        level = 2 if self._captioned else 1
        add_heading(self.draft, self._outline, level, text, self._at(number))
        self._captioned = True

    def _goes_on(self, held: Sequence[_Held]) -> bool:
        """Whether rows below a blank one are of the table above: one of them is as wide as it."""
        columns, first = len(self._header), held[0].texts
        # In a table of words every row looks like a header.
        if not columns or len(first) == columns:
            return columns > 0
        if len(first) > columns or max(len(row.texts) for row in held) < columns:
            return False
        return len(first) > 1 or not self._header_depth(held[1:])

    def _header_depth(self, held: Sequence[_Held]) -> int:
        """How many of the held rows and those after them name columns; a blank row ends them."""
        above, texts = self._header or self._above, held[0].texts
        if self._wordy and len(texts) == len(above) and texts != above:
            return 0
        rows = [row.texts for row in held]
        for row in self._coming:
            if row.texts:
                rows.append(row.texts)
            elif len(rows) > 1:
                break
        return header_depth(rows)

    def _take_header(self, rows: Sequence[_Held]) -> None:
        self._flush()
        names = column_names([row.texts for row in rows])
        self._header = [name.rstrip(":") for name in names]
        self._cells, self._first = rows[-1].cells, rows[0].number
        self._above, self._wordy = [], False
        self._bare = self._under_header = True
        self._captioned = False

    def _add(self, row: _Held) -> None:
        texts = row.texts
        if not self._lines:
            self._first = row.number
        self._bare = self._captioned = False
        self._wordy = self._wordy or (len(texts) == len(self._header) and is_header(texts))
        header = () if row.spread and len(self._header) > 1 else self._header
        self._lines.append(record_line(header, texts))
        if len(self._lines) == ROWS_PER_BLOCK:
            self._flush()

    def _flush(self) -> None:
        """End the open block; a header without rows still says which columns there are."""
        lines, self._lines = self._lines, []
        text = cells_line(self._header) if self._bare else "\n".join(lines)
        self._bare = False
        self.draft.add(text, BlockKind.TABLE, self._at(self._first))

    def _at(self, number: int) -> Place:
        return self.place._replace(line=number, heading=self._outline.path)


def record_line(header: Sequence[str], cells: Sequence[str]) -> str:
    """One row as `header: value` pairs without empty cells; unnamed columns have no header.

    Without any header an empty cell keeps its place: it alone says which column the next is of.
    """
    if not any(header):
        return cells_line(cells)
    names = [*header, *[""] * (len(cells) - len(header))]
    pairs = zip(names, cells, strict=False)
    return " | ".join(f"{name}: {cell}" if name else cell for name, cell in pairs if cell)


def _trimmed(cells: Sequence[str]) -> list[str]:
    texts = [one_line(cell) if cell else "" for cell in cells]
    while texts and not texts[-1]:
        texts.pop()
    return texts
