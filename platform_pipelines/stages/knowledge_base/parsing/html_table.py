"""Rows of an HTML table, with spanning cells repeated so that each row is understood alone."""

from typing import TYPE_CHECKING, Final, NamedTuple

from platform_pipelines.core.knowledge_base.text import one_line

if TYPE_CHECKING:
    from selectolax.lexbor import LexborNode

_WIDEST_SPAN: Final = 50
_MOST_COLUMNS: Final = 500
_NOT_DATA: Final = "table table, h1, h2, h3, h4, pre, form, article, section"


def is_data_table(table: "LexborNode") -> bool:
    """False for a table that only lays out a page: it holds tables, headings or sections."""
    nested = [node for node in table.css(_NOT_DATA) if node.mem_id != table.mem_id]
    return not nested


class Table(NamedTuple):
    """Rows of cells' texts; `depth` is how many name the columns, None when the tags do not say."""

    rows: list[list[str]]
    depth: int | None
    caption: str


def read_table(table: "LexborNode") -> Table:
    """The text of each cell; a cell that spans rows or columns is repeated in each."""
    found = table.css_first("caption")
    caption = _text(found) if found is not None else ""
    below: dict[int, tuple[str, int]] = {}  # column -> text still spanning, rows left
    rows: list[list[str]] = []
    depth, marked = 0, False
    for row in table.css("tr"):
        names = _is_names(row)
        cells = _row(row, below)
        if not any(cells):
            continue
        if names and depth == len(rows):
            depth += 1
        marked = marked or names
        rows.append(cells)
    whole = depth == len(rows) and len(rows) > 1
    return Table(rows, depth if depth and not whole else None, caption)


def _is_names(row: "LexborNode") -> bool:
    """Whether the page marks a row as one of names: in the table's head, or of `th` alone."""
    if row.parent is not None and row.parent.tag == "thead":
        return True
    cells = [cell.tag for cell in row.iter() if cell.tag in ("td", "th")]
    return len(cells) > 1 and set(cells) == {"th"}


def _row(row: "LexborNode", below: dict[int, tuple[str, int]]) -> list[str]:
    out: list[str] = []
    for cell in row.iter():
        if cell.tag not in ("td", "th"):
            continue
        _take_spanning(out, below)
        text, attributes = _text(cell), cell.attributes
        down = _span(attributes.get("rowspan"))
        for _ in range(_span(attributes.get("colspan"))):
            if len(out) >= _MOST_COLUMNS:
                break
            if down > 1:
                below[len(out)] = (text, down - 1)
            out.append(text)
    _take_spanning(out, below)
    return out


def _take_spanning(out: list[str], below: dict[int, tuple[str, int]]) -> None:
    while len(out) in below:
        column = len(out)
        text, left = below.pop(column)
        if left > 1:
            below[column] = (text, left - 1)
        out.append(text)
        if left > 1 and len(out) >= _MOST_COLUMNS:
            return


def _span(value: str | None) -> int:
    number = (value or "").strip()[:4]
    return max(1, min(int(number), _WIDEST_SPAN)) if number.isdecimal() else 1


def _text(node: "LexborNode") -> str:
    if node.css_first("script, style, template") is not None:
        node.strip_tags(["script", "style", "template"], recursive=True)
    return one_line(node.text(separator=" "))
