"""Word documents: paragraphs, lists and tables in the order of the document."""

import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from platform_pipelines.core.knowledge_base.documents import BlockKind, NoteKind, Place, Reason
from platform_pipelines.core.knowledge_base.text import one_line
from platform_pipelines.errors import DocumentError
from platform_pipelines.stages.knowledge_base.parsing.docx_parts import WordParts
from platform_pipelines.stages.knowledge_base.parsing.docx_text import (
    NoteMark,
    W,
    boxes,
    header_rows,
    is_hidden,
    paragraph_text,
    table_rows,
)
from platform_pipelines.stages.knowledge_base.parsing.draft import (
    Draft,
    Outline,
    add_heading,
    add_table,
)
from platform_pipelines.stages.knowledge_base.parsing.package import Package

_DEEPEST_WRAPPER = 16
_WRAPPERS = (f"{W}sdt", f"{W}sdtContent", f"{W}customXml", f"{W}smartTag", f"{W}ins")


def read_docx(data: bytes, *, key: str) -> Draft:
    """Blocks of a Word document; the title is its property, else its title or first heading.

    The XML is read directly: libraries leave out content controls, tracked insertions, numbers,
    notes and text boxes, and refuse what Word opens. A part beside the text that cannot be read is
    noted, and costs only itself.

    Raises:
        DocumentError: CORRUPT, there is no text of a document in it.
    """
    from lxml.etree import XMLSyntaxError

    try:
        package = Package(data)
        main = package.main("word/document.xml")
        body = package.tree(main).find(f"{W}body")
        if body is None:
            raise ValueError("it has no body")
    except (XMLSyntaxError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise DocumentError(
            f"the Word document cannot be read: {error}", reason=Reason.CORRUPT, where=key
        ) from error
    draft = Draft()
    reader = _Reader(WordParts.of(package, main, draft), draft)
    for element in _body(body, 0):
        draft.attempt("a paragraph", partial(reader.take, element))
    reader.finish()
    hidden = sum(map(is_hidden, body.iter(f"{W}r")))
    if hidden:
        draft.note(NoteKind.HIDDEN, "hidden text", hidden)
    if any(name.endswith("comments.xml") for name in package.names):
        draft.note(NoteKind.PART_LEFT_OUT, "comments")
    title = one_line(draft.attempt("properties", package.title) or "")
    # The template of python-docx carries this title; a person would have chosen another.
    draft.title = (title if title != "Word Document" else "") or reader.title
    return draft


def _body(parent: Any, depth: int) -> Iterator[Any]:
    """Paragraphs and tables, also those inside content controls and tracked insertions."""
    for element in parent:
        if element.tag in (f"{W}p", f"{W}tbl"):
            yield element
        elif element.tag in _WRAPPERS and depth < _DEEPEST_WRAPPER:
            yield from _body(element, depth + 1)


@dataclass(slots=True)
class _Reader:
    parts: WordParts
    draft: Draft
    outline: Outline = field(default_factory=Outline)
    title: str = ""
    items: list[str] = field(default_factory=list[str])
    waiting: list[NoteMark] = field(default_factory=list[NoteMark])  # notes below what is open

    def take(self, element: Any) -> None:
        if element.tag == f"{W}tbl":
            self._flush_list()
            rows = table_rows(element, self._mark)
            add_table(self.draft, rows, self._place(), depth=header_rows(element))
            self._add_notes()
        else:
            self._take_paragraph(element)
            for box in boxes(element):
                self._flush_list()
                for inner in _body(box, 0):
                    self.take(inner)
        for text in self.parts.drawn(element, self.draft):
            self._flush_list()
            text.add_to(self.draft, self._place())

    def finish(self) -> None:
        self._flush_list()

    def _take_paragraph(self, element: Any) -> None:
        text = paragraph_text(element, self._mark).strip()
        if not text:
            return
        style = self.parts.styles.style_of(element)
        if style.level is not None:
            self._flush_list()
            text = one_line(f"{self.parts.numbering.label(style)} {text}")
            add_heading(self.draft, self.outline, style.level, text, Place())
            self.title = self.title or text
            self._add_notes()
            return
        marker = self.parts.numbering.marker(style)
        if marker is not None:
            self.items.append(marker + one_line(text))
            return
        self._flush_list()
        if not style.contents:  # entries of a table of contents lead to pages, not to answers
            kind = BlockKind.CODE if style.code else BlockKind.PARAGRAPH
            self.draft.add(text, kind, self._place())
        self._add_notes()

    def _mark(self, mark: NoteMark) -> str:
        if mark not in self.parts.notes:
            return ""
        self.waiting.append(mark)
        return f"[{self.parts.notes[mark].number}]"

    def _add_notes(self) -> None:
        waiting, self.waiting = self.waiting, []
        for mark in dict.fromkeys(waiting):
            note = self.parts.notes[mark]
            text = f"[{note.number}] {note.text}"
            self.draft.add(text, BlockKind.PARAGRAPH, self._place())

    def _flush_list(self) -> None:
        items, self.items = self.items, []
        self.draft.add("\n".join(items), BlockKind.LIST, self._place())
        if items:
            self._add_notes()

    def _place(self) -> Place:
        return Place(heading=self.outline.path)
