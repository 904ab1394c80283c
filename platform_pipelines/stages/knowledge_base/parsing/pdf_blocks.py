"""Pieces of PDF pages to headings, paragraphs, lists and tables. Pure; lengths are points."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from platform_pipelines.core.knowledge_base.documents import BlockKind, Place
from platform_pipelines.core.knowledge_base.text import display_width, one_line
from platform_pipelines.stages.knowledge_base.parsing.draft import (
    Draft,
    Outline,
    add_heading,
    add_table,
    cells_line,
    clean_rows,
)
from platform_pipelines.stages.knowledge_base.parsing.headers import header_depth
from platform_pipelines.stages.knowledge_base.parsing.pdf_layout import Piece, Row, reading_order
from platform_pipelines.stages.knowledge_base.parsing.pdf_outline import (
    Entry,
    Headings,
    headings_of,
)
from platform_pipelines.stages.knowledge_base.parsing.pdf_running import (
    body_size,
    without_running_lines,
)
from platform_pipelines.stages.knowledge_base.parsing.pdf_tables import (
    column_lefts,
    table_cells,
    table_end,
)
from platform_pipelines.stages.knowledge_base.parsing.pdf_words import Words, join_lines

HEADING_RATIO: Final = 1.15  # to the body's font size
_HEADING_CHARACTERS: Final = 150
_LOOSEST_PITCH_EMS: Final = 1.9  # base line to base line within a paragraph, at most
_SAME_COLUMN: Final = 12.0  # points; numbers set to the right begin at different places
_SAME_LEFT: Final = 2.0  # points
_LONG_LINE_COLUMNS: Final = 40
_FULL_ROW: Final = 0.72  # a row that leaves more room than this ended on purpose
_BULLET: Final = re.compile(r"(?:[•·‣▪○●■□◦※▶►✓–-]|\(?\d{1,2}[.)]|[가-하]\.|[①-⑳])(?:\s|$)")
_BULLET_MARK: Final = re.compile(r"[•·‣▪○●■□◦▶►–-]\s*")
_LEADERS: Final = re.compile(r"(?:\s?[.·…]){4,}\s*[\divxlc]{1,6}$")
_HANGUL_END: Final = re.compile(r"[가-힣]$")
_HANGUL_START: Final = re.compile(r"[가-힣]")


@dataclass(frozen=True, slots=True)
class Page:
    """A page's pieces in the order of the file; `height` in points."""

    number: int
    height: float
    pieces: list[Piece]


def page_blocks(pages: Sequence[Page], outline: Sequence[Entry] = ()) -> Draft:
    """Blocks of a whole document: sizes, pitches and running lines are judged over all pages.

    `outline` are the file's own bookmarks: where most of them are found, they are the headings.
    """
    body = body_size([piece for page in pages for piece in page.pieces])
    kept = without_running_lines(
        [(page.pieces, page.height) for page in pages], heading_size=body * HEADING_RATIO
    )
    # Lines of a table of contents lead to pages, not to answers.
    ordered = [
        [row for row in reading_order(pieces) if not _LEADERS.search(row.text)] for pieces in kept
    ]
    rows = [row for rows in ordered for row in rows]
    named = headings_of(outline, zip([page.number for page in pages], ordered, strict=True))
    writer = _Writer(_style(rows, body), named, Words.of(row.text for row in rows))
    for page, rows in zip(pages, ordered, strict=True):
        writer.write(page.number, rows)
    return writer.draft


@dataclass(frozen=True, slots=True)
class _Style:
    body: float  # the font size of most characters
    headings: dict[float, int]  # font size -> level
    pitch: float  # usual distance of base lines, in font sizes
    spaces_kept: bool  # the file writes the space at a line's end: without one a word goes on


def _style(rows: Sequence[Row], body: float) -> _Style:
    sizes = Counter(row.size for row in rows if row.size >= body * HEADING_RATIO)
    pitches = sorted(
        (a.middle - b.middle) / body
        for a, b in pairwise(rows)
        if a.size == b.size == body and a.middle > b.middle
    )
    pitch = pitches[len(pitches) // 2] if pitches else 1.2
    hangul = [row.pieces[-1] for row in rows if _HANGUL_END.search(row.text)]
    kept = sum(piece.spaced for piece in hangul) >= max(1, 0.2 * len(hangul))
    levels = {size: level for level, size in enumerate(sorted(sizes, reverse=True), 1)}
    return _Style(body, levels, min(pitch, _LOOSEST_PITCH_EMS), kept)


@dataclass(frozen=True, slots=True)
class _OpenTable:
    """The table that ended a page: the next page's first rows may be its own."""

    page: int = 0
    lefts: tuple[float, ...] = ()
    header: str = ""

    def goes_on(self, page: int, lefts: Sequence[float]) -> bool:
        """Whether a table at the top of `page` has this one's columns."""
        return (
            page == self.page + 1
            and len(lefts) == len(self.lefts)
            and all(abs(a - b) <= _SAME_COLUMN for a, b in zip(lefts, self.lefts, strict=True))
        )


class _Writer:
    """Gathers rows into the open block until something ends it."""

    def __init__(self, style: _Style, named: Headings, words: Words) -> None:
        self.style = style
        self.named = named
        self.words = words
        self.draft = Draft()
        self.outline = Outline()
        self.page = 1
        self.open: list[Row] = []
        self.kind = BlockKind.PARAGRAPH
        self.table = _OpenTable()

    def write(self, number: int, rows: Sequence[Row]) -> None:
        """All rows of a page; a block never spans two pages, so that its citation is exact."""
        self.page = number
        at = 0
        while at < len(rows):
            end = at if self._kind(rows[at]) else table_end(rows, at, self.style.body)
            if end > at:
                self._close()
                self._add_table(rows[at:end], first=at == 0, last=end == len(rows))
                at = end
            else:
                self._take(rows[at])
                at += 1
        self._close()

    def _add_table(self, rows: Sequence[Row], *, first: bool, last: bool) -> None:
        """A table; one at the top of a page may go on with the table that ended the page before."""
        cells, lefts = table_cells(rows), column_lefts(rows)
        header = self.table.header if first and self.table.goes_on(self.page, lefts) else ""
        own = cells_line(cells[0]) == header or header_depth(cells, sure=True)
        if header and not own:
            text = "\n".join(map(cells_line, clean_rows(cells)))
            self.draft.add(text, BlockKind.TABLE, self._place(), header=header)
        else:
            add_table(self.draft, cells, self._place())
            header = self.draft.blocks[-1].header
        self.table = _OpenTable(self.page, lefts, header) if last else _OpenTable()

    def _take(self, row: Row) -> None:
        kind = self._kind(row)
        if self.open and not self._goes_on(self.open[-1], row, kind):
            self._close()
        if not self.open:
            self.kind = kind or BlockKind.PARAGRAPH
        self.open.append(row)

    def _kind(self, row: Row) -> BlockKind | None:
        """HEADING or LIST where a row starts one; None for a row that may go on with a block."""
        text = row.text
        if self.named.level(self.page, row) is not None:
            return BlockKind.HEADING
        large = row.size in self.style.headings
        if self.named.known:  # only the title is not named; a note's box is set large as well
            large = large and row.size > self.named.largest and not self.draft.blocks
        if large and len(text) <= _HEADING_CHARACTERS and sum(map(str.isalpha, text)) >= 2:
            return BlockKind.HEADING
        return BlockKind.LIST if _BULLET.match(text) else None

    def _goes_on(self, last: Row, row: Row, kind: BlockKind | None) -> bool:
        """Whether a row belongs to the open block: same size, near, and the row above is full."""
        if row.size != last.size or (kind or self.kind) != self.kind or kind is BlockKind.LIST:
            return False
        pitch = (last.middle - row.middle) / max(row.size, 1.0)
        if self.kind is BlockKind.HEADING:
            return 0 < pitch <= _LOOSEST_PITCH_EMS and len(self.open) < 3
        if pitch < 0:  # the top of the next column
            return last.fullness >= _FULL_ROW
        near = pitch <= max(1.35 * self.style.pitch, 1.3)
        return near and (last.fullness >= _FULL_ROW or _is_wrapped(last, row))

    def _close(self) -> None:
        rows, self.open = self.open, []
        if not rows:
            return
        unsaid = False if self.style.spaces_kept else None
        breaks = [True if row.pieces[-1].spaced else unsaid for row in rows]
        text = join_lines([row.text for row in rows], breaks, self.words)
        if self.kind is BlockKind.HEADING:
            level = self.named.level(self.page, rows[0])
            level = level or self.style.headings.get(rows[0].size, 1)
            add_heading(self.draft, self.outline, level, text, Place(page=self.page))
            self.draft.title = self.draft.title or one_line(text)
        elif self.kind is BlockKind.LIST:
            self._add_item(text)
        else:
            self.draft.add(text, BlockKind.PARAGRAPH, self._place())

    def _add_item(self, text: str) -> None:
        """Items of one list are one block: a bullet alone means little."""
        found = _BULLET_MARK.match(text)
        item = f"- {text[found.end() :]}" if found else text
        blocks = self.draft.blocks
        last = blocks[-1] if blocks else None
        if last is not None and last.kind is BlockKind.LIST and last.place == self._place():
            blocks.pop()
            item = f"{last.text}\n{item}"
        self.draft.add(item, BlockKind.LIST, self._place())

    def _place(self) -> Place:
        return Place(heading=self.outline.path, page=self.page)


def _is_wrapped(last: Row, row: Row) -> bool:
    """Whether a line narrower than its column goes on: a table beside it may be wider.

    It is long, ends no sentence, and the next one, at the same left and not much wider, begins as
    the middle of a sentence does.
    """
    if abs(last.pieces[0].left - row.pieces[0].left) > _SAME_LEFT:
        return False
    middle = row.text[:1].islower() or bool(_HANGUL_START.match(row.text))
    long = display_width(last.text) >= _LONG_LINE_COLUMNS
    return middle and long and last.text[-1:] not in ".!?:;…" and row.width * 0.85 <= last.width
