"""Workbooks: each visible sheet's rows as records, with cached formula values and ISO dates."""

import datetime
import io
import re
import warnings
import zipfile
from collections.abc import Iterator
from itertools import product
from typing import TYPE_CHECKING, Any, Final

from platform_pipelines.core.knowledge_base.documents import Place, Reason
from platform_pipelines.core.knowledge_base.text import one_line
from platform_pipelines.errors import DocumentError
from platform_pipelines.stages.knowledge_base.parsing.draft import Draft
from platform_pipelines.stages.knowledge_base.parsing.records import RecordWriter, Row

if TYPE_CHECKING:
    from openpyxl.workbook import Workbook

_MERGED: Final = re.compile(
    rb"<(?:\w+:)?mergeCell\s[^>]{0,200}?ref=\"([A-Z]{1,3}\d{1,7}:[A-Z]{1,3}\d{1,7})\""
)
_ERRORS: Final = frozenset({"#N/A", "#REF!", "#VALUE!", "#NAME?", "#DIV/0!", "#NULL!", "#NUM!"})
_MOST_MERGED_CELLS: Final = 100_000
_WIDEST_MERGED: Final = 200
_SHEET_NAME_CHARACTERS: Final = 100

Merged = dict[tuple[int, int], tuple[int, int]]  # (row, column) -> the cell whose value it shows


def read_xlsx(data: bytes, *, key: str, max_cells: int) -> Draft:
    """Blocks of a workbook, sheet after sheet. Hidden sheets are not read: nobody could check them.

    Raises:
        DocumentError: CORRUPT for what openpyxl refuses, TOO_LARGE beyond `max_cells`.
    """
    from openpyxl import load_workbook
    from openpyxl.utils.exceptions import InvalidFileException

    draft = Draft()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # openpyxl tells of styles and extensions it drops
            book = load_workbook(io.BytesIO(data), read_only=True, data_only=True)
            try:
                _read_sheets(book, data, draft, key, max_cells)
            finally:
                book.close()
    # openpyxl wraps what defusedxml refuses, and any broken XML, in a ValueError.
    except (InvalidFileException, zipfile.BadZipFile, KeyError, ValueError) as error:
        raise DocumentError(
            f"the workbook cannot be read: {error}", reason=Reason.CORRUPT, where=key
        ) from error
    draft.title = one_line(book.properties.title or "")
    return draft


def _read_sheets(book: "Workbook", data: bytes, draft: Draft, key: str, cells_left: int) -> None:
    for sheet in book.worksheets:
        if sheet.sheet_state != "visible":
            continue
        sheet.reset_dimensions()  # the claimed size is often wrong, and may be a billion cells
        name = one_line(sheet.title, limit=_SHEET_NAME_CHARACTERS)
        merged = _merged_cells(data, getattr(sheet, "_worksheet_path", ""))
        writer = RecordWriter(draft, Place(sheet=name), key, cells_left)
        cells_left = writer.write(_rows(sheet, merged))


def _rows(sheet: Any, merged: Merged) -> Iterator[Row]:
    anchors = set(merged.values())
    values: dict[tuple[int, int], str] = {}
    for number, row in enumerate(sheet.iter_rows(), start=1):
        texts = [cell_text(cell.value, getattr(cell, "number_format", "")) for cell in row]
        if merged:
            _fill_merged(texts, number, merged, values, anchors)
        yield number, texts


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


def _merged_cells(data: bytes, path: str) -> Merged:
    """The cells of each merged range but its first.

    Read-only worksheets do not know their merged ranges, and the other mode holds fifty times the
    file's size in memory; so the ranges are read from the sheet's XML.
    """
    from openpyxl.utils.cell import range_boundaries

    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        xml = archive.read(path.lstrip("/"))
    merged: Merged = {}
    for found in _MERGED.finditer(xml):
        bounds = range_boundaries(found.group(1).decode("ascii"))
        left, top, right, bottom = (bound or 0 for bound in bounds)
        # A range over whole columns is a format, not a cell that says something.
        wide = range(left, min(right, left + _WIDEST_MERGED) + 1)
        for row, column in product(range(top, bottom + 1), wide):
            if (row, column) != (top, left):
                merged[row, column] = (top, left)
            if len(merged) >= _MOST_MERGED_CELLS:
                return merged
    return merged


def cell_text(value: Any, number_format: str = "") -> str:
    """A cell's value as a reader would write it: ISO dates, percentages as shown, no `.0` tails."""
    if value is None or value in _ERRORS:
        return ""
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, int | float):
        return _number_text(value, number_format)
    if isinstance(value, datetime.datetime):
        text = value.isoformat(sep=" ", timespec="minutes")
        return text.removesuffix(" 00:00")
    if isinstance(value, datetime.time):
        return value.isoformat(timespec="minutes")
    return str(value)  # text, and dates, whose text is ISO


def _number_text(value: float, number_format: str) -> str:
    if "%" in (number_format or ""):
        return f"{value * 100:.10g}%"
    return str(value) if isinstance(value, int) else f"{value:.15g}"
