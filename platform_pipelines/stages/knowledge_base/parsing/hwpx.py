"""HWPX (KS X 6101), the form of Korea's offices: headings, merged tables, notes and captions.

A ZIP of XML: `Contents/header.xml` has the styles, `Contents/section0.xml` and on the text. Read by
local names, since the namespaces carry a year.
"""

import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from platform_pipelines.core.knowledge_base.documents import BlockKind, NoteKind, Place, Reason
from platform_pipelines.core.knowledge_base.text import one_line
from platform_pipelines.errors import DocumentError
from platform_pipelines.stages.knowledge_base.parsing.draft import (
    Draft,
    Outline,
    add_heading,
    add_table,
)
from platform_pipelines.stages.knowledge_base.parsing.hwpx_numbering import HwpxNumbering
from platform_pipelines.stages.knowledge_base.parsing.package import Package

_SECTION: Final = re.compile(r"Contents/section(\d{1,5})\.xml$")
_OUTLINE: Final = re.compile(r"(?:개요|outline|제목|heading)\s*([1-9]\d?)$", re.IGNORECASE)
_TITLE: Final = re.compile(r"(?:제목|문서\s*제목|title)$", re.IGNORECASE)
_DEEPEST: Final = 12
_WIDEST_SPAN: Final = 200
_NOTES: Final = frozenset({"footNote", "endNote"})
_APART: Final = frozenset({"tbl", "footNote", "endNote", "drawText", "header", "footer", "pic"})
_MARKS: Final = {"tab": "\t", "lineBreak": "\n", "nbSpace": " ", "fwSpace": " ", "hyphen": "-"}


def read_hwpx(data: bytes, *, key: str) -> Draft:
    """Blocks of an HWPX document; a section that cannot be read is noted, and costs itself.

    Raises:
        DocumentError: ENCRYPTED; CORRUPT, no section can be read.
    """
    from lxml.etree import XMLSyntaxError

    draft = Draft()
    try:
        package = Package(data)
        manifest = "META-INF/manifest.xml"
        if manifest in package.names and b"encryption-data" in package.read(manifest):
            raise DocumentError(
                "the HWPX document is protected by a password",
                reason=Reason.ENCRYPTED,
                where=key,
                remedy="save it without a password",
            )
        numbered = [(int(m.group(1)), n) for n in package.names if (m := _SECTION.search(n))]
        if not numbered:
            raise ValueError("it has no section")
        levels = draft.attempt("styles", partial(_levels, package)) or {}
        numbering = draft.attempt("numbers", partial(_numbering, package)) or HwpxNumbering()
        reader = _Reader(draft, levels, numbering)
        for _, name in sorted(numbered):
            draft.attempt(name, lambda name=name: reader.read(package.tree(name)))
    except (XMLSyntaxError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise DocumentError(
            f"the HWPX document cannot be read: {error}", reason=Reason.CORRUPT, where=key
        ) from error
    draft.title = reader.title
    return draft


def _numbering(package: Package) -> HwpxNumbering:
    return HwpxNumbering.of(package.tree("Contents/header.xml"))


def _levels(package: Package) -> dict[tuple[str, str], int]:
    """Heading levels by style and by paragraph form: outline levels count from 0 in the file."""
    root = package.tree("Contents/header.xml")
    levels: dict[tuple[str, str], int] = {}
    for style in root.iter("{*}style"):
        name = (style.get("name") or style.get("engName") or "").strip()
        found = _OUTLINE.match(name)
        if found or _TITLE.match(name):
            levels["style", style.get("id", "")] = int(found.group(1)) if found else 1
    for form in root.iter("{*}paraPr"):
        for heading in form.iterchildren("{*}heading"):
            level = heading.get("level", "0")
            if heading.get("type") == "OUTLINE" and level.isdecimal():
                levels["form", form.get("id", "")] = int(level) + 1
    return levels


@dataclass(slots=True)
class _Reader:
    draft: Draft
    levels: dict[tuple[str, str], int]
    numbering: HwpxNumbering
    outline: Outline = field(default_factory=Outline)
    title: str = ""
    notes: int = 0

    def read(self, section: Any) -> None:
        shape = next(section.iter("{*}secPr"), None)
        self.numbering.outline = "" if shape is None else shape.get("outlineShapeIDRef", "")
        for paragraph in section.iterchildren("{*}p"):
            self.draft.attempt("a paragraph", partial(self._take, paragraph, 0))

    def _take(self, paragraph: Any, depth: int) -> None:
        if depth > _DEEPEST:
            return
        notes: list[str] = []
        text = self._text(paragraph, notes).strip()
        if text:
            text = f"{self.numbering.label(paragraph)} {text}".strip()
        level = self.levels.get(("style", paragraph.get("styleIDRef", "")))
        level = level or self.levels.get(("form", paragraph.get("paraPrIDRef", "")))
        if text and level is not None and len(text) <= 200:
            add_heading(self.draft, self.outline, level, text, Place())
            self.title = self.title or one_line(text)
        else:
            self.draft.add(text, BlockKind.PARAGRAPH, self._place())
        for element in _apart(paragraph):
            self._take_apart(element, depth)
        for note in notes:
            self.draft.add(note, BlockKind.PARAGRAPH, self._place())

    def _take_apart(self, element: Any, depth: int) -> None:
        match _name(element):
            case "tbl":
                self._add_table(element)
            case "pic":
                self.draft.note(NoteKind.PICTURE, "in the text")
            case "drawText":
                for inner in element.iterchildren("{*}subList"):
                    for paragraph in inner.iterchildren("{*}p"):
                        self._take(paragraph, depth + 1)
            case _:
                pass  # notes stand where the text refers to them; headers and footers return

    def _add_table(self, table: Any) -> None:
        notes: list[str] = []
        rows = self._rows(table, notes)
        captions = (self._text(c, notes) for c in table.iterchildren("{*}caption"))
        marked = table.get("repeatHeader") == "1" and _has_header_cells(table)
        add_table(
            self.draft,
            rows,
            self._place(),
            depth=_header_rows(table) if marked else None,
            caption=" ".join(map(one_line, captions)),
        )
        for note in notes:
            self.draft.add(note, BlockKind.PARAGRAPH, self._place())

    def _rows(self, table: Any, notes: list[str]) -> list[list[str]]:
        """The cells' text at their addresses; a cell that spans several is repeated in each."""
        grid: dict[tuple[int, int], str] = {}
        for number, row in enumerate(table.iterchildren("{*}tr")):
            for at, cell in enumerate(row.iterchildren("{*}tc")):
                address, span = cell.find("{*}cellAddr"), cell.find("{*}cellSpan")
                top, left = _whole(address, "rowAddr", number), _whole(address, "colAddr", at)
                text = self._cell_text(cell, notes)
                for y in range(min(_whole(span, "rowSpan", 1), _WIDEST_SPAN)):
                    for x in range(min(_whole(span, "colSpan", 1), _WIDEST_SPAN)):
                        grid[top + y, left + x] = text
        height = max((y for y, _ in grid), default=-1) + 1
        width = max((x for _, x in grid), default=-1) + 1
        return [[grid.get((y, x), "") for x in range(width)] for y in range(height)]

    def _cell_text(self, cell: Any, notes: list[str]) -> str:
        parts: list[str] = []
        for paragraph in cell.iter("{*}p"):
            text = self._text(paragraph, notes)
            if text:
                parts.append(f"{self.numbering.label(paragraph)} {text}".strip())
        return "\n".join(parts)

    def _text(self, root: Any, notes: list[str]) -> str:
        """Runs of a paragraph; a note's mark stands in the text, and the note in `notes`."""
        parts: list[str] = []
        for element in _inline(root):
            name = _name(element)
            if name in _NOTES:
                self.notes += 1
                inner = (self._text(p, []) for p in element.iter("{*}p"))
                notes.append(f"[{self.notes}] {one_line(' '.join(inner))}")
                parts.append(f"[{self.notes}]")
            elif name == "t":
                parts.append(_told(element))
            elif name == "script":
                parts.append(element.text or "")
        return "".join(parts)

    def _place(self) -> Place:
        return Place(heading=self.outline.path)


def _inline(root: Any) -> Iterator[Any]:
    """Texts, equations and notes of a paragraph in order, not what stands apart in it."""
    stack = list(reversed(root))
    while stack:
        element = stack.pop()
        name = _name(element)
        if name in _NOTES or name in ("t", "script"):
            yield element
        elif name not in _APART and not (name == "p" and root.tag == element.tag):
            stack.extend(reversed(element))


def _apart(paragraph: Any) -> Iterator[Any]:
    stack = list(reversed(paragraph))
    while stack:
        element = stack.pop()
        if _name(element) in _APART:
            yield element
        else:
            stack.extend(reversed(element))


def _told(element: Any) -> str:
    """The text of a `t` with its tabs and line ends; tracked deletions are not in it."""
    parts = [element.text or ""]
    deleted = False
    for child in element:
        name = _name(child)
        deleted = (deleted or name == "deleteBegin") and name != "deleteEnd"
        parts.append(_MARKS.get(name, ""))
        parts.append("" if deleted else child.tail or "")
    return "".join(parts)


def _header_rows(table: Any) -> int:
    count = 0
    for row in table.iterchildren("{*}tr"):
        cells = [cell.get("header") == "1" for cell in row.iterchildren("{*}tc")]
        if not cells or not all(cells):
            break
        count += 1
    return count


def _has_header_cells(table: Any) -> bool:
    return _header_rows(table) > 0


def _whole(element: Any, name: str, default: int) -> int:
    value = "" if element is None else element.get(name, "")
    return int(value) if value.isdecimal() else default


def _name(element: Any) -> str:
    return element.tag.rpartition("}")[2] if isinstance(element.tag, str) else ""
