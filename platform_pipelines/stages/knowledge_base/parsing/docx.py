"""Word documents: paragraphs, lists and tables in the order of the document."""

import io
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from platform_pipelines.core.knowledge_base.documents import BlockKind, Place, Reason
from platform_pipelines.core.knowledge_base.text import one_line
from platform_pipelines.errors import DocumentError
from platform_pipelines.stages.knowledge_base.parsing.docx_styles import Numbering, Styles
from platform_pipelines.stages.knowledge_base.parsing.docx_text import (
    W,
    header_rows,
    paragraph_text,
    table_rows,
)
from platform_pipelines.stages.knowledge_base.parsing.draft import (
    Draft,
    Outline,
    add_heading,
    add_table,
)

if TYPE_CHECKING:
    from docx.document import Document as WordDocument

_DEEPEST_WRAPPER = 16
_WRAPPERS = (f"{W}sdt", f"{W}sdtContent", f"{W}customXml", f"{W}smartTag", f"{W}ins")


def read_docx(data: bytes, *, key: str) -> Draft:
    """Blocks of a Word document; the title is its property, else its title or first heading.

    The XML is walked directly: python-docx's own iteration leaves out content controls (cover
    pages, tables of contents), tracked insertions and text boxes.

    Raises:
        DocumentError: CORRUPT or UNSUPPORTED for what python-docx refuses.
    """
    document = _open(data, key)
    reader = _Reader(Styles.of(document), Numbering.of(document))
    for element in _body(document.element.body, 0):
        reader.take(element)
    reader.finish()
    title = one_line(document.core_properties.title or "")
    # The template of python-docx carries this title; a person would have chosen another.
    reader.draft.title = (title if title != "Word Document" else "") or reader.title
    return reader.draft


def _open(data: bytes, key: str) -> "WordDocument":
    from docx import Document
    from docx.opc.exceptions import OpcError
    from lxml.etree import XMLSyntaxError

    try:
        return Document(io.BytesIO(data))
    except ValueError as error:
        foreign = "is not a" in str(error)  # the only sign: a template, or a file with macros
        raise DocumentError(
            f"this is not a plain Word document: {error}",
            reason=Reason.UNSUPPORTED if foreign else Reason.CORRUPT,
            where=key,
            remedy="save it as DOCX",
        ) from error
    except (OpcError, XMLSyntaxError, KeyError, zipfile.BadZipFile) as error:
        raise DocumentError(
            f"the Word document cannot be read: {error}", reason=Reason.CORRUPT, where=key
        ) from error


def _body(parent: Any, depth: int) -> Iterator[Any]:
    """Paragraphs and tables, also those inside content controls and tracked insertions."""
    for element in parent:
        if element.tag in (f"{W}p", f"{W}tbl"):
            yield element
        elif element.tag in _WRAPPERS and depth < _DEEPEST_WRAPPER:
            yield from _body(element, depth + 1)


@dataclass(slots=True)
class _Reader:
    styles: Styles
    numbering: Numbering
    draft: Draft = field(default_factory=Draft)
    outline: Outline = field(default_factory=Outline)
    title: str = ""
    items: list[str] = field(default_factory=list)

    def take(self, element: Any) -> None:
        if element.tag == f"{W}tbl":
            self._flush_list()
            add_table(self.draft, table_rows(element), self._place(), depth=header_rows(element))
            return
        text = paragraph_text(element).strip()
        if not text:
            return
        style = self.styles.style_of(element)
        if style.level is not None:
            self._flush_list()
            add_heading(self.draft, self.outline, style.level, text, Place())
            self.title = self.title or one_line(text)
            return
        marker = self.numbering.marker(style)
        if marker is not None:
            self.items.append(marker + one_line(text))
            return
        self._flush_list()
        if not style.contents:  # entries of a table of contents lead to pages, not to answers
            kind = BlockKind.CODE if style.code else BlockKind.PARAGRAPH
            self.draft.add(text, kind, self._place())

    def finish(self) -> None:
        self._flush_list()

    def _flush_list(self) -> None:
        items, self.items = self.items, []
        self.draft.add("\n".join(items), BlockKind.LIST, self._place())

    def _place(self) -> Place:
        return Place(heading=self.outline.path)
