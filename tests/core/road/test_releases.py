"""The release state machine, alone."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from platform_pipelines.core.road.identity import digest_json
from platform_pipelines.core.road.releases import (
    Action,
    AlreadyLive,
    Append,
    Candidate,
    Plan,
    ReleaseEntry,
    Retained,
    Stamp,
    current,
    drift,
    entry_from_record,
    entry_record,
    plan_release,
    plan_rollback,
    retained,
    verify_chain,
)
from platform_pipelines.errors import (
    ConfigurationError,
    EvidenceError,
    IntegrityError,
    UnknownNameError,
)

STAMP = Stamp("run-1", "kim", "2026-11-21T09:00:00+00:00", "시험")


def released(log: list[ReleaseEntry], revision: str, target: str = "") -> list[ReleaseEntry]:
    candidate = Candidate("handbook", revision, target or f"c_{revision}", f"e_{revision}")
    return followed(log, plan_release(log, candidate, STAMP))


def rolled_back(
    log: list[ReleaseEntry], to: str | None = None, existing: set[str] | None = None
) -> list[ReleaseEntry]:
    collections = {e.target for e in log} if existing is None else existing
    return followed(log, plan_rollback(log, STAMP, to=to, existing=collections))


def followed(log: list[ReleaseEntry], plan: Plan) -> list[ReleaseEntry]:
    return [*log, plan.entry] if isinstance(plan, Append) else log


def log_of(*revisions: str) -> list[ReleaseEntry]:
    log: list[ReleaseEntry] = []
    for revision in revisions:
        log = released(log, revision)
    return log


def live(log: list[ReleaseEntry]) -> str:
    entry = current(log)
    assert entry is not None
    return entry.revision


def test_nothing_is_live_before_the_first_release() -> None:
    assert current([]) is None
    assert drift(None, None) is None


def test_a_release_says_what_it_replaced_and_on_which_evidence() -> None:
    """A person who reads the log must see both sides of the change."""
    first, second = log_of("r1", "r2")
    assert (first.sequence, first.previous_revision, first.previous_digest) == (1, None, None)
    assert (second.sequence, second.previous_revision) == (2, "r1")
    assert (second.previous_target, second.evidence_digest) == ("c_r1", "e_r2")
    assert (second.action, second.actor, second.reason) == (Action.RELEASE, "kim", "시험")
    assert second.previous_digest == first.digest


def test_releasing_the_live_revision_again_appends_nothing() -> None:
    """A retried run must not fill the log."""
    log = log_of("r1")
    plan = plan_release(log, Candidate("handbook", "r1", "c_r1", "e"), STAMP)
    assert plan == AlreadyLive(log[0])


def test_a_rebuilt_collection_of_the_same_revision_is_a_release() -> None:
    """The alias must move, so the log must say so."""
    log = released(log_of("r1"), "r1", "c_rebuilt")
    assert [e.target for e in log] == ["c_r1", "c_rebuilt"]


def test_a_release_without_evidence_is_refused() -> None:
    """Missing evidence never passes."""
    with pytest.raises(EvidenceError):
        plan_release([], Candidate("handbook", "r1", "c", ""), STAMP)


def test_drift_names_the_collection_until_the_alias_is_right() -> None:
    """Killed between the append and the alias: the next run must notice."""
    log = log_of("r1", "r2")
    assert drift(current(log), "c_r1") == "c_r2"
    assert drift(current(log), None) == "c_r2"
    assert drift(current(log), "c_r2") is None


def test_rolling_back_twice_goes_further_back() -> None:
    """Ping-pong between two bad revisions is no rollback."""
    log = rolled_back(log_of("r1", "r2", "r3"))
    assert live(log) == "r2"
    assert log[-1].action is Action.ROLLBACK
    assert log[-1].evidence_digest == "e_r2"
    log = rolled_back(log)
    assert live(log) == "r1"
    with pytest.raises(UnknownNameError, match=r"r3, r2"):
        rolled_back(log)


def test_what_was_rolled_away_from_is_no_default_after_the_next_release() -> None:
    """r3 was bad; a rollback from r4 must not bring it back."""
    log = released(rolled_back(log_of("r1", "r2", "r3")), "r4")
    assert live(rolled_back(log)) == "r2"


def test_a_revision_released_again_is_not_rolled_back_to_itself() -> None:
    log = log_of("r1", "r2", "r1")
    log = rolled_back(log)
    assert live(log) == "r2"
    with pytest.raises(UnknownNameError):
        rolled_back(log)


def test_a_revision_can_be_named_also_forwards_and_by_its_beginning() -> None:
    log = log_of("aa1", "ab2", "ac3")
    log = rolled_back(log, to="aa")
    assert live(log) == "aa1"
    log = rolled_back(log, to="ac3")
    assert live(log) == "ac3"
    assert live(rolled_back(log)) == "aa1"
    assert rolled_back(log, to="ac3") == log
    assert rolled_back(log, to="ac") == log


@pytest.mark.parametrize("to", ["a", "zz", ""])
def test_an_unclear_or_unknown_revision_lists_the_choices(to: str) -> None:
    with pytest.raises(UnknownNameError, match="ab2, aa1") as caught:
        rolled_back(log_of("aa1", "ab2", "ac3"), to=to)
    assert caught.value.expected == repr(to)


def test_a_dropped_collection_is_no_target() -> None:
    """Pointing the alias at nothing takes search down."""
    log = log_of("r1", "r2", "r3")
    assert live(rolled_back(log, existing={"c_r1", "c_r3"})) == "r1"
    with pytest.raises(UnknownNameError, match="none"):
        rolled_back(log, existing={"c_r3"})


def test_a_revision_that_an_increment_overwrote_is_no_target() -> None:
    """r2 changed c_r1 in place: r1 is in no collection any more."""
    log = released(released(log_of("r0", "r1"), "r2", "c_r1"), "r3", "c_r1")
    assert live(rolled_back(log)) == "r0"
    with pytest.raises(UnknownNameError):
        rolled_back(log, to="r1")


def test_nothing_released_cannot_be_rolled_back() -> None:
    with pytest.raises(UnknownNameError, match="nothing was released"):
        rolled_back([])


def test_the_last_k_are_kept_the_road_back_first() -> None:
    """What was rolled away from is worth less than what can be rolled back to."""
    log = rolled_back(log_of("r1", "r2", "r3"))
    existing = {"c_r1", "c_r2", "c_r3"}
    kept = retained(log, 2, existing=existing)
    assert kept == (Retained("r2", "c_r2"), Retained("r1", "c_r1"))
    assert [one.revision for one in retained(log, 9, existing=existing)] == ["r2", "r1", "r3"]
    assert retained([], 1, existing=existing) == ()
    with pytest.raises(ConfigurationError):
        retained(log, 0, existing=existing)


def test_a_collection_that_is_gone_keeps_nobodys_place() -> None:
    """After a rollback fewer than `keep` ways back were left: a dropped one counted as kept."""
    log = rolled_back(log_of("r1", "r2", "r3", "r4"))
    kept = retained(log, 3, existing={"c_r2", "c_r3", "c_r4"})
    assert [one.revision for one in kept] == ["r3", "r2", "r4"]
    only_live = retained(log, 3, existing=set())
    assert [one.revision for one in only_live] == ["r3"]  # it is built again


def test_records_come_back_as_they_were() -> None:
    for entry in rolled_back(log_of("r1", "r2")):
        assert entry_from_record(entry_record(entry), where="x") == entry


@pytest.mark.parametrize(
    "change",
    [{"action": "delete"}, {"sequence": "x"}, {"target": None}, {"format": 9}, {"format": 0}],
)
def test_a_foreign_record_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(IntegrityError):
        entry_from_record({**entry_record(log_of("r1")[0]), **change}, where="x")


def test_a_record_that_lacks_a_field_is_refused() -> None:
    whole = entry_record(log_of("r1")[0])
    for name in whole.keys() - {"format", "written_by"}:
        with pytest.raises(IntegrityError, match=name):
            entry_from_record({k: v for k, v in whole.items() if k != name}, where="x")


def test_a_newer_entry_is_read_and_verified_with_what_is_new_in_it() -> None:
    """An older reader follows a newer log: unknown fields stay in the digest and in the chain."""
    first = log_of("r1")[0]
    newer = entry_from_record({**entry_record(first), "ticket": 7, "written_by": "9.0"}, where="x")
    assert (newer.written_by, entry_record(newer)["ticket"]) == ("9.0", 7)
    assert newer.digest != first.digest
    log = released([newer], "r2")
    verify_chain(log, name="handbook")
    edited = entry_from_record({**entry_record(newer), "ticket": 8}, where="x")
    with pytest.raises(IntegrityError, match="history was changed"):
        verify_chain([edited, log[1]], name="handbook")


def test_an_entry_of_the_first_format_is_read_under_its_own_digest() -> None:
    """It called the target `collection`; the chain goes on from what was written."""
    record = {
        k: v for k, v in entry_record(log_of("r0", "r1")[1]).items()
        if k not in {"format", "written_by", "target", "previous_target"}
    } | {"collection": "c_r1", "previous_collection": "c_r0", "sequence": 1}  # fmt: skip
    record["previous_digest"] = None
    old = entry_from_record(record, where="x")
    assert (old.target, old.previous_target) == ("c_r1", "c_r0")
    assert old.digest == digest_json(record)
    log = released([old], "r2")
    assert (log[1].previous_target, log[1].previous_digest) == ("c_r1", digest_json(record))
    verify_chain(log, name="handbook")
    del record["collection"]
    with pytest.raises(IntegrityError, match="collection"):
        entry_from_record(record, where="x")


def test_a_changed_history_is_found() -> None:
    """Stored and expected are in the error."""
    first, second, third = log_of("r1", "r2", "r3")
    verify_chain([first, second, third], name="handbook")
    verify_chain([second, third], name="handbook")
    verify_chain([], name="handbook")
    with pytest.raises(IntegrityError) as caught:
        verify_chain([first, replace(second, actor="lee"), third], name="handbook")
    assert caught.value.expected == repr(replace(second, actor="lee").digest)
    for broken in ([first, third], [replace(first, previous_digest="x")], [second, first]):
        with pytest.raises(IntegrityError):
            verify_chain(broken, name="handbook")
    with pytest.raises(IntegrityError):
        verify_chain([first], name="other")


@given(st.lists(st.sampled_from(["r1", "r2", "r3", "r4", "back"]), max_size=25))
def test_default_rollbacks_end_and_never_repeat(steps: list[str]) -> None:
    """From any history, rolling back again and again never visits one twice."""
    log: list[ReleaseEntry] = []
    for step in steps:
        if step != "back":
            log = released(log, step)
        elif len({e.revision for e in log}) > 1:
            log = _back_if_possible(log)
    seen: list[str] = [live(log)] if log else []
    while (shorter := _back_if_possible(log)) != log:
        log = shorter
        seen.append(live(log))
    assert len(seen) == len(set(seen))
    verify_chain(log, name="handbook")


def _back_if_possible(log: list[ReleaseEntry]) -> list[ReleaseEntry]:
    try:
        return rolled_back(log)
    except UnknownNameError:
        return log
