"""Sheets and delimited files: each row is understood alone."""

import datetime
import io
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openpyxl import Workbook

from platform_pipelines.core.knowledge_base.documents import Block, BlockKind, NoteKind, Reason
from platform_pipelines.errors import DocumentError
from platform_pipelines.stages.knowledge_base.parsing.delimited import (
    find_delimiter,
    read_delimited,
)
from platform_pipelines.stages.knowledge_base.parsing.headers import is_header
from platform_pipelines.stages.knowledge_base.parsing.records import (
    ROWS_PER_BLOCK,
    record_line,
)
from platform_pipelines.stages.knowledge_base.parsing.xlsx import read_xlsx
from platform_pipelines.stages.knowledge_base.parsing.xlsx_formats import number_text

Saved = Callable[[Any], bytes]


def _rows(text: str) -> list[Block]:
    return read_delimited(
        text, key="a.csv", max_cells=100_000, max_cell_characters=1_000_000
    ).blocks


def _sheet(saved: Saved, rows: Iterable[Sequence[object]]) -> list[Block]:
    book = Workbook()
    for row in rows:
        book.active.append(row)
    return read_xlsx(saved(book), key="a.xlsx", max_cells=1000).blocks


def _price_book() -> Workbook:
    book = Workbook()
    sheet = book.active
    sheet.title = "가격"
    sheet.append(["GPU 가격표"])
    sheet.append(["인스턴스", "시간당", "날짜", "할인"])
    sheet.append(["g6.xlarge", 0.805, datetime.datetime.fromisoformat("2026-01-02"), 0.15])
    sheet["D3"].number_format = "0%"
    sheet.append([None, 98.0, datetime.datetime.fromisoformat("2026-01-02T03:04"), True])
    sheet.merge_cells("A3:A4")
    sheet.append([])
    sheet.append(["합계", "원"])
    sheet.append([1, 2])
    return book


def test_each_row_of_a_sheet_carries_its_headers(saved: Saved) -> None:
    """A chunk cut out of the middle of a sheet was only numbers."""
    blocks = read_xlsx(saved(_price_book()), key="a.xlsx", max_cells=1000).blocks
    assert [b.text for b in blocks] == [
        "GPU 가격표",
        "인스턴스: g6.xlarge | 시간당: 0.805 | 날짜: 2026-01-02 | 할인: 15%\n"
        "인스턴스: g6.xlarge | 시간당: 98 | 날짜: 2026-01-02 03:04 | 할인: TRUE",
        "합계: 1 | 원: 2",
    ]
    assert blocks[1].place.sheet == "가격"
    assert blocks[1].place.line == 3
    assert blocks[1].place.heading == ("GPU 가격표",)


def test_hidden_sheets_are_not_read(saved: Saved) -> None:
    """Nobody who opens the file could check such a citation."""
    book = _price_book()
    hidden = book.create_sheet("secret")
    hidden.append(["salary", "name"])
    hidden.sheet_state = "hidden"
    blocks = read_xlsx(saved(book), key="a.xlsx", max_cells=1000).blocks
    assert {b.place.sheet for b in blocks} == {"가격"}


def test_cached_values_of_formulas_are_read(saved: Saved, with_part: Callable[..., bytes]) -> None:
    """Excel stores the result beside the formula; the formula itself answers nothing."""
    book = Workbook()
    book.active.append(["name", "total"])
    book.active.append(["a", "=1+2"])
    data = with_part(
        saved(book),
        "xl/worksheets/sheet1.xml",
        lambda xml: xml.replace("<f>1+2</f><v />", "<f>1+2</f><v>3</v>").replace(
            "<v></v>", "<v>3</v>"
        ),
    )
    assert read_xlsx(data, key="a.xlsx", max_cells=10).blocks[0].text == "name: a | total: 3"


def test_a_false_dimension_hides_nothing(saved: Saved, with_part: Callable[..., bytes]) -> None:
    """Read-only mode believes the claimed size: exporters write A1, attackers a billion cells."""
    for claim in ("A1", "A1:XFD1048576"):
        data = with_part(
            saved(_price_book()),
            "xl/worksheets/sheet1.xml",
            lambda xml, claim=claim: xml.replace('ref="A1:D7"', f'ref="{claim}"'),
        )
        assert len(read_xlsx(data, key="a.xlsx", max_cells=1000).blocks) == 3


def test_more_cells_than_allowed_are_refused(saved: Saved) -> None:
    """The budget counts over all sheets."""
    with pytest.raises(DocumentError) as caught:
        read_xlsx(saved(_price_book()), key="a.xlsx", max_cells=10)
    assert caught.value.reason == Reason.TOO_LARGE


def test_an_entity_bomb_in_a_sheet_is_refused(
    saved: Saved, with_part: Callable[..., bytes]
) -> None:
    """A billion laughs in a worksheet."""
    bomb = '<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]>'
    data = with_part(
        saved(_price_book()),
        "xl/worksheets/sheet1.xml",
        lambda xml: bomb + xml.replace("g6.xlarge", "&b;"),
    )
    with pytest.raises(DocumentError) as caught:
        read_xlsx(data, key="a.xlsx", max_cells=1000)
    assert caught.value.reason == Reason.CORRUPT


@pytest.mark.parametrize(
    ("value", "code", "text"),
    [
        (3, "", "3"),
        (0.1 + 0.2, "General", "0.3"),
        (0.125, "0.0%", "12.5%"),
        (734, "000000", "000734"),
        (1_250_000, '[$₩-412]#,##0', "₩1,250,000"),
        (-3, "#,##0;(#,##0)", "(3)"),
        (1.7291666666666667, "[h]:mm", "41:30"),
        (46082, "yyyy\\-mm\\-dd", "2026-03-01"),
        (46082.5, 'yyyy"년" m"월" d"일" h:mm', "2026-03-01 12:00"),
        (0.3958333333333333, "h:mm", "09:30"),
        (1012345678, "000-0000-0000", "010-1234-5678"),
        (1500, '0.0,"천"', "1.5천"),
        (12, '0"개"', "12개"),
        (0, '#,##0;-#,##0;"-"', "-"),
    ],
)  # fmt: skip
def test_numbers_read_as_the_sheet_shows_them(value: float, code: str, text: str) -> None:
    """An employee number without its zeros is another number; `0.30000000000000004` is none."""
    assert number_text(value, code) == text


def test_errors_and_true_values_of_cells(saved: Saved) -> None:
    """What failed is no value; a channel's name only looks like an error."""
    blocks = _sheet(saved, [["name", "x", "y"], ["a", "#DIV/0!", False], ["#help", 1, True]])
    assert blocks[0].text == "name: a | y: FALSE\nname: #help | x: 1 | y: TRUE"


def test_hidden_rows_and_columns_are_left_out_and_noted(saved: Saved) -> None:
    """Nobody who opens the file sees them."""
    book = Workbook()
    sheet = book.active
    assert sheet is not None
    for row in (["name", "salary", "team"], ["a", 1, "x"], ["b", 2, "y"]):
        sheet.append(row)
    sheet.column_dimensions["B"].hidden = True
    sheet.row_dimensions[2].hidden = True
    draft = read_xlsx(saved(book), key="a.xlsx", max_cells=100)
    assert [b.text for b in draft.blocks] == ["name: b | team: y"]
    assert {note.kind for note in draft.notes} == {NoteKind.HIDDEN}


def test_a_formula_without_a_value_is_shown_and_noted(saved: Saved) -> None:
    """Files that a program wrote have none until Excel opens them."""
    book = Workbook()
    sheet = book.active
    assert sheet is not None
    sheet.append(["name", "total"])
    sheet.append(["a", "=1+2"])
    draft = read_xlsx(saved(book), key="a.xlsx", max_cells=100)
    assert draft.blocks[0].text == "name: a | total: =1+2"
    assert draft.notes[0].kind is NoteKind.NO_VALUE


def test_csv_rows_carry_their_headers_and_lines() -> None:
    """Quoted line ends count as lines of the file."""
    blocks = _rows('이름,값\n가,"첫\n째"\n나,2\n')
    assert [b.text for b in blocks] == ["이름: 가 | 값: 첫 째\n이름: 나 | 값: 2"]
    assert blocks[0].place.line == 2


def test_a_long_table_is_cut_into_blocks_that_cite_their_first_row() -> None:
    """A citation of line 2 for row 90,000 is no citation."""
    rows = "".join(f"n{n},{n}\n" for n in range(ROWS_PER_BLOCK * 2 + 1))
    blocks = _rows(f"name,size\n{rows}")
    assert [b.place.line for b in blocks] == [2, 2 + ROWS_PER_BLOCK, 2 + 2 * ROWS_PER_BLOCK]


def test_a_blank_row_in_a_table_of_words_does_not_make_a_new_header() -> None:
    """In a glossary each row looks like a header."""
    assert (
        _rows("용어,뜻\n파드,단위\n\n노드,기계\n")[0].text
        == "용어: 파드 | 뜻: 단위\n용어: 노드 | 뜻: 기계"
    )


HOSTS = [["host", "ip", "owner"], ["web1", "10.0.0.1", "kim"]]
LAST = ["db1", "10.0.0.3", "lee"]
NAMED = ["host: web1 | ip: 10.0.0.1 | owner: kim", "host: db1 | ip: 10.0.0.3 | owner: lee"]


@pytest.mark.parametrize("sparse", ["web3,,", "web3,backup,", "web3", ",,park"])
def test_a_sparse_row_below_a_blank_one_is_a_row_of_its_csv(sparse: str) -> None:
    """`web3,,` became a heading, and every row below it lost its column names."""
    head, first = (",".join(row) for row in HOSTS)
    blocks = _rows(f"{head}\n{first}\n\n{sparse}\n{','.join(LAST)}\n")
    lines = [line for block in blocks for line in block.text.splitlines()]
    assert lines[0] == NAMED[0]
    assert lines[2] == NAMED[1]
    assert {block.kind for block in blocks} == {BlockKind.TABLE}


@given(st.lists(st.lists(st.sampled_from(["", "web", "3", "lee"]), min_size=3, max_size=3)))
def test_every_row_of_a_padded_csv_keeps_its_column_names(rows: list[list[str]]) -> None:
    """Whatever is empty, and wherever blank rows are."""
    blocks = _rows("\n".join(",".join(row) for row in [HOSTS[0], *rows]))
    filled = [record_line(HOSTS[0], row) for row in rows if any(row)]
    expected = filled or ["host | ip | owner"]
    assert [line for b in blocks for line in b.text.splitlines()] == expected


@pytest.mark.parametrize("sparse", [["web3"], ["web3", "backup"], [None, "10.0.0.9"]])
def test_a_sparse_row_below_a_blank_one_is_a_row_of_its_sheet(
    saved: Saved, sparse: list[str | None]
) -> None:
    """A row as wide as the table comes right after it: no new table has begun."""
    blocks = _sheet(saved, [*HOSTS, [], sparse, LAST])
    row = record_line(HOSTS[0], [cell or "" for cell in sparse])
    assert [block.text for block in blocks] == ["\n".join([NAMED[0], row, NAMED[1]])]


def test_rows_below_a_note_in_a_sheet_keep_their_column_names(saved: Saved) -> None:
    """A lone cell between blank rows is read as a heading, and may be a row."""
    blocks = _sheet(saved, [*HOSTS, [], ["web3"], [], LAST])
    assert [block.text for block in blocks] == [NAMED[0], "web3", NAMED[1]]


@pytest.mark.parametrize("header", [HOSTS[0], ["name", "port", "team"], ["name", "port"]])
def test_a_captioned_table_in_a_sheet_has_its_own_header(saved: Saved, header: list[str]) -> None:
    """As wide as the table above or not, and when it repeats that table's names."""
    blocks = _sheet(saved, [*HOSTS, [], ["Second"], header, ["a", 1]])
    assert [block.text for block in blocks] == [
        NAMED[0], "Second", record_line(header, ["a", "1"])
    ]  # fmt: skip
    assert blocks[-1].place.heading == ("Second",)


def test_a_second_table_in_a_csv_has_its_own_header() -> None:
    """Reports of monitoring tools put their tables into one file, each of another width."""
    blocks = _rows("host,ip,owner\nweb1,10.0.0.1,kim\n\nSecond\nname,total\nx,1\n")
    assert [block.text for block in blocks] == [NAMED[0], "Second", "name: x | total: 1"]


def test_a_table_without_a_header_keeps_its_rows() -> None:
    """Numbers are not names."""
    assert _rows("1,2\n3,4\n")[0].text == "1 | 2\n3 | 4"


def test_a_header_without_rows_still_says_which_columns_there_are() -> None:
    """An empty template answers `which fields are there`."""
    assert _rows("name,size\n")[0].text == "name | size"


@pytest.mark.parametrize(
    ("text", "delimiter"),
    [("a,b\n1,2\n", ","), ("a;b\n1,5;2\n", ";"), ("a\tb\n1\t2\n", "\t"), ("word\nword\n", None)],
)
def test_the_delimiter_is_found(text: str, delimiter: str | None) -> None:
    """German and Korean exports use semicolons around decimal commas, or tabs."""
    assert find_delimiter(text) == delimiter


@given(st.lists(st.lists(st.text(max_size=12), min_size=1, max_size=5), max_size=12))
def test_any_rows_give_blocks_that_are_not_blank(rows: list[list[str]]) -> None:
    """Whatever the cells hold."""
    out = io.StringIO()
    out.write("\n".join(";".join(cell.replace('"', "") for cell in row) for row in rows))
    assert all(b.text.strip() for b in _rows(out.getvalue()))


def test_headers_are_names() -> None:
    """The first row is a header only when it can be one."""
    assert is_header(["이름", "GPU 수"])
    assert not is_header(["이름", "3"])
    assert not is_header(["alone"])
    assert not is_header(["a" * 200, "b"])


def test_a_row_longer_than_its_header_loses_nothing() -> None:
    """Comments beside a table have no column name."""
    assert record_line(["a"], ["1", "", "note"]) == "a: 1 | note"
