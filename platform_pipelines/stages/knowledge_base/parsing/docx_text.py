"""Text of WordprocessingML elements: runs, links, insertions and fields; not what was deleted."""

from collections.abc import Iterator
from typing import Any, Final

W: Final = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_MC: Final = "{http://schemas.openxmlformats.org/markup-compatibility/2006}"
# A fallback repeats its choice for old readers; moved text stands at its new place too; a table
# inside a cell or a text box is read where it stands.
_SKIPPED: Final = frozenset(
    {f"{W}del", f"{W}moveFrom", f"{_MC}Fallback", f"{W}pPr", f"{W}rPr", f"{W}instrText"}
)
_MARKS: Final = {f"{W}tab": "\t", f"{W}br": "\n", f"{W}cr": "\n", f"{W}noBreakHyphen": "-"}
_WIDEST_SPAN: Final = 50


def paragraph_text(paragraph: Any) -> str:
    """The text of a paragraph (or of any element) as a reader sees it with all changes accepted."""
    parts: list[str] = []
    for element in _visible(paragraph):
        if element.tag == f"{W}t":
            parts.append(element.text or "")
        elif element.tag in _MARKS:
            parts.append(_MARKS[element.tag])
        elif element.tag == f"{W}p" and element is not paragraph and parts:
            parts.append("\n")
    return "".join(parts)


def _visible(root: Any) -> Iterator[Any]:
    """Elements in document order without the skipped ones; no recursion."""
    stack = [root]
    while stack:
        element = stack.pop()
        if element.tag in _SKIPPED:
            continue
        yield element
        stack.extend(reversed(element))


def table_rows(table: Any) -> list[list[str]]:
    """The cells' text; a cell that spans columns or rows is repeated in each."""
    rows: list[list[str]] = []
    for row in _children(table, f"{W}tr"):
        cells: list[str] = []
        for cell in _children(row, f"{W}tc"):
            above = rows[-1][len(cells)] if rows and len(cells) < len(rows[-1]) else ""
            text = above if _continues(cell) else paragraph_text(cell)
            cells += [text] * _span(cell)
        rows.append(cells)
    return rows


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
