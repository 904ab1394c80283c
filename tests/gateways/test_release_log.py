"""The release log on a store, alone and together with an alias that is pointed after it."""

import json
import tempfile
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from platform_pipelines.core.road.releases import (
    AlreadyLive,
    Append,
    Candidate,
    ReleaseEntry,
    Stamp,
    current,
    drift,
    plan_release,
    plan_rollback,
    retained,
)
from platform_pipelines.errors import (
    ConflictError,
    IntegrityError,
    UnavailableError,
    UnknownNameError,
)
from platform_pipelines.gateways.object_store import ObjectStore
from platform_pipelines.gateways.obstore_store import open_store
from platform_pipelines.gateways.release_log import ReleaseLog
from tests.fakes import FaultyObjectStore
from tests.servers.s3_server import s3_server

STAMP = Stamp("run-1", "kim", "2026-11-21T09:00:00+00:00")


def release(log: ReleaseLog, revision: str, stamp: Stamp = STAMP) -> ReleaseEntry:
    candidate = Candidate("handbook", revision, f"c_{revision}", "e")
    plan = plan_release(log.entries(), candidate, stamp)
    if isinstance(plan, Append):
        log.append(plan.entry)
    return plan.entry


@pytest.fixture(params=["file", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    if request.param == "file":
        return open_store((tmp_path / "state").as_uri(), create=True)
    server = s3_server()
    return open_store(f"s3://{server.make_bucket()}/state", options=server.options)


def test_an_empty_log_is_empty_before_anything_was_written(store: ObjectStore) -> None:
    """The first run asks for the head of a log, and of a store, that do not exist."""
    log = ReleaseLog(store, "handbook")
    assert log.head() is None
    assert log.entries() == ()


def test_entries_come_back_in_order_and_by_number(store: ObjectStore) -> None:
    log = ReleaseLog(store, "handbook")
    written = tuple(release(log, f"r{number}") for number in range(12))
    assert log.entries() == written
    assert log.entries(limit=3) == written[-3:]
    assert log.entries(limit=0) == ()
    assert log.head() == written[-1]


def test_two_names_do_not_share_a_log(store: ObjectStore) -> None:
    """`hand` is a beginning of `handbook`."""
    release(ReleaseLog(store, "handbook"), "r1")
    assert ReleaseLog(store, "hand").head() is None


def test_of_concurrent_releases_one_wins_and_the_others_know(store: ObjectStore) -> None:
    """Two refreshes that end together must not both believe they are live."""
    if store.url.startswith("s3:") and not s3_server().keeps_conditions:
        pytest.skip("this server checks, then writes")
    log = ReleaseLog(store, "handbook")
    release(log, "r0")
    barrier = threading.Barrier(6)

    def attempt(number: int) -> bool:
        candidate = Candidate("handbook", f"r{number}", "c", "e")
        plan = plan_release(log.entries(), candidate, STAMP)
        barrier.wait()
        try:
            log.append(plan.entry)
        except ConflictError:
            return False
        return True

    with ThreadPoolExecutor(6) as pool:
        won = list(pool.map(attempt, range(1, 7)))
    assert won.count(True) == 1
    head = log.head()
    assert head is not None
    assert head.revision == f"r{won.index(True) + 1}"


def test_a_stale_plan_conflicts(store: ObjectStore) -> None:
    log = ReleaseLog(store, "handbook")
    release(log, "r1")
    stale = plan_release(log.entries(), Candidate("handbook", "r2", "c", "e"), STAMP)
    release(log, "r3")
    with pytest.raises(ConflictError):
        log.append(stale.entry)
    assert [e.revision for e in log.entries()] == ["r1", "r3"]


def test_an_entry_whose_answer_was_lost_is_recorded_once(store: ObjectStore) -> None:
    """The write landed, the answer did not: trying again must neither fail nor append twice."""
    faulty = FaultyObjectStore(store, fail_at={1: "after"})
    log = ReleaseLog(faulty, "handbook")
    plan = plan_release((), Candidate("handbook", "r1", "c", "e"), STAMP)
    with pytest.raises(UnavailableError):
        log.append(plan.entry)
    log.append(plan.entry)
    assert log.entries() == (plan.entry,)


def test_an_entry_with_a_gap_or_a_false_past_is_refused(store: ObjectStore) -> None:
    log = ReleaseLog(store, "handbook")
    first = release(log, "r1")
    plan = plan_release([first], Candidate("handbook", "r2", "c", "e"), STAMP)
    with pytest.raises(IntegrityError):
        log.append(replace(plan.entry, sequence=5))
    with pytest.raises(IntegrityError):
        log.append(replace(plan.entry, previous_digest="0" * 32))
    with pytest.raises(IntegrityError):
        log.append(replace(first, name="other"))
    assert log.entries() == (first,)


def _edited(data: bytes) -> bytes:
    document = json.loads(data)
    document["entry"]["actor"] = "somebody else"
    return json.dumps(document).encode()


@pytest.mark.parametrize(
    "damage",
    [_edited, lambda _: b"", lambda _: b"[]", lambda _: b"{}", lambda _: b'{"entry": {}}'],
    ids=["edited", "empty", "list", "no-entry", "no-fields"],
)
def test_a_damaged_entry_is_found(store: ObjectStore, damage: Callable[[bytes], bytes]) -> None:
    """A log that can be edited unseen is no log."""
    log = ReleaseLog(store, "handbook")
    for revision in ("r1", "r2"):
        release(log, revision)
    key = "releases/handbook/00000002.json"
    store.put(key, damage(store.get(key)[0]))
    with pytest.raises(IntegrityError):
        log.head()
    with pytest.raises(IntegrityError):
        log.entries()


def test_a_missing_or_a_foreign_object_is_found(store: ObjectStore) -> None:
    log = ReleaseLog(store, "handbook")
    for revision in ("r1", "r2", "r3"):
        release(log, revision)
    store.delete(["releases/handbook/00000002.json"])
    with pytest.raises(IntegrityError, match="missing"):
        log.head()
    other = ReleaseLog(store, "other")
    store.put("releases/other/notes.txt", b"x")
    with pytest.raises(IntegrityError, match="foreign"):
        other.head()


def test_the_head_reads_one_entry_of_many(tmp_path: Path) -> None:
    """After a year of hourly releases, asking what is live must not read them all."""
    counted = FaultyObjectStore(open_store(tmp_path.as_uri()))
    log = ReleaseLog(counted, "handbook")
    entries: list[ReleaseEntry] = []
    for number in range(40):
        plan = plan_release(entries, Candidate("handbook", f"r{number}", "c", "e"), STAMP)
        log.append(plan.entry)
        entries.append(plan.entry)
    counted.reads.clear()
    assert log.head() == entries[-1]
    assert counted.reads == ["list releases/handbook", "releases/handbook/00000040.json"]


class Releases(RuleBasedStateMachine):
    """Releases, increments, rollbacks, collections and crashes, on a model of the vector store."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.log = ReleaseLog(open_store(Path(self.folder.name).as_uri()), "handbook")
        self.holds: dict[str, str] = {}  # collection -> the revision that it is
        self.alias: str | None = None
        self.made = 0

    def teardown(self) -> None:
        self.folder.cleanup()

    @rule(crash=st.booleans())
    def release(self, crash: bool) -> None:
        self._repair()
        self.made += 1
        collection = f"c{self.made}"
        self.holds[collection] = f"r{self.made}"
        self._release(f"r{self.made}", collection, crash=crash)

    @precondition(lambda self: self.alias is not None)
    @rule(crash=st.booleans())
    def increment(self, crash: bool) -> None:
        """Changes the live collection in place, under a new revision."""
        self._repair()
        assert self.alias is not None
        self.made += 1
        self.holds[self.alias] = f"r{self.made}"
        self._release(f"r{self.made}", self.alias, crash=crash)

    @rule(crash=st.booleans(), pick=st.integers(min_value=-1, max_value=20))
    def roll_back(self, crash: bool, pick: int) -> None:
        self._repair()
        entries = self.log.entries()
        to = entries[pick % len(entries)].revision if entries and pick >= 0 else None
        try:
            plan = plan_rollback(entries, STAMP, to=to, existing=set(self.holds))
        except UnknownNameError:
            return
        if isinstance(plan, Append):
            self.log.append(plan.entry)
        if not crash:
            self._repair()

    @rule(keep=st.integers(min_value=1, max_value=4))
    def collect(self, keep: int) -> None:
        self._repair()
        entries = self.log.entries()
        kept = {one.target for one in retained(entries, keep, existing=set(self.holds))}
        for collection in set(self.holds) - kept:
            del self.holds[collection]
        assert len(self.holds) <= keep
        still = {one.target for one in retained(entries, keep, existing=set(self.holds))}
        assert set(self.holds) <= still

    @rule()
    def release_again(self) -> None:
        """A retried run finds its revision live."""
        self._repair()
        live = current(self.log.entries())
        if live is not None:
            candidate = Candidate("handbook", live.revision, live.target, "e")
            plan = plan_release(self.log.entries(), candidate, STAMP)
            assert plan == AlreadyLive(live)

    @invariant()
    def what_is_live_exists_and_is_what_the_log_says(self) -> None:
        live = current(self.log.entries())
        if live is not None:
            assert self.holds[live.target] == live.revision
            assert drift(live, self.alias) in {None, live.target}

    @invariant()
    def the_alias_never_points_at_nothing(self) -> None:
        assert self.alias is None or self.alias in self.holds

    def _release(self, revision: str, collection: str, *, crash: bool) -> None:
        candidate = Candidate("handbook", revision, collection, "e")
        plan = plan_release(self.log.entries(), candidate, STAMP)
        assert isinstance(plan, Append)
        self.log.append(plan.entry)
        if not crash:
            self._repair()

    def _repair(self) -> None:
        wanted = drift(self.log.head(), self.alias)
        if wanted is not None:
            self.alias = wanted
        assert drift(self.log.head(), self.alias) is None


TestReleases = Releases.TestCase
TestReleases.settings = settings(
    max_examples=25,
    stateful_step_count=15,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
