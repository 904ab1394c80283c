"""Text of WordprocessingML elements: runs, links, insertions and fields; not what was deleted."""

import re
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

from platform_pipelines.stages.knowledge_base.parsing.formulas import formula_text

W: Final = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
M: Final = "{http://schemas.openxmlformats.org/officeDocument/2006/math}"
_MC: Final = "{http://schemas.openxmlformats.org/markup-compatibility/2006}"
BOX: Final = f"{W}txbxContent"
# Moved text stands at its new place too; a table inside a cell is read where it stands.
_SKIPPED: Final = frozenset({f"{W}del", f"{W}moveFrom", f"{W}pPr", f"{W}rPr", f"{W}instrText"})
_REFERENCES: Final = {f"{W}footnoteReference": "footnote", f"{W}endnoteReference": "endnote"}
_MARKS: Final = {f"{W}tab": "\t", f"{W}br": "\n", f"{W}cr": "\n", f"{W}noBreakHyphen": "-"}
_WIDEST_SPAN: Final = 50
RAISED: Final = re.compile(r"[-+−]?[\d.,]{1,12}$|[-+−]?[a-zA-Z]$")  # an exponent


class NoteMark(NamedTuple):
    """Where the text refers to a note of its own: `footnote` or `endnote`, and the note's id."""

    kind: str
    id: str


def paragraph_text(paragraph: Any, marks: Callable[[NoteMark], str] | None = None) -> str:
    """The text of a paragraph (or of any element) as a reader sees it with all changes accepted.

    Text boxes are not part of the line that they are anchored in (see `boxes`). `marks` gives what
    stands for a reference to a note.
    """
    parts: list[str] = []
    for element in _visible(paragraph):
        tag = element.tag
        if tag == f"{W}t":
            parts.append(_raised(element, parts) + (element.text or ""))
        elif tag in _MARKS:
            parts.append(_MARKS[tag])
        elif tag in (f"{M}oMath", f"{M}oMathPara"):
            parts.append(formula_text(element))
        elif tag in _REFERENCES and marks is not None:
            parts.append(marks(NoteMark(_REFERENCES[tag], element.get(f"{W}id", ""))))
        elif tag == f"{W}p" and element is not paragraph and parts:
            parts.append("\n")
    return "".join(parts)


def is_hidden(element: Any) -> bool:
    """Whether a run is formatted as hidden: Word shows it to nobody."""
    if element.tag != f"{W}r":
        return False
    mark = element.find(f"{W}rPr/{W}vanish")
    return mark is not None and mark.get(f"{W}val", "1") not in ("0", "false", "off")


def _raised(text: Any, before: list[str]) -> str:
    """`10` with a raised `5` is not 105: what stands between them."""
    run = text.getparent()
    mark = None if run is None else run.find(f"{W}rPr/{W}vertAlign")
    last = "".join(before[-1:])[-1:]
    if mark is None or not last.isalnum():
        return ""
    kind, said = mark.get(f"{W}val", ""), (text.text or "").strip()
    if kind == "superscript" and RAISED.match(said):
        return "^"
    return "_" if kind == "subscript" and last.isdigit() and said[:1].isdigit() else ""


def boxes(paragraph: Any) -> Iterator[Any]:
    """The contents of text boxes that are anchored in a paragraph, not those inside others."""
    for element in _visible(paragraph, into_boxes=True):
        if element.tag == BOX:
            yield element


def _visible(root: Any, *, into_boxes: bool = False) -> Iterator[Any]:
    """Elements in document order without the skipped ones; no recursion."""
    stack = [root]
    while stack:
        element = stack.pop()
        tag = element.tag
        if tag in _SKIPPED or not isinstance(tag, str) or is_hidden(element):
            continue
        if tag == BOX and element is not root:
            if into_boxes:
                yield element
            continue
        yield element
        if tag == f"{_MC}AlternateContent":
            stack.extend(e for e in [chosen(element)] if e is not element)
        elif tag not in (f"{M}oMath", f"{M}oMathPara"):
            stack.extend(reversed(element))


def chosen(alternate: Any) -> Any:
    """The choice that is shown: one with words, as the fallback repeats it for old readers."""
    options = list(alternate)
    told = (option for option in options if next(option.iter(f"{W}t"), None) is not None)
    return next(told, options[0] if options else alternate)


def table_rows(table: Any, marks: Callable[[NoteMark], str] | None = None) -> list[list[str]]:
    """The cells' text; a cell that spans columns or rows is repeated in each."""
    rows: list[list[str]] = []
    for row in _children(table, f"{W}tr"):
        cells: list[str] = []
        for cell in _children(row, f"{W}tc"):
            above = rows[-1][len(cells)] if rows and len(cells) < len(rows[-1]) else ""
            text = above if _continues(cell) else _cell_text(cell, marks)
            cells += [text] * _span(cell)
        rows.append(cells)
    return rows


def _cell_text(cell: Any, marks: Callable[[NoteMark], str] | None) -> str:
    inside = [paragraph_text(box, marks) for box in boxes(cell)]
    return "\n".join(filter(None, (paragraph_text(cell, marks), *inside)))


def header_rows(table: Any) -> int | None:
    """How many first rows the author marked to be repeated on each page; None when none is."""
    count = 0
    for row in _children(table, f"{W}tr"):
        mark = row.find(f"{W}trPr/{W}tblHeader")
        if mark is None or mark.get(f"{W}val", "1") in ("0", "false", "off"):
            break
        count += 1
    return count or None


def _children(parent: Any, tag: str) -> Iterator[Any]:
    """Children of a kind, also those inside one content control (a repeating section)."""
    for child in parent:
        if child.tag == tag:
            yield child
        elif child.tag == f"{W}sdt":
            for content in child.iterchildren(f"{W}sdtContent"):
                yield from content.iterchildren(tag)


def _continues(cell: Any) -> bool:
    """Whether the cell is the lower part of one that spans rows."""
    merge = cell.find(f"{W}tcPr/{W}vMerge")
    return merge is not None and merge.get(f"{W}val", "continue") == "continue"


def _span(cell: Any) -> int:
    span = cell.find(f"{W}tcPr/{W}gridSpan")
    value = span.get(f"{W}val", "1")[:4] if span is not None else "1"
    return max(1, min(int(value), _WIDEST_SPAN)) if value.isdecimal() else 1
