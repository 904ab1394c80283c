"""One holder of a lease at a time, among threads, processes and machines."""

import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from platform_pipelines.errors import (
    ConflictError,
    IntegrityError,
    LeaseHeldError,
    UnavailableError,
)
from platform_pipelines.gateways.clock import SystemClock
from platform_pipelines.gateways.lease import Lease, LeaseOptions
from platform_pipelines.gateways.lease_record import LeaseRecord, decode
from platform_pipelines.gateways.object_store import ObjectStore
from platform_pipelines.gateways.obstore_store import open_store
from platform_pipelines.gateways.processes import LocalProcesses, ProcessName
from tests.fakes import FakeClock, FaultyObjectStore
from tests.servers.s3_server import s3_server

KEY = "leases/handbook.json"
HERE = ProcessName("machine/boot", 100, "5000")


class FakeProcesses:
    """A process table of one machine."""

    def __init__(self, me: ProcessName = HERE, *, gone: tuple[ProcessName, ...] = ()) -> None:
        self._me = me
        self._gone = gone

    def this(self) -> ProcessName:
        return self._me

    def is_gone(self, process: ProcessName) -> bool:
        return process in self._gone


@pytest.fixture(params=["file", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    if request.param == "file":
        return open_store((tmp_path / "state").as_uri(), create=True)
    server = s3_server()
    return open_store(f"s3://{server.make_bucket()}", options=server.options)


def lease(
    store: ObjectStore,
    clock: FakeClock,
    holder: str = "run-1",
    *,
    wait_seconds: float = 0.0,
    progress: Callable[[str], None] | None = None,
    processes: FakeProcesses | None = None,
) -> Lease:
    options = LeaseOptions(
        ttl_seconds=60, wait_seconds=wait_seconds, poll_seconds=1, skew_seconds=5, heartbeat=False
    )
    return Lease(
        store,
        "handbook",
        holder=holder,
        clock=clock,
        options=options,
        progress=progress,
        processes=processes or FakeProcesses(),
    )


def record_of(store: ObjectStore) -> LeaseRecord:
    return decode(store.get(KEY)[0], where=KEY)


def test_the_object_says_who_holds_it_until_when(store: ObjectStore) -> None:
    """A person who wonders why nothing moves reads this object."""
    clock = FakeClock()
    with lease(store, clock, "run-7") as held:
        record = record_of(store)
        assert (record.holder, record.host, record.pid) == ("run-7", "machine/boot", 100)
        assert record.expires_at == clock.now() + timedelta(seconds=60)
        assert held.token == record.token == 1
    assert record_of(store).released


def test_a_second_holder_is_refused_and_told_who_holds_it(store: ObjectStore) -> None:
    clock = FakeClock()
    with lease(store, clock, "run-1"):
        with pytest.raises(LeaseHeldError, match="run-1") as caught:
            lease(store, clock, "run-2").__enter__()
        assert "process 100 on machine" in str(caught.value)
        assert record_of(store).holder == "run-1"
    assert clock.slept == []


def test_waiting_ends_when_the_holder_lets_go(store: ObjectStore) -> None:
    """Two refreshes at once: the second waits, says for whom, and then runs."""
    holder_clock = FakeClock()
    first = lease(store, holder_clock, "run-1").__enter__()
    said: list[str] = []
    clock = FakeClock(
        on_sleep=lambda _: first.__exit__(None, None, None) if len(said) == 3 else None
    )
    with lease(store, clock, "run-2", wait_seconds=30, progress=said.append) as second:
        assert record_of(store).holder == "run-2"
        assert second.token == 2
    assert len(said) == 3
    assert said[0].startswith("handbook is held by run-1")
    assert clock.slept == [1, 1, 1]


def test_waiting_gives_up_at_its_end_and_not_later(store: ObjectStore) -> None:
    clock = FakeClock()
    with lease(store, FakeClock(), "run-1"), pytest.raises(LeaseHeldError):
        lease(store, clock, "run-2", wait_seconds=2.5).__enter__()
    assert clock.slept == [1, 1, 0.5]


def test_a_lease_that_ran_out_is_taken_after_the_skew_of_clocks(store: ObjectStore) -> None:
    """A machine that died keeps nobody out for ever; a clock that is a bit ahead steals nothing."""
    clock = FakeClock()
    dead = lease(store, clock, "run-1").__enter__()
    clock.advance(64)
    with pytest.raises(LeaseHeldError):
        lease(store, clock, "run-2").__enter__()
    clock.advance(1)
    with lease(store, clock, "run-2") as second:
        assert second.token == 2
        with pytest.raises(ConflictError, match="run-2"):
            dead.check()
        dead.__exit__(None, None, None)
        second.check()
        assert not record_of(store).released


def test_leaving_late_does_not_free_the_lease_of_the_next_holder(store: ObjectStore) -> None:
    """Paused for an hour, then done: it must not open the door for a third run."""
    clock = FakeClock()
    late = lease(store, clock, "run-1").__enter__()
    clock.advance(3600)
    with lease(store, clock, "run-2") as second:
        late.__exit__(None, None, None)
        assert not record_of(store).released
        second.check()


def test_the_lease_of_a_dead_process_here_is_taken_at_once(store: ObjectStore) -> None:
    """Killed by hand, started again: nobody wants to wait a minute for a ghost."""
    clock = FakeClock()
    lease(store, clock, "run-1").__enter__()
    other = replace(HERE, pid=200)
    with lease(store, clock, "run-2", processes=FakeProcesses(other, gone=(HERE,))):
        assert record_of(store).holder == "run-2"
    assert clock.slept == []


def test_a_heartbeat_keeps_the_lease(store: ObjectStore) -> None:
    clock = FakeClock()
    with lease(store, clock) as held:
        for _ in range(10):
            clock.advance(40)
            held.renew()
            with pytest.raises(LeaseHeldError):
                lease(store, clock, "run-2").__enter__()


def test_check_fails_when_the_lease_was_deleted_or_is_not_held(store: ObjectStore) -> None:
    clock = FakeClock()
    held = lease(store, clock)
    assert held.token == 0
    with pytest.raises(ConflictError):
        held.check()
    with held:
        store.delete([KEY])
        held.check()  # just after a beat nobody is asked: the lease is safe until it runs out
        clock.advance(31)
        with pytest.raises(ConflictError, match="deleted"):
            held.check()
        with pytest.raises(ConflictError):
            held.check()
    assert not store.exists(KEY)


def test_a_heartbeat_whose_answer_was_lost_is_no_loss(store: ObjectStore) -> None:
    """The write landed; the next one must not mistake our own record for another holder's."""
    faulty = FaultyObjectStore(store, fail_at={2: "after"})
    with lease(faulty, FakeClock()) as held:
        with pytest.raises(UnavailableError):
            held.renew()
        held.check()
        held.check()
    assert record_of(store).released


def test_an_acquisition_whose_answer_was_lost_is_found_to_be_ours(store: ObjectStore) -> None:
    """The client tries again after a time-out and is told that the object exists: by itself."""
    faulty = FaultyObjectStore(
        store, fail_at={1: "after"}, error=lambda: ConflictError("the object exists already")
    )
    with lease(faulty, FakeClock()) as held:
        held.check()


def test_leaving_survives_a_store_that_is_down(store: ObjectStore) -> None:
    """The work is done; a lease that cannot be given back runs out by itself."""
    faulty = FaultyObjectStore(store, fail_at={2: "before"})
    with lease(faulty, FakeClock()):
        pass
    assert not record_of(store).released


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b"\xff", b'{"acquired_at": "2026-11-21"}'])
def test_an_object_that_is_no_lease_is_not_overwritten(store: ObjectStore, data: bytes) -> None:
    store.put(KEY, data)
    with pytest.raises(IntegrityError):
        lease(store, FakeClock()).__enter__()
    assert store.get(KEY)[0] == data


class _Watched(FaultyObjectStore):
    """Says when a number of writes has happened."""

    def __init__(
        self, inner: ObjectStore, *, writes: int, fail_at: Mapping[int, str] | None = None
    ) -> None:
        super().__init__(inner, fail_at=fail_at)
        self._awaited = writes
        self.reached = threading.Event()

    def put(
        self, key: str, data: bytes, *, if_absent: bool = False, if_version: str | None = None
    ) -> str:
        version = super().put(key, data, if_absent=if_absent, if_version=if_version)
        if len(self.writes) >= self._awaited:
            self.reached.set()
        return version


def test_of_two_who_find_it_free_one_has_it(store: ObjectStore) -> None:
    """Both read "free"; the slower one is told who was faster."""
    clock = FakeClock()
    late = _Overtaken(store, by=lambda: lease(store, clock, "run-1").__enter__())
    with pytest.raises(LeaseHeldError, match="run-1"):
        lease(late, clock, "run-2").__enter__()


class _Overtaken(FaultyObjectStore):
    """Lets somebody else write just before the first write."""

    def __init__(self, inner: ObjectStore, *, by: Callable[[], object]) -> None:
        super().__init__(inner)
        self._by = by

    def put(
        self, key: str, data: bytes, *, if_absent: bool = False, if_version: str | None = None
    ) -> str:
        if not self.writes:
            self._by()
        return super().put(key, data, if_absent=if_absent, if_version=if_version)


def test_the_thread_survives_a_store_that_is_down_for_a_moment(tmp_path: Path) -> None:
    store = _Watched(open_store(tmp_path.as_uri()), writes=5, fail_at={2: "before", 3: "after"})
    options = LeaseOptions(ttl_seconds=0.03)
    with Lease(store, "handbook", holder="run", clock=SystemClock(), options=options) as held:
        assert store.reached.wait(60)
        held.check()


def test_the_thread_ends_when_the_lease_is_lost(tmp_path: Path) -> None:
    """A holder that lost must not take the lease back by its next heartbeat."""
    store = open_store(tmp_path.as_uri())
    options = LeaseOptions(ttl_seconds=0.03)
    with Lease(store, "handbook", holder="run", clock=SystemClock(), options=options) as held:
        store.delete([KEY])
        for thread in threading.enumerate():
            if thread.name == "lease-handbook":
                thread.join(60)
                assert not thread.is_alive()
        with pytest.raises(ConflictError):
            held.check()
    assert not store.exists(KEY)


def test_the_thread_renews_and_stops_with_the_block(tmp_path: Path) -> None:
    """A stage that runs for an hour inside one call still keeps its lease."""
    store = _Watched(open_store(tmp_path.as_uri()), writes=4)
    options = LeaseOptions(ttl_seconds=0.03)
    with Lease(store, "handbook", holder="run", clock=SystemClock(), options=options) as held:
        assert store.reached.wait(60)
        held.check()
    assert record_of(store).released
    assert not [t for t in threading.enumerate() if t.name == "lease-handbook"]


_CHILD = """
import sys
from platform_pipelines.gateways.clock import SystemClock
from platform_pipelines.gateways.lease import Lease, LeaseOptions
from platform_pipelines.gateways.obstore_store import open_store

options = LeaseOptions(wait_seconds=60, poll_seconds=0.001)
store = open_store(sys.argv[1], create=True)
for _ in range(int(sys.argv[2])):
    with Lease(store, "handbook", holder=sys.argv[3], clock=SystemClock(), options=options):
        value = int(store.get("n")[0]) if store.exists("n") else 0
        store.put("n", str(value + 1).encode())
        print("held", flush=True)
        if sys.argv[4] == "hang":
            sys.stdin.read()
"""


def _child(url: str, rounds: int, holder: str, mode: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", _CHILD, url, str(rounds), holder, mode],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )


def test_two_processes_never_hold_it_together(tmp_path: Path) -> None:
    """An unguarded read and write under the lease loses no count."""
    children = [_child(tmp_path.as_uri(), 20, f"run-{n}", "work") for n in range(2)]
    for child in children:
        child.communicate(timeout=120)
        assert child.returncode == 0
    assert open_store(tmp_path.as_uri()).get("n")[0] == b"40"


def test_a_killed_process_is_noticed_at_once(tmp_path: Path) -> None:
    """SIGKILL leaves the lease behind; the next process on this machine must not wait for it."""
    child = _child(tmp_path.as_uri(), 1, "run-1", "hang")
    with child:
        assert child.stdout is not None
        assert child.stdout.readline() == "held\n"
        store = open_store(tmp_path.as_uri())
        clock = FakeClock()
        clock.advance((SystemClock().now() - clock.now()).total_seconds())
        options = LeaseOptions(heartbeat=False)
        with pytest.raises(LeaseHeldError):
            Lease(store, "handbook", holder="run-2", clock=clock, options=options).__enter__()
        child.kill()
        child.wait(60)
        with Lease(store, "handbook", holder="run-2", clock=clock, options=options):
            assert record_of(store).holder == "run-2"
    assert clock.slept == []


def test_a_reused_process_id_is_not_the_old_process() -> None:
    """After a restart of a container the same id is somebody else."""
    processes = LocalProcesses()
    me = processes.this()
    assert not processes.is_gone(me)
    assert processes.is_gone(replace(me, started="1"))
    assert not processes.is_gone(replace(me, started=""))
    assert not processes.is_gone(replace(me, host="elsewhere", pid=2**22 + 1))
    assert processes.is_gone(replace(me, pid=2**22 + 1))
