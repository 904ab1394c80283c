"""From any state that a kill can leave, the difference ends at exactly the rows of the revision."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from platform_pipelines.core.knowledge_base.ids import ids_mark
from platform_pipelines.core.knowledge_base.slots import (
    Slot,
    SlotState,
    compared,
    difference,
    intact,
    slot_from_json,
)
from platform_pipelines.core.road.releases import Action, ReleaseEntry
from platform_pipelines.errors import IntegrityError

IDS = st.sampled_from([f"chunk{n}" for n in range(8)])
ROWS = st.dictionaries(IDS, st.integers(0, 2))  # id -> what the id does not cover


def slot(**fields: object) -> Slot:
    known = {
        "collection": "kb_t__a", "owner": "o", "revision": "r1", "target": "r1",
        "state": SlotState.SEALED, "rows": 10,
    }  # fmt: skip
    return Slot(**{**known, **fields})  # pyright: ignore[reportArgumentType]


def entry(sequence: int, revision: str, target: str) -> ReleaseEntry:
    return ReleaseEntry(
        sequence, Action.RELEASE, "t", revision, target, "e", None, None, None, "", "", "", ""
    )


@given(ROWS, ROWS)
def test_the_rows_of_one_revision_become_those_of_another(
    before: dict[str, int], after: dict[str, int]
) -> None:
    """Also where the id is the same and a title or a page is another."""
    found = compared(before, after)
    assert difference(before, after, stale=found.delete) == found
    rows = {i: row for i, row in before.items() if i not in found.delete}
    assert not rows.keys() & found.insert
    assert {**rows, **{i: after[i] for i in found.insert}} == after


@given(st.data(), ROWS, st.lists(ROWS, min_size=1, max_size=4))
def test_killed_anywhere_and_asked_for_something_else_it_still_ends_right(
    data: st.DataObject, first: dict[str, int], targets: list[dict[str, int]]
) -> None:
    """Each attempt dies in its deletes or in its inserts; the last one does not."""
    base, rows = first, dict(first)
    for number, target in enumerate(targets):
        last = number == len(targets) - 1
        stale = compared(base, target).delete if base is not target else frozenset[str]()
        found = difference(rows, target, stale=stale)
        gone = found.delete if last else data.draw(st.sets(st.sampled_from([*found.delete, "x"])))
        rows = {i: row for i, row in rows.items() if i not in gone}
        if not last and data.draw(st.booleans()):
            continue  # killed while it deleted: what is there is still of the same revision
        rows = {i: row for i, row in rows.items() if i not in found.delete}
        base = target
        come = found.insert if last else data.draw(st.sets(st.sampled_from([*found.insert, "x"])))
        rows |= {i: target[i] for i in come if i in target}
    assert rows == targets[-1]


@given(st.lists(IDS), st.sets(IDS))
def test_what_is_stored_twice_is_stored_once_afterwards(
    present: list[str], wanted: set[str]
) -> None:
    """A server keeps both rows of a key that an insert whose answer was lost brought again."""
    found = difference(present, wanted)
    left = Counter(i for i in present if i not in found.delete) + Counter(found.insert)
    assert left == Counter(wanted)


@given(st.lists(IDS), st.lists(IDS))
def test_a_mark_is_equal_for_equal_ids_alone(one: list[str], other: list[str]) -> None:
    """A count is equal for others as well."""
    assert (ids_mark(one) == ids_mark(other)) == (Counter(one) == Counter(other))


def test_readers_are_pointed_only_to_what_holds_its_last_release() -> None:
    """A spare, a collection that is being changed, and one that holds another revision by now."""
    entries = [entry(n, f"r{n}", f"c{n}") for n in range(1, 6)]
    slots = [
        slot(collection="c1", revision="r9", target="r9"),
        slot(collection="c2", revision="r2", state=SlotState.SPARE),
        slot(collection="c3", revision="r3", state=SlotState.EMPTYING),
        slot(collection="c4", revision="r4", state=SlotState.FILLING),
        slot(collection="c5", revision="r5", target="r5"),
        slot(collection="candidate", revision="r6"),
    ]
    assert intact(slots, entries) == {"c5"}


def test_a_slot_comes_back_as_it_was_written_and_keeps_what_is_newer() -> None:
    """A newer version's field is kept; a newer format is refused."""
    text = slot(dead=3).to_json()
    assert slot_from_json(text, where="x") == slot(dead=3)
    more = text.replace("{", '{"compacted": true,', 1)
    assert '"compacted"' in slot_from_json(more, where="x").to_json()
    with pytest.raises(IntegrityError, match="format"):
        slot_from_json(text.replace('"format": 1', '"format": 7'), where="x")


def test_the_dead_share_is_of_all_rows_that_were_stored() -> None:
    """30 of 100 that are there still, and 30 that are not."""
    assert slot(rows=70, dead=30).dead_share == pytest.approx(0.3)
    assert slot(rows=0, dead=0).dead_share == 0
