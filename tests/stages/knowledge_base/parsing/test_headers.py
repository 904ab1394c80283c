"""Which rows name a table's columns, and that the names travel with the rows."""

import pytest

from platform_pipelines.core.knowledge_base.documents import BlockKind, Place
from platform_pipelines.stages.knowledge_base.parsing.draft import Draft, add_table
from platform_pipelines.stages.knowledge_base.parsing.headers import (
    column_names,
    header_depth,
    is_period,
)
from platform_pipelines.stages.knowledge_base.parsing.markdown import read_markdown


@pytest.mark.parametrize(
    "text",
    ["2024", "2022년", "FY2024", "1분기", "30대", "Q1", "2024 Q3", "2024년 1분기", "1월", "Jan",
     "2024-01", "65+", "20-29", "2026E", "65세 이상", "H1", "2반기"],
)  # fmt: skip
def test_periods_and_ages_name_columns(text: str) -> None:
    """Half of all reports have years over their numbers."""
    assert is_period(text)


@pytest.mark.parametrize("text", ["350", "1,200", "3.5", "Seoul", "INV-4001", "$40", "12%", ""])
def test_values_are_no_periods(text: str) -> None:
    """A row of amounts is not a header."""
    assert not is_period(text)


@pytest.mark.parametrize(
    ("rows", "depth"),
    [
        ([["항목", "2023", "2024"], ["매출", "1007", "1109"]], 1),
        ([["a", "b"], ["c", "d"]], 1),
        ([["1", "2"], ["3", "4"]], 0),
        ([["alice", "2024"], ["bob", "2023"], ["carol", "2022"]], 0),
        ([["INV-1", "Seoul", "248"], ["INV-2", "Busan", "285"]], 0),
        ([["Name", "Kim"], ["Team", "Storage"], ["Phone", "1234"], ["Room", "7"]], 0),
        ([["Who are you, and what did you come here for in the first place, that day?" * 2, "Age"],
          ["Kim", "30"]], 1),
        ([["Region", "2026", "2026"], ["", "Target", "Actual"], ["Busan", "1", "2"]], 2),
        ([["", "2026", "", "2027", ""], ["R", "T", "A", "T", "A"], ["B", "1", "2", "3", "4"]], 2),
        ([["Team", "Lead", "Lead"], ["Storage", "Kim", "Park"], ["Search", "Ahn", "Lee"]], 1),
    ],
)  # fmt: skip
def test_the_rows_below_decide_what_names_the_columns(rows: list[list[str]], depth: int) -> None:
    """A guess by looks alone took years for values and first rows for names."""
    assert header_depth(rows) == depth


def test_a_group_is_named_over_each_of_its_columns() -> None:
    """`Actual` alone is of no year."""
    rows = [["", "2026", "", "2027", ""], ["Region", "Target", "Actual", "Target", "Actual"]]
    assert column_names(rows) == [
        "Region", "2026 / Target", "2026 / Actual", "2027 / Target", "2027 / Actual"
    ]  # fmt: skip


def test_a_table_keeps_its_empty_cells_and_hands_on_its_header() -> None:
    """A value that slipped one column to the left is a wrong number."""
    draft = Draft()
    rows = [["Prices", "Prices"], ["Item", "Rent (unit: h)", "Q"], ["", "", "3"], ["a", "", "4"]]
    add_table(draft, rows, Place())
    (block,) = draft.blocks
    assert block.kind is BlockKind.TABLE
    assert block.header == "Prices\nItem | Rent (unit: h) | Q"
    assert block.text == f"{block.header}\n |  | 3\na |  | 4"


@pytest.mark.parametrize(
    "text",
    [
        "[TODO]: rotate",
        "[Sora]: I move it.",
        "[^1]: https://a.b is the source",
        "[x]: one two/three",
    ],
)
def test_what_is_no_link_definition_stays(text: str) -> None:
    """Minutes, tasks and footnotes look like definitions at first sight."""
    blocks = read_markdown(f"before\n\n{text}\n\nafter").blocks
    assert [block.text for block in blocks] == ["before", text, "after"]


@pytest.mark.parametrize(
    "text", ["[pol]: https://wiki.example/policy", '[a b]: <x y> "title"', "[c]: ../up.md 'T'"]
)
def test_a_link_definition_is_no_text(text: str) -> None:
    """Nobody who reads the page sees it."""
    assert [block.text for block in read_markdown(f"before\n\n{text}\n").blocks] == ["before"]


def test_a_footnote_keeps_its_paragraphs() -> None:
    """Its indented lines became code."""
    text = "see[^n]\n\n[^n]: first\n    second\n\n    third\n\nafter"
    blocks = read_markdown(text).blocks
    assert [b.text for b in blocks] == ["see[^n]", "[^n]: first\nsecond\nthird", "after"]
