"""The parts of a workbook: sheets, shared texts and formats, straight from their XML.

Read by local names, so that Strict files are the same to us; what the styles say beyond formats is
not read, so that nothing in them can cost the file.
"""

import io
import re
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from platform_pipelines.stages.knowledge_base.parsing.package import Package
from platform_pipelines.stages.knowledge_base.parsing.xlsx_formats import BUILT_IN

_REFERENCE: Final = re.compile(r"([A-Z]{1,3})(\d{1,7})$")
_TRUE: Final = frozenset({"1", "true", "on"})
_WIDEST: Final = 16_384


class Sheet(NamedTuple):
    """A sheet by its name, its part's path, and whether a reader sees it."""

    name: str
    path: str
    visible: bool


class Cell(NamedTuple):
    """A cell as it is stored: the type's letter, the value, the formula, its format's code."""

    column: int  # from 1
    type: str
    value: str | None
    formula: str | None
    code: str


class SheetRow(NamedTuple):
    """A row with the cells that are stored."""

    number: int
    hidden: bool
    cells: list[Cell]


class Parts(Package):
    """An opened workbook.

    Raises:
        ValueError, KeyError, zipfile.BadZipFile, lxml.etree.XMLSyntaxError: it is damaged.
    """

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.sheets: list[Sheet] = []
        self.texts: list[str] = []
        self.codes: list[str] = []  # by the cell's style number
        self.book = self.main("xl/workbook.xml")
        root = self.tree(self.book)
        targets = self.relations(self.book)
        dates = [e.get("date1904", "").lower() in _TRUE for e in root.iter("{*}workbookPr")]
        self.from_1904 = any(dates)
        for element in root.iter("{*}sheet"):
            name = next((v for k, v in element.attrib.items() if k.endswith("}id")), "")
            visible = element.get("state", "visible") == "visible"
            if name in targets and targets[name].type.endswith("/worksheet"):
                self.sheets.append(Sheet(element.get("name", ""), targets[name].path, visible))

    def load_texts(self) -> None:
        """Read what cells of type `s` point to."""
        path = self.related(self.book, "sharedStrings")
        if path is not None:
            self.texts = [rich_text(item) for item in self.tree(path).iterchildren("{*}si")]

    def load_codes(self) -> None:
        """Read the number formats; damaged styles cost the formats, not the values."""
        path = self.related(self.book, "styles")
        if path is None:
            return
        root = self.tree(path)
        own = {e.get("numFmtId"): e.get("formatCode", "") for e in root.iter("{*}numFmt")}
        for table in root.iterchildren("{*}cellXfs"):
            for entry in table.iterchildren("{*}xf"):
                number = entry.get("numFmtId", "0")
                built_in = BUILT_IN.get(int(number), "") if number.isdecimal() else ""
                self.codes.append(own.get(number, built_in))

    def code(self, style: str | None) -> str:
        """The format code of a cell's style number."""
        number = int(style) if style and style.isdecimal() else 0
        return self.codes[number] if number < len(self.codes) else ""

    def rows(self, path: str) -> Iterator[SheetRow | frozenset[int]]:
        """First the numbers of the hidden columns, then the rows."""
        from lxml.etree import QName, iterparse

        hidden: set[int] = set()
        given = False
        number = 0
        events = iterparse(
            io.BytesIO(self.read(path)), tag=("{*}col", "{*}row"), resolve_entities=False
        )
        for _, element in events:
            if QName(element).localname == "col":
                if element.get("hidden", "").lower() in _TRUE:
                    low, high = int(element.get("min", "1")), int(element.get("max", "1"))
                    hidden.update(range(low, min(high, _WIDEST) + 1))
                continue
            if not given:
                yield frozenset(hidden)
                given = True
            stated = element.get("r", "")
            number = int(stated) if stated.isdecimal() else number + 1
            yield SheetRow(number, _is_hidden(element), self._cells(element))
            element.clear()
            while element.getprevious() is not None:
                del element.getparent()[0]
        if not given:
            yield frozenset(hidden)

    def _cells(self, row: Any) -> list[Cell]:
        cells: list[Cell] = []
        column = 0
        for element in row.iterchildren("{*}c"):
            column = cell_place(element.get("r", ""))[1] or column + 1
            kind = element.get("t", "n")
            value = element.findtext("{*}v")
            if kind == "inlineStr":
                inline = element.find("{*}is")
                value = rich_text(inline) if inline is not None else None
            elif kind == "s" and value is not None:
                place = int(value) if value.strip().isdecimal() else -1
                value = self.texts[place] if 0 <= place < len(self.texts) else ""
            formula = element.find("{*}f")
            told = None if formula is None else (formula.text or "")
            cells.append(Cell(min(column, _WIDEST), kind, value, told, self.code(element.get("s"))))
        return cells


def _is_hidden(row: Any) -> bool:
    return row.get("hidden", "").lower() in _TRUE or row.get("ht") == "0"


def cell_place(reference: str) -> tuple[int, int]:
    """Row and column from 1 of a name such as `B3`; (0, 0) for what is none."""
    found = _REFERENCE.match(reference)
    return (int(found.group(2)), _column(found.group(1))) if found else (0, 0)


def _column(letters: str) -> int:
    number = 0
    for letter in letters:
        number = number * 26 + ord(letter) - 64
    return number


def rich_text(element: Any) -> str:
    """The text of runs; not the reading aids over them."""
    parts: list[str] = []
    for child in element.iter("{*}t"):
        parent = child.getparent()
        if parent is None or not parent.tag.endswith("}rPh"):
            parts.append(child.text or "")
    return "".join(parts)
