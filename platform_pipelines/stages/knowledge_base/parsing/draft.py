"""What every format's reader hands back, and the outline that gives each block its heading path."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from platform_pipelines.core.knowledge_base.documents import (
    Attached,
    Block,
    BlockKind,
    DocumentType,
    Note,
    NoteKind,
    Place,
)
from platform_pipelines.core.knowledge_base.text import one_line, shortened
from platform_pipelines.errors import DocumentError
from platform_pipelines.stages.knowledge_base.parsing.headers import column_names, header_depth

# A heading is repeated in the place of every block below it: one of a megabyte would multiply.
HEADING_CHARACTERS = 200
DEEPEST_HEADING = 9
_MOST_NOTES = 50
_NOTE_CHARACTERS = 120
_JUDGED_ROWS = 12  # the first of a table, by which its header is told


@dataclass(slots=True)
class Draft:
    """Blocks in reading order, and the title that the format itself gives, if any."""

    blocks: list[Block] = field(default_factory=list)
    title: str | None = None
    attached: list[Attached] = field(default_factory=list[Attached])
    type: DocumentType | None = None  # where reading shows it to be another than it looked
    noted: Counter[tuple[NoteKind, str]] = field(default_factory=Counter[tuple[NoteKind, str]])

    def note(self, kind: NoteKind, what: str, count: int = 1) -> None:
        """Say that something was not read; the same again is counted."""
        name = one_line(what, limit=_NOTE_CHARACTERS)
        if (kind, name) not in self.noted and len(self.noted) >= _MOST_NOTES:
            name = "other"
        self.noted[kind, name] += count

    @property
    def notes(self) -> tuple[Note, ...]:
        """What was not read, in the order of the document."""
        return tuple(Note(kind, what, count) for (kind, what), count in self.noted.items())

    def attempt(self, what: str, read: Callable[[], Any]) -> Any:
        """What `read` returns. A part that cannot be read is noted, and costs only itself.

        Third-party parsers of hostile bytes raise whatever they like; None is returned then.
        """
        try:
            return read()
        except (DocumentError, MemoryError):
            raise
        except Exception as error:  # noqa: BLE001 - a part is left out, and named
            self.note(NoteKind.PART_LEFT_OUT, f"{what}: {type(error).__name__}")
            return None

    def add(self, text: str, kind: BlockKind, place: Place, *, header: str = "") -> None:
        """Append a block unless it is blank; `header` is what names the columns of a table."""
        if text and not text.isspace():
            self.blocks.append(Block(text, kind, place, header))


@dataclass(slots=True)
class Outline:
    """The headings that are open at a point of the document, outermost first."""

    _open: list[tuple[int, str]] = field(default_factory=list)
    path: tuple[str, ...] = ()

    def enter(self, level: int, title: str) -> None:
        """Open a heading, one clean line; headings of the same or a deeper level end."""
        level = max(1, min(level, DEEPEST_HEADING))
        self._open = [(lv, t) for lv, t in self._open if lv < level]
        self._open.append((level, shortened(title, HEADING_CHARACTERS)))
        self.path = tuple(t for _, t in self._open)

    def parents(self) -> tuple[str, ...]:
        """The path of the innermost heading's own block: what it stands under."""
        return self.path[:-1]


def add_heading(draft: Draft, outline: Outline, level: int, text: str, place: Place) -> None:
    """A HEADING block under its parents, and the outline moved into it; blank ones are skipped."""
    title = one_line(text)
    if not title:
        return
    outline.enter(level, title)
    draft.add(title, BlockKind.HEADING, place._replace(heading=outline.parents()))


def add_table(
    draft: Draft,
    rows: Iterable[Sequence[str]],
    place: Place,
    *,
    depth: int | None = None,
    caption: str = "",
) -> None:
    """A TABLE block of `a | b | c` lines, its header's rows as one line of names.

    `depth` is how many first rows name the columns, where the format says so; else the rows below
    decide. A first row whose cells all say the same is a caption.
    """
    table = clean_rows(rows)
    if len(table) > 1 and len(table[0]) > 1 and len(set(table[0])) == 1:
        caption = "\n".join(filter(None, (caption, table[0][0])))
        table, depth = table[1:], None if depth is None else max(0, depth - 1)
    depth = header_depth(table[:_JUDGED_ROWS]) if depth is None else min(depth, len(table))
    lines = [cells_line(row) for row in table[depth:]]
    names = cells_line(column_names(table[:depth]))
    header = "\n".join(filter(None, (one_line(caption), names)))
    text = "\n".join(filter(None, (header, *lines)))
    draft.add(text, BlockKind.TABLE, place, header=header if names else "")


def clean_rows(rows: Iterable[Sequence[str]]) -> list[list[str]]:
    """Rows of one-line texts; rows without any text are dropped, trailing empty cells too."""
    table: list[list[str]] = []
    for row in rows:
        cells = [one_line(cell) for cell in row]
        while cells and not cells[-1]:
            cells.pop()
        if cells:
            table.append(cells)
    return table


def cells_line(cells: Sequence[str]) -> str:
    """One row as `a | b | c`, empty cells in their place."""
    return " | ".join(cells)
