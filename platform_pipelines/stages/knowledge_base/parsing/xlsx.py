"""Workbooks: each visible sheet's rows as records, with numbers as the sheet shows them."""

import re
import zipfile
from collections.abc import Iterator
from itertools import product
from math import isfinite
from typing import Final, cast

from platform_pipelines.core.knowledge_base.documents import NoteKind, Place, Reason
from platform_pipelines.core.knowledge_base.text import one_line
from platform_pipelines.errors import DocumentError
from platform_pipelines.stages.knowledge_base.parsing.draft import Draft
from platform_pipelines.stages.knowledge_base.parsing.records import RecordWriter, Row, Spread
from platform_pipelines.stages.knowledge_base.parsing.xlsx_formats import number_text
from platform_pipelines.stages.knowledge_base.parsing.xlsx_parts import (
    Cell,
    Parts,
    SheetRow,
    cell_place,
)

_MERGED: Final = re.compile(
    rb"<(?:\w+:)?mergeCell\s[^>]{0,200}?ref=\"([A-Z]{1,3}\d{1,7}:[A-Z]{1,3}\d{1,7})\""
)
_ERRORS: Final = frozenset({"#N/A", "#REF!", "#VALUE!", "#NAME?", "#DIV/0!", "#NULL!", "#NUM!"})
_MOST_MERGED_CELLS: Final = 100_000
_WIDEST_MERGED: Final = 200
_SHEET_NAME_CHARACTERS: Final = 100

Merged = dict[tuple[int, int], tuple[int, int]]  # (row, column) -> the cell whose value it shows


def read_xlsx(data: bytes, *, key: str, max_cells: int) -> Draft:
    """Blocks of a workbook, sheet after sheet.

    Hidden sheets, rows and columns are not read: nobody could check them. What is left out, and
    each formula whose value no program stored, is noted.

    Raises:
        DocumentError: CORRUPT for a damaged workbook, TOO_LARGE beyond `max_cells`.
    """
    from lxml.etree import XMLSyntaxError

    draft = Draft()
    try:
        parts = Parts(data)
        parts.load_texts()
        draft.attempt("styles", parts.load_codes)
        left = max_cells
        for sheet in parts.sheets:
            name = one_line(sheet.name, limit=_SHEET_NAME_CHARACTERS)
            if sheet.visible:
                left = _read_sheet(parts, sheet.path, draft, Place(sheet=name), key, left)
            else:
                draft.note(NoteKind.HIDDEN, f"sheet {name}")
        draft.title = one_line(draft.attempt("properties", parts.title) or "")
        if any("comments" in name.lower() for name in parts.names):
            draft.note(NoteKind.PART_LEFT_OUT, "comments")
    except (zipfile.BadZipFile, XMLSyntaxError, KeyError, ValueError) as error:
        raise DocumentError(
            f"the workbook cannot be read: {error}", reason=Reason.CORRUPT, where=key
        ) from error
    return draft


def _read_sheet(parts: Parts, path: str, draft: Draft, place: Place, key: str, left: int) -> int:
    writer = RecordWriter(draft, place, key, left)
    merged = _merged_cells(parts.read(path))
    sheet = place.sheet or ""
    return writer.write(_rows(parts, path, merged, draft, sheet))


def _rows(parts: Parts, path: str, merged: Merged, draft: Draft, sheet: str) -> Iterator[Row]:
    anchors = set(merged.values())
    values: dict[tuple[int, int], str] = {}
    stored = parts.rows(path)
    hidden = cast("frozenset[int]", next(stored))
    if hidden:
        draft.note(NoteKind.HIDDEN, f"columns of sheet {sheet}", len(hidden))
    last = 0
    for row in cast("Iterator[SheetRow]", stored):
        if row.number > last + 1:
            yield last + 1, ()  # rows that are not stored are blank
        last = row.number
        texts = [""] * (max((cell.column for cell in row.cells), default=0))
        for cell in row.cells:
            texts[cell.column - 1] = _text(cell, parts, draft, sheet)
        if merged:
            _fill_merged(texts, row.number, merged, values, anchors)
        if row.hidden:
            if any(texts):
                draft.note(NoteKind.HIDDEN, f"rows of sheet {sheet}")
            continue
        shown = [t for n, t in enumerate(texts, start=1) if n not in hidden]
        yield row.number, Spread(shown) if _is_spread(texts, row.number, merged) else shown


def _is_spread(texts: list[str], number: int, merged: Merged) -> bool:
    """Whether the row's one text stands in a cell over several columns, from the first on."""
    return any(texts[:1]) and not any(texts[1:]) and merged.get((number, 2)) == (number, 1)


def _text(cell: Cell, parts: Parts, draft: Draft, sheet: str) -> str:
    if cell.value is None or (cell.value == "" and cell.type == "n"):
        if cell.formula is None:
            return ""
        draft.note(NoteKind.NO_VALUE, f"sheet {sheet}")
        return f"={cell.formula or '…'}"
    if cell.type == "e":
        draft.note(NoteKind.NO_VALUE, f"errors of sheet {sheet}")
        return ""
    return _value(cell, cell.value, from_1904=parts.from_1904)


def _value(cell: Cell, value: str, *, from_1904: bool) -> str:
    match cell.type:
        case "b":
            return "TRUE" if value.strip() in ("1", "true") else "FALSE"
        case "d":
            return value.replace("T", " ").removesuffix("Z").removesuffix(" 00:00:00")
        case "n":
            return _number(cell, from_1904=from_1904)
        case _:
            return "" if value in _ERRORS else value


def _number(cell: Cell, *, from_1904: bool) -> str:
    try:
        value = float(cell.value or "")
    except ValueError:
        return cell.value or ""
    return number_text(value, cell.code, from_1904=from_1904) if isfinite(value) else ""


def _fill_merged(
    texts: list[str],
    number: int,
    merged: Merged,
    values: dict[tuple[int, int], str],
    anchors: set[tuple[int, int]],
) -> None:
    """Show a merged cell's value in each cell that it spans, so that a row is understood alone.

    A cell that is alone in its row stays one cell: it is a caption.
    """
    for column in range(1, len(texts) + 1):
        if (number, column) in anchors:
            values[number, column] = texts[column - 1]
    shown = {c: merged[number, c] for c in range(1, len(texts) + 1) if (number, c) in merged}
    sources = {shown.get(c, (number, c)) for c in range(1, len(texts) + 1)}
    alone = sum(bool(values.get(at) or texts[at[1] - 1]) for at in sources) == 1
    for column, anchor in shown.items():
        if not texts[column - 1] and not (alone and anchor[0] == number):
            texts[column - 1] = values.get(anchor, "")


def _merged_cells(xml: bytes) -> Merged:
    """The cells of each merged range but its first; the ranges stand behind the rows in the XML."""
    merged: Merged = {}
    for found in _MERGED.finditer(xml):
        (top, left), (bottom, right) = map(cell_place, found.group(1).decode("ascii").split(":"))
        # A range over whole columns is a format, not a cell that says something.
        wide = range(left, min(right, left + _WIDEST_MERGED) + 1)
        for row, column in product(range(top, bottom + 1), wide):
            if (row, column) != (top, left):
                merged[row, column] = (top, left)
            if len(merged) >= _MOST_MERGED_CELLS:
                return merged
    return merged
