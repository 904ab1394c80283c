"""Delimited tables (CSV, TSV, semicolons): which delimiter, and the rows as records."""

import csv
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from typing import Final

from platform_pipelines.core.knowledge_base.documents import Place, Reason
from platform_pipelines.errors import DocumentError
from platform_pipelines.stages.knowledge_base.parsing.draft import Draft
from platform_pipelines.stages.knowledge_base.parsing.headers import header_depth
from platform_pipelines.stages.knowledge_base.parsing.records import RecordWriter, Row

DELIMITERS: Final = (",", "\t", ";", "|")
_SAMPLE_ROWS: Final = 100
_SAMPLE_CHARACTERS: Final = 65_536


def read_delimited(text: str, *, key: str, max_cells: int, max_cell_characters: int) -> Draft:
    """Blocks of a delimited file: one record per line, each cell with its column's header.

    Raises:
        DocumentError: TOO_LARGE beyond `max_cells`; CORRUPT when quoting never ends, or a cell is
            longer than `max_cell_characters`.
    """
    delimiter = find_delimiter(text) or ","
    draft = Draft()
    try:
        writer = RecordWriter(draft, Place(), key, max_cells, padded=True)
        writer.write(_rows(text, delimiter, max_cell_characters))
    except csv.Error as error:
        raise DocumentError(
            f"the table cannot be read: {error}", reason=Reason.CORRUPT, where=key
        ) from error
    return draft


def find_delimiter(text: str, *, strict: bool = False) -> str | None:
    """The delimiter that cuts (nearly) all rows into the same number of columns, at least two.

    `strict` is for a file whose name does not say that it is a table: three rows or more, all of
    equal length, under a row that can be a header.
    """
    found: list[tuple[float, int, str]] = []
    for delimiter in DELIMITERS:
        rows = _sample_rows(text, delimiter)
        if not rows:
            continue
        columns, share = _regularity(rows)
        if strict and not (share == 1.0 and _is_table(rows)):
            continue
        if columns >= 2 and share >= 0.8:
            found.append((share, columns, delimiter))
    return max(found)[2] if found else None


def _sample_rows(text: str, delimiter: str) -> list[list[str]]:
    sample = text[:_SAMPLE_CHARACTERS]
    if delimiter not in sample:
        return []
    lines = sample.splitlines()
    if len(text) > len(sample) and len(lines) > 1:
        lines.pop()  # cut off in the middle
    try:
        return [row for row in islice(csv.reader(lines, delimiter=delimiter), _SAMPLE_ROWS) if row]
    except csv.Error:
        return []


def _is_table(rows: list[list[str]]) -> bool:
    """Three rows under a header whose cells do not read like the clauses of sentences."""
    clauses = sum(cell[:1] == " " for row in rows for cell in row[1:])
    cells = sum(len(row) - 1 for row in rows)
    return len(rows) >= 3 and header_depth(rows) > 0 and clauses * 2 < cells


def _regularity(rows: list[list[str]]) -> tuple[int, float]:
    columns, count = Counter(map(len, rows)).most_common(1)[0]
    return columns, count / len(rows)


def _rows(text: str, delimiter: str, max_cell_characters: int) -> Iterator[Row]:
    # The module's limit (131,072 at first) holds for every reader in this process: it is only ever
    # raised, and to what a document may have anyway.
    csv.field_size_limit(max(csv.field_size_limit(), max_cell_characters))
    reader = csv.reader(text.splitlines(keepends=True), delimiter=delimiter)
    before = 0
    for row in reader:
        yield before + 1, row
        before = reader.line_num
