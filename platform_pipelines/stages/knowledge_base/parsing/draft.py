"""What every format's reader hands back, and the outline that gives each block its heading path."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from platform_pipelines.core.knowledge_base.documents import Block, BlockKind, Place
from platform_pipelines.core.knowledge_base.text import one_line, shortened

# A heading is repeated in the place of every block below it: one of a megabyte would multiply.
HEADING_CHARACTERS = 200
DEEPEST_HEADING = 9


@dataclass(slots=True)
class Draft:
    """Blocks in reading order, and the title that the format itself gives, if any."""

    blocks: list[Block] = field(default_factory=list)
    title: str | None = None

    def add(self, text: str, kind: BlockKind, place: Place) -> None:
        """Append a block unless it is blank."""
        if text and not text.isspace():
            self.blocks.append(Block(text, kind, place))


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


def pipe_rows(rows: Iterable[Sequence[str]]) -> str:
    """Rows as `a | b | c` lines; rows without any text are dropped, trailing empty cells too."""
    lines: list[str] = []
    for row in rows:
        cells = [one_line(cell) for cell in row]
        while cells and not cells[-1]:
            cells.pop()
        if cells:
            lines.append(" | ".join(cells))
    return "\n".join(lines)
