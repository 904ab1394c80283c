"""A stage does what changed and nothing else, and believes no file that is not what it says."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from platform_pipelines.core.road.identity import digest_json, digest_text
from platform_pipelines.core.road.snapshot import (
    ShardPlan,
    ShardRecord,
    Snapshot,
    listing_digest,
    plan_shards,
    snapshot_from_json,
    source_digest,
)
from platform_pipelines.errors import IntegrityError

DIGESTS = st.text("0123456789abcdef", min_size=32, max_size=32)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


def shard(number: int, content: str = "a", *, rows: int = 1) -> ShardRecord:
    digest = digest_text(f"{number}/{content}")
    return ShardRecord(number, digest, digest, f"documents/{number:04d}-{digest}.parquet", rows)


def documents(contents: dict[int, str]) -> Snapshot:
    """A snapshot of the stage above, its shards in order."""
    return Snapshot("documents", "s", tuple(shard(n, contents[n]) for n in sorted(contents)))


def made(plan: ShardPlan, *, settings: str = "s") -> Snapshot:
    """What a stage writes that does all of its plan."""
    new = {s.shard: plan.record(s.shard, rows=1) for s in plan.changed}
    return Snapshot(
        plan.stage, settings, tuple((new | dict(plan.standing))[n] for n in plan.wanted)
    )


CONTENTS = st.dictionaries(st.integers(0, 15), st.sampled_from("abc"), max_size=8)
SNAPSHOTS = st.builds(
    Snapshot,
    stage=st.text(max_size=5),
    settings=DIGESTS,
    shards=st.lists(
        st.builds(
            ShardRecord, shard=st.integers(0, 4095), input=DIGESTS, digest=DIGESTS,
            path=st.text(max_size=8), rows=st.integers(0, 10**9),
        ),
        max_size=4,
        unique_by=lambda record: record.digest,
    ).map(tuple),
    counts=st.dictionaries(st.text(max_size=5), st.integers(), max_size=3),
    details=st.dictionaries(st.text(max_size=5), JSON, max_size=3),
)  # fmt: skip


@given(snapshot=SNAPSHOTS)
def test_a_snapshot_comes_back_as_it_was(snapshot: Snapshot) -> None:
    """The next run starts from it; text and bytes are read alike."""
    text = snapshot.to_json()
    assert snapshot_from_json(text, where="w") == snapshot
    assert snapshot_from_json(text.encode(), where="w") == snapshot


@given(snapshot=SNAPSHOTS)
def test_counts_details_and_paths_are_not_the_identity(snapshot: Snapshot) -> None:
    """A stage whose numbers for people changed need not run the stages below it again."""
    shards = tuple(replace(s, path=f"moved/{s.path}", rows=s.rows + 1) for s in snapshot.shards)
    other = replace(snapshot, counts={"seconds": 3}, details={"why": "설명"}, shards=shards)
    assert other.digest == snapshot.digest


@given(snapshot=SNAPSHOTS.filter(lambda s: len(s.shards) > 1), data=st.data())
def test_stage_settings_and_content_are_the_identity(
    snapshot: Snapshot, data: st.DataObject
) -> None:
    """Each of them alone makes another snapshot, and so does their order."""
    at = data.draw(st.integers(0, len(snapshot.shards) - 1))
    before, one, after = snapshot.shards[:at], snapshot.shards[at], snapshot.shards[at + 1 :]
    others = [
        replace(snapshot, stage=f"{snapshot.stage}x"),
        replace(snapshot, settings="x"),
        replace(snapshot, stage=snapshot.settings, settings=snapshot.stage),
        replace(snapshot, shards=(*before, replace(one, digest="x"), *after)),
        replace(snapshot, shards=(*before, *after)),
        replace(snapshot, shards=tuple(reversed(snapshot.shards))),
    ]
    assert snapshot.digest not in {other.digest for other in others}


def change(name: str, value: Any) -> Callable[[dict[str, Any]], object]:
    return lambda record: record.update({name: value})


@pytest.mark.parametrize("part", ["counts", "details", "record_digest"])
def test_what_is_written_for_people_is_believed_only_whole(part: str) -> None:
    """The pages and the next stage read it: a part that is gone is no empty part."""
    record = json.loads(documents({0: "a"}).to_json()) | {part: {"other": 1}}
    with pytest.raises(IntegrityError, match="not what its record digest says"):
        snapshot_from_json(json.dumps(record), where="store/heads/documents.json")


@pytest.mark.parametrize(
    "tamper",
    [
        change("stage", "chunks"),
        change("settings", "other"),
        change("digest", "0" * 32),
        change("digest", None),
        change("shards", []),
        lambda record: record["shards"][0].update(digest="f" * 32),
        lambda record: record["shards"].reverse(),
        lambda record: record["shards"].pop(),
        lambda record: record["shards"].append(record["shards"][0]),
    ],
)
def test_content_that_is_not_what_its_digest_says_is_refused(
    tamper: Callable[[dict[str, Any]], object],
) -> None:
    """A file edited by hand, or mixed from two runs, would be taken for work that was done."""
    record = json.loads(documents({0: "a", 3: "b"}).to_json())
    tamper(record)
    with pytest.raises(IntegrityError, match="not what its digest says") as caught:
        snapshot_from_json(json.dumps(record), where="store/heads/documents.json")
    assert caught.value.where == "store/heads/documents.json"
    assert caught.value.stored == record["digest"]
    assert caught.value.stored != caught.value.expected
    assert "delete this file" in caught.value.remedy


@pytest.mark.parametrize(
    "tamper",
    [
        lambda record: record.pop("digest"),
        lambda record: record.pop("record_digest"),
        lambda record: record.pop("counts"),
        lambda record: record["shards"][0].update(bytes=3),
        change("colour", "red"),
        change("written_by", "somebody"),
    ],
)
def test_a_field_that_was_added_or_taken_away_is_not_what_the_digests_say(
    tamper: Callable[[dict[str, Any]], object],
) -> None:
    """A field that is not known is tolerated only where its writer put it under the digest."""
    record = json.loads(documents({0: "a"}).to_json())
    tamper(record)
    with pytest.raises(IntegrityError, match=r"not what its (record )?digest says"):
        snapshot_from_json(json.dumps(record), where="here")


def test_fields_of_a_newer_version_are_kept_and_covered_by_the_digest() -> None:
    """An older reader verifies a newer head, and does not rewrite what it cannot read."""
    record = json.loads(documents({0: "a"}).to_json())
    digests = {name: record.pop(name) for name in ("digest", "record_digest")}
    record |= {"colour": "red", "written_by": "9.0"}
    record["shards"][0]["bytes"] = 3
    record |= {**digests, "record_digest": digest_json(record)}
    read = snapshot_from_json(json.dumps(record), where="here")
    assert (read.written_by, read.digest) == ("9.0", documents({0: "a"}).digest)
    assert json.loads(read.to_json()) == record
    newer = {**record, "format": 2}
    with pytest.raises(IntegrityError, match="does not read") as caught:
        snapshot_from_json(json.dumps(newer), where="here")
    assert caught.value.stored == "format 2, written by 9.0"


@pytest.mark.parametrize(
    "tamper",
    [
        lambda record: record.pop("stage"),
        lambda record: record["shards"][0].pop("rows"),
        lambda record: record["counts"].update(rows=float("nan")),
        lambda record: record["details"].update(share=float("inf")),
        change("stage", 3),
        change("settings", None),
        change("shards", 7),
        change("shards", [None]),
        lambda record: record["shards"][0].update(digest=5),
    ],
)
def test_a_record_of_another_shape_is_refused(tamper: Callable[[dict[str, Any]], object]) -> None:
    """Damaged: an IntegrityError with a remedy, never an AttributeError or a bare ValueError."""
    record = json.loads(documents({0: "a"}).to_json())
    tamper(record)
    with pytest.raises(IntegrityError, match="not a snapshot") as caught:
        snapshot_from_json(json.dumps(record), where="here")
    assert caught.value.where == "here"
    assert caught.value.__cause__ is not None


@pytest.mark.parametrize("text", ["", "{", "null", "[]", "3", '"text"', b"\xff\xfe\x00", b"{}"])
def test_what_is_no_record_is_refused(text: str | bytes) -> None:
    """A write that was cut short leaves any of these."""
    with pytest.raises(IntegrityError, match="not a snapshot"):
        snapshot_from_json(text, where="here")


@given(snapshot=SNAPSHOTS, data=st.data())
def test_a_file_that_was_cut_short_is_refused(snapshot: Snapshot, data: st.DataObject) -> None:
    """Wherever the disk became full."""
    text = snapshot.to_json()
    cut = data.draw(st.integers(0, len(text) - 1))
    with pytest.raises(IntegrityError):
        snapshot_from_json(text[:cut], where="here")


def test_a_count_that_is_not_a_number_is_not_written() -> None:
    """NaN is not JSON: other readers refuse the whole file."""
    with pytest.raises(ValueError, match="not JSON compliant"):
        replace(documents({}), details={"share": float("nan")}).to_json()


def test_rows_and_shards_are_found() -> None:
    """A shard without rows has no record."""
    snapshot = Snapshot("documents", "s", (shard(2, rows=3), shard(5, rows=4)))
    assert snapshot.rows == 7
    assert snapshot.shard(5) == snapshot.shards[1]
    assert snapshot.shard(3) is None
    assert documents({}).rows == 0


@given(above=CONTENTS, before=st.none() | CONTENTS, settings=st.sampled_from("st"))
def test_what_is_changed_and_what_stands_is_what_is_wanted(
    above: dict[int, str], before: dict[int, str] | None, settings: str
) -> None:
    """A shard in neither is lost; a shard in both is made twice."""
    previous = None
    if before is not None:
        previous = made(plan_shards("chunks", documents(before), None, settings="s"))
    plan = plan_shards("chunks", documents(above), previous, settings=settings)
    changed = [record.shard for record in plan.changed]
    assert sorted([*changed, *plan.standing]) == sorted(plan.wanted) == sorted(above)
    equal = {n for n in above if settings == "s" and (before or {}).get(n) == above[n]}
    assert set(plan.standing) == equal
    assert plan.is_empty is (above == (before or {}) and (settings == "s" or not above))
    assert set(plan.previous) == set(before or {})


@given(above=CONTENTS, before=st.none() | CONTENTS)
def test_a_plan_that_was_done_leaves_nothing_to_do(
    above: dict[int, str], before: dict[int, str] | None
) -> None:
    """The second run of an unchanged corpus writes nothing, and does not flip a name."""
    previous = made(plan_shards("chunks", documents(before or {}), None, settings="s"))
    first = made(plan_shards("chunks", documents(above), previous, settings="s"))
    again = plan_shards("chunks", documents(above), first, settings="s")
    assert again.is_empty
    assert made(again).digest == first.digest
    fresh = made(plan_shards("chunks", documents(above), None, settings="s"))
    assert fresh.digest == first.digest, "the way to a state must not show in its name"


@given(above=CONTENTS, killed=st.sets(st.integers(0, 15)))
def test_a_stage_that_was_killed_converges(above: dict[int, str], killed: set[int]) -> None:
    """Whatever part was made before: the rest is planned, under the same names."""
    whole = made(plan_shards("chunks", documents(above), None, settings="s"))
    part = replace(whole, shards=tuple(s for s in whole.shards if s.shard not in killed))
    plan = plan_shards("chunks", documents(above), part, settings="s")
    assert {s.shard for s in plan.changed} == killed & set(above)
    assert made(plan) == whole


def test_a_removed_shard_alone_is_work() -> None:
    """Its documents were deleted: nothing to make, and yet the snapshot is another one."""
    previous = made(plan_shards("chunks", documents({0: "a", 1: "a"}), None, settings="s"))
    plan = plan_shards("chunks", documents({0: "a"}), previous, settings="s")
    assert plan.changed == ()
    assert not plan.is_empty
    assert set(plan.previous) == {0, 1}


def test_new_content_has_a_new_name_and_keeps_what_was() -> None:
    """Vectors of chunks that did not change are taken from the file of the previous content."""
    previous = made(plan_shards("chunks", documents({3: "a"}), None, settings="s"))
    plan = plan_shards("chunks", documents({3: "b"}), previous, settings="s")
    assert plan.path(3) == f"chunks/0003-{plan.wanted[3]}.parquet"
    assert plan.previous[3].path != plan.path(3)
    assert plan.record(3, rows=9) == ShardRecord(3, plan.wanted[3], plan.wanted[3], plan.path(3), 9)


def test_stages_and_settings_do_not_share_names() -> None:
    """Chunks and vectors of one shard, or of two models, are different files."""
    above = documents({0: "a"})
    names = {
        plan_shards(stage, above, None, settings=settings).wanted[0]
        for stage in ("chunks", "vectors")
        for settings in ("s", "t")
    }
    assert len(names) == 4


ROWS = st.lists(st.tuples(st.text(max_size=5), st.text(max_size=5), st.integers(0, 99)), max_size=6)


@given(rows=ROWS, data=st.data())
def test_a_listing_in_any_order_has_one_digest(
    rows: list[tuple[str, str, int]], data: st.DataObject
) -> None:
    """Stores list in an order of their own; a shuffled listing is not a change."""
    shuffled = data.draw(st.permutations(rows))
    assert listing_digest(iter(shuffled), "s") == listing_digest(rows, "s")
    assert listing_digest(rows, "t") != listing_digest(rows, "s")
    pairs = [(key, version) for key, version, _ in rows]
    assert source_digest((key, version) for key, version, _ in shuffled) == source_digest(pairs)


@given(rows=ROWS.filter(bool), data=st.data())
def test_one_changed_row_is_another_listing(
    rows: list[tuple[str, str, int]], data: st.DataObject
) -> None:
    """A missed change is a document that stays stale for ever."""
    at = data.draw(st.integers(0, len(rows) - 1))
    key, version, size = rows[at]
    for row in [(key + "x", version, size), (key, version + "x", size), (key, version, size + 1)]:
        other = [*rows[:at], row, *rows[at + 1 :]]
        assert listing_digest(other, "s") != listing_digest(rows, "s")
    assert listing_digest(rows[1:], "s") != listing_digest(rows, "s")
    assert source_digest([(key, version)]) != source_digest([(key + version, "")]) or not version
