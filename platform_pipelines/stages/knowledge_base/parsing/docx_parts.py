"""What stands beside a Word document's text: styles, numbers, notes, charts and diagrams."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, NamedTuple

from platform_pipelines.core.knowledge_base.documents import BlockKind, NoteKind, Place
from platform_pipelines.core.knowledge_base.text import one_line
from platform_pipelines.stages.knowledge_base.parsing.docx_numbering import Numbering
from platform_pipelines.stages.knowledge_base.parsing.docx_styles import Styles
from platform_pipelines.stages.knowledge_base.parsing.docx_text import NoteMark, W, paragraph_text
from platform_pipelines.stages.knowledge_base.parsing.draft import Draft, add_table
from platform_pipelines.stages.knowledge_base.parsing.office import (
    ChartTable,
    chart_table,
    drawn_words,
)
from platform_pipelines.stages.knowledge_base.parsing.package import Package, Relation

_NOTES: Final = (("footnote", "footnotes"), ("endnote", "endnotes"))
_RELATIONS: Final = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}"
_CHART: Final = "{http://schemas.openxmlformats.org/drawingml/2006/chart}chart"
_DIAGRAM: Final = "{http://schemas.openxmlformats.org/drawingml/2006/diagram}relIds"
_PICTURE: Final = "{http://schemas.openxmlformats.org/drawingml/2006/picture}pic"


class WordNote(NamedTuple):
    """A footnote or an endnote; the number is its place among all of its kind."""

    number: int
    text: str


class Drawn(NamedTuple):
    """What a drawing says: a chart's table, or lines."""

    table: ChartTable | None = None
    lines: str = ""

    def add_to(self, draft: Draft, place: Place) -> None:
        """Add its block."""
        if self.table is None:
            draft.add(self.lines, BlockKind.PARAGRAPH, place)
        else:
            add_table(draft, self.table.rows, place, depth=1, caption=self.table.title)


@dataclass(slots=True)
class WordParts:
    """The parts beside the text; those that cannot be read are noted, and empty."""

    package: Package
    styles: Styles
    numbering: Numbering
    notes: dict[NoteMark, WordNote]
    relations: dict[str, Relation] = field(default_factory=dict[str, Relation])

    @classmethod
    def of(cls, package: Package, main: str, draft: Draft) -> "WordParts":
        """Read what the document's part points to."""
        paths = {kind: package.related(main, kind) for kind in ("styles", "numbering")}
        styles, numbering = (
            draft.attempt(kind, partial(package.tree, path)) if path else None
            for kind, path in paths.items()
        )
        notes: dict[NoteMark, WordNote] = {}
        for kind, part in _NOTES:
            path = package.related(main, part)
            if path is not None:
                notes |= draft.attempt(part, partial(_notes, package, path, kind)) or {}
        return cls(
            package,
            Styles() if styles is None else Styles.of(styles),
            Numbering() if numbering is None else Numbering.of(numbering),
            notes,
            package.relations(main),
        )

    def drawn(self, element: Any, draft: Draft) -> Iterator[Drawn]:
        """Charts and diagrams in a paragraph or a table; a picture without a word is noted."""
        for one in element.iter(_CHART, _DIAGRAM, _PICTURE):
            if one.tag == _PICTURE:
                words = " ".join(filter(None, (e.get("descr", "") for e in one.iter("{*}cNvPr"))))
                if words:
                    yield Drawn(lines=one_line(words))
                else:
                    draft.note(NoteKind.PICTURE, "in the text")
                continue
            chart = one.tag == _CHART
            target = self.relations.get(one.get(f"{_RELATIONS}{'id' if chart else 'dm'}", ""))
            if target is not None:
                found = draft.attempt(target.path, partial(self._read, target.path, chart=chart))
                if found is not None:
                    yield found

    def _read(self, path: str, *, chart: bool) -> Drawn:
        root = self.package.tree(path)
        return Drawn(table=chart_table(root)) if chart else Drawn(lines=drawn_words(root))


def _notes(package: Package, path: str, kind: str) -> dict[NoteMark, WordNote]:
    notes: dict[NoteMark, WordNote] = {}
    for element in package.tree(path).iterchildren(f"{W}{kind}"):
        paragraphs = (paragraph_text(p).strip() for p in element.iter(f"{W}p"))
        text = "\n".join(filter(None, paragraphs))
        if text and element.get(f"{W}type", "normal") == "normal":
            notes[NoteMark(kind, element.get(f"{W}id", ""))] = WordNote(len(notes) + 1, text)
    return notes
