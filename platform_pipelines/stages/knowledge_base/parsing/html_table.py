"""Rows of an HTML table, with spanning cells repeated so that each row is understood alone."""

from typing import TYPE_CHECKING, Final

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


def table_rows(table: "LexborNode") -> list[list[str]]:
    """The text of each cell; a cell that spans rows or columns is repeated in each."""
    rows: list[list[str]] = []
    caption = table.css_first("caption")
    if caption is not None:
        rows.append([_text(caption)])
    below: dict[int, tuple[str, int]] = {}  # column -> text still spanning, rows left
    rows += [_row(row, below) for row in table.css("tr")]
    return rows


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
