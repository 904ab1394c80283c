"""Golden sets as files: JSON Lines, a JSON array or CSV, each row with its line."""

import ast
import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast

from platform_pipelines.errors import ConfigurationError

Row = tuple[Mapping[str, Any], str]  # a record, and where it stands

_MAX_CELL_CHARACTERS = 1_000_000
_LISTS = frozenset(
    ("contexts", "reference_contexts", "retrieved_contexts", "references", "ground_truths")
)
_DECODER = json.JSONDecoder()
_BOOLEANS = {"true": True, "false": False, "1": True, "0": False}


def read_rows(name: str, data: bytes, *, where: str) -> list[Row]:
    """The rows of one file; its name says the format.

    Raises:
        ConfigurationError: not UTF-8, not the format, a row that is no object: names the line.
    """
    reader = _READERS[suffix(name)]
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigurationError(
            f"the golden set is not UTF-8: {error.reason}", where=where,
            expected="a file in UTF-8", remedy="save the file as UTF-8",
        ) from error  # fmt: skip
    return [(_object(record, at), at) for record, at in reader(text, where)]


def suffix(name: str) -> str:
    """The format of a file's name, or nothing."""
    found = name[name.rfind(".") :].lower() if "." in name else ""
    return found if found in _READERS else ""


def _lines(text: str, where: str) -> Iterator[tuple[object, str]]:
    for number, raw in enumerate(text.split("\n"), start=1):  # not at U+2028, as JSON
        if raw.strip():
            at = f"{where}, line {number}"
            yield _whole(raw.strip(), at), at


def _array(text: str, where: str) -> Iterator[tuple[object, str]]:
    """One element after the other, for the line of each."""
    at = _skip(text, 0)
    if text[at : at + 1] != "[":
        raise _broken("is no array", f"{where}, line {_line(text, at)}", text[at : at + 40])
    at = _skip(text, at + 1)
    while text[at : at + 1] != "]":
        place = f"{where}, line {_line(text, at)}"
        record, at = _decoded(text, place, at)
        yield record, place
        at = _skip(text, at)
        if text[at : at + 1] not in (",", "]"):
            place = f"{where}, line {_line(text, at)}"
            raise _broken("is not JSON", place, text[at : at + 40] or "the end of the file")
        at = _skip(text, at + 1) if text[at] == "," else at


def _table(text: str, where: str) -> Iterator[tuple[object, str]]:
    csv.field_size_limit(max(csv.field_size_limit(), _MAX_CELL_CHARACTERS))
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    start = 1
    try:
        head = [name.strip() for name in next(reader, [])]
        start = reader.line_num + 1
        for cells in reader:
            at, start = f"{where}, line {start}", reader.line_num + 1
            if not any(cells):
                continue
            if len(cells) != len(head):
                raise _broken("has another number of cells than the head", at, len(cells))
            yield {n: _cell(n, c, at) for n, c in zip(head, cells, strict=True) if n and c}, at
    except csv.Error as error:
        raise _broken("is not CSV", f"{where}, line {start}", str(error)) from error


def _cell(name: str, cell: str, where: str) -> object:
    """A list stands in a cell as JSON, or as Python writes one (pandas, Ragas); or one text."""
    if name == "answerable":
        return _BOOLEANS.get(cell.strip().lower(), cell)
    if name not in _LISTS or not cell.lstrip().startswith("["):
        return cell
    try:
        return json.loads(cell)
    except ValueError:
        return _python_list(cell, where)


def _python_list(cell: str, where: str) -> object:
    try:
        return ast.literal_eval(cell.strip())  # literals only
    except (ValueError, SyntaxError, MemoryError, RecursionError) as error:
        raise _broken("holds no list", where, cell[:80]) from error


def _decoded(text: str, where: str, start: int = 0) -> tuple[object, int]:
    """One JSON value and where it ends."""
    try:
        return _DECODER.raw_decode(text, start)
    except (ValueError, RecursionError) as error:
        raise _broken("is not JSON", where, str(error)) from error


def _whole(text: str, where: str) -> object:
    found, end = _decoded(text, where)
    if end != len(text):
        raise _broken("line holds more than one value", where, text[end : end + 40])
    return found


def _object(record: object, where: str) -> Mapping[str, Any]:
    if not isinstance(record, dict):
        raise _broken("is not an object", where, str(record)[:80])
    return cast("Mapping[str, Any]", record)


def _skip(text: str, at: int) -> int:
    while at < len(text) and text[at].isspace():
        at += 1
    return at


def _line(text: str, at: int) -> int:
    return text.count("\n", 0, at) + 1


def _broken(what: str, where: str, stored: object) -> ConfigurationError:
    return ConfigurationError(
        f"golden set: this {what}", where=where, stored=stored,
        expected="one object a line (.jsonl), an array of objects (.json), a table (.csv)",
        remedy="correct the file; its name says the format",
    )  # fmt: skip


_READERS: Mapping[str, Callable[[str, str], Iterator[tuple[object, str]]]] = {
    ".jsonl": _lines,
    ".json": _array,
    ".csv": _table,
}
