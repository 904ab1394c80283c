"""Documents and places as they are stored and cited."""

import json
from enum import StrEnum

import pytest
from hypothesis import given
from hypothesis import strategies as st

from platform_pipelines.core.knowledge_base.documents import (
    Block,
    BlockKind,
    DocumentType,
    Note,
    NoteKind,
    Place,
    Reason,
    blocks_from_json,
    blocks_to_json,
    notes_from_json,
    notes_to_json,
    place_from_record,
    place_record,
)

NUMBERS = st.none() | st.integers(0, 10**6)
WORDS = st.none() | st.text(max_size=8)
PLACES = st.builds(
    Place,
    heading=st.lists(st.text(max_size=8), max_size=3).map(tuple),
    page=NUMBERS,
    slide=NUMBERS,
    sheet=WORDS,
    line=NUMBERS,
    speaker=WORDS,
    time=WORDS,
)
BLOCKS = st.lists(
    st.builds(Block, text=st.text(), kind=st.sampled_from(BlockKind), place=PLACES), max_size=5
).map(tuple)


@given(blocks=BLOCKS)
def test_blocks_come_back_as_they_were(blocks: tuple[Block, ...]) -> None:
    """What a shard file holds is what the parser said: a lost place is a lost citation."""
    assert blocks_from_json(blocks_to_json(blocks)) == blocks


@given(place=PLACES)
def test_a_place_comes_back_as_it_was(place: Place) -> None:
    """Also through JSON, where a heading is a list; and 0 and "" are not None."""
    record = json.loads(json.dumps(place_record(place)))
    assert place_from_record(record) == place


@given(place=PLACES)
def test_a_place_record_holds_only_what_is_known(place: Place) -> None:
    """Seven nulls a block would double the size of a shard of short paragraphs."""
    known = {name for name, value in place._asdict().items() if value not in (None, ())}
    assert set(place_record(place)) == known


def test_defaults_are_left_out_and_korean_is_readable() -> None:
    """A paragraph without a place is its text alone; the file can be read by a person."""
    blocks = (
        Block("한 문단"),
        Block("Title", BlockKind.HEADING, Place(heading=("Title",), page=3)),
    )
    assert json.loads(blocks_to_json(blocks)) == [
        {"t": "한 문단"},
        {"t": "Title", "k": "heading", "p": {"heading": ["Title"], "page": 3}},
    ]
    assert "한 문단" in blocks_to_json(blocks)
    assert blocks_from_json("[]") == ()


@pytest.mark.parametrize(
    ("place", "label"),
    [
        (Place(), ""),
        (Place(page=3, heading=("Scaling", "Limits")), "p. 3 › Scaling › Limits"),
        (Place(slide=2), "slide 2"),
        (Place(sheet="10월", line=7), "sheet 10월 › line 7"),
        (Place(speaker="민지", time="2026-10-05T09:00"), "민지 › 2026-10-05T09:00"),
        (Place(page=0), "p. 0"),
        (
            Place(("H",), page=1, slide=2, sheet="S", line=4, speaker="A", time="T"),
            "p. 1 › slide 2 › sheet S › H › line 4 › A › T",
        ),
    ],
)
def test_a_label_names_all_that_is_known(place: Place, label: str) -> None:
    """A citation shows it; `0` is a known number."""
    assert place.label == label


@given(place=PLACES)
def test_a_label_misses_no_part(place: Place) -> None:
    """A citation to a page without its number sends the reader through the whole document."""
    for value in (place.page, place.slide, place.sheet, place.line, place.speaker, *place.heading):
        assert value is None or str(value) in place.label


def test_a_block_cannot_be_changed() -> None:
    """Blocks are shared between chunks; a chunker that edits one would change its neighbours."""
    with pytest.raises(AttributeError):
        Block("text").text = "other"  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize("kind", [DocumentType, Reason, BlockKind])
def test_stored_names_are_lower_case_words(kind: type[StrEnum]) -> None:
    """They are columns of tables, metric labels and keys in YAML: the value is the name."""
    assert [str(one) for one in kind] == [one.name.lower() for one in kind]


def test_a_header_and_notes_are_stored_and_read_again() -> None:
    """What names a table's columns travels with it; what an earlier version wrote has none."""
    block = Block("a | b\n1 | 2", BlockKind.TABLE, Place(), "a | b")
    assert blocks_from_json(blocks_to_json((block,))) == (block,)
    assert blocks_from_json('[{"t": "x", "k": "table"}]')[0].header == ""
    notes = (Note(NoteKind.PICTURE, "slide 2"), Note(NoteKind.HIDDEN, "rows", 3))
    assert notes_from_json(notes_to_json(notes)) == notes
    assert (notes_to_json(()), notes_from_json("")) == ("", ())
