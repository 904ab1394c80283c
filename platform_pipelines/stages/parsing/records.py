"""Rows of a sheet or a delimited file as lines that are understood alone: `header: value | …`."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from platform_pipelines.core.documents import BlockKind, Place, Reason
from platform_pipelines.core.text import one_line
from platform_pipelines.errors import DocumentError
from platform_pipelines.stages.parsing.draft import Draft, Outline, add_heading, pipe_rows

# A block cites its first row: few enough rows that the citation is near, enough to fill a chunk.
ROWS_PER_BLOCK: Final = 40
_HEADER_CHARACTERS: Final = 80

Row = tuple[int, Sequence[str]]  # number in the file, counting from 1; the cells' text


@dataclass(slots=True)
class RecordWriter:
    """Turns the rows of one sheet into blocks; a header below a blank row starts a new table."""

    draft: Draft
    place: Place
    key: str
    cells_left: int
    _outline: Outline = field(default_factory=Outline)
    _header: list[str] = field(default_factory=list)
    _lines: list[str] = field(default_factory=list)
    _first: int = 0
    _bare: bool = False  # a header was taken and no row since

    def write(self, rows: Iterable[Row]) -> int:
        """Add all rows; returns how many cells may still be read.

        Raises:
            DocumentError: TOO_LARGE, more cells than allowed.
        """
        fresh = True
        for number, cells in self._counted(rows):
            texts = _trimmed(cells)
            if not texts:
                fresh = True
                continue
            if fresh and self._starts_table(texts, number):
                continue
            fresh = False
            self._add(number, texts)
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

    def _starts_table(self, texts: list[str], number: int) -> bool:
        """Whether this row, the first after a blank one, is taken as a caption or a header."""
        if len(texts) == 1 and len(texts[0]) <= _HEADER_CHARACTERS:
            self._flush()
            self._header = []
            add_heading(self.draft, self._outline, 1, texts[0], self._at(number))
            return True
        # Below a blank row, a row as wide as the table above goes on with it: in a table of words
        # every row looks like a header.
        if len(texts) == len(self._header) or not is_header(texts):
            return False
        self._flush()
        self._header = [text.rstrip(":") for text in texts]
        self._bare = True
        self._first = number
        return True

    def _add(self, number: int, texts: list[str]) -> None:
        if not self._lines:
            self._first = number
        self._bare = False
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
