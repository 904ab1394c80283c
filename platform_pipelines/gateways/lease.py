"""A lease: one holder of a name at a time, among processes and machines, on the object store.

`leases/<name>.json` says who holds it until when. It is taken when it is free, when its time is
over, or at once when its process on this machine is gone. A holder that was paused for too long
learns from `check` that it lost the lease: call it before every step that must not happen twice.
"""

import contextlib
import threading
import uuid
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import timedelta
from types import TracebackType

from platform_pipelines.errors import (
    ConflictError,
    LeaseHeldError,
    PlatformError,
    SourceNotFoundError,
)
from platform_pipelines.gateways.clock import Clock
from platform_pipelines.gateways.lease_record import LeaseRecord, decode, encode
from platform_pipelines.gateways.object_store import ObjectStore
from platform_pipelines.gateways.processes import LocalProcesses, Processes, ProcessName


@dataclass(frozen=True, slots=True)
class LeaseOptions:
    """How long a lease lives, and how long to wait for one."""

    ttl_seconds: float = 60.0  # after its last heartbeat others may take it
    wait_seconds: float = 0.0  # for another holder, before LeaseHeldError
    poll_seconds: float = 1.0
    skew_seconds: float = 5.0  # how far the clocks of two machines may differ
    heartbeat: bool = True  # renew in a thread at a third of the ttl


class Lease(AbstractContextManager["Lease"]):
    """Held inside the `with` block.

    Args:
        store: where the lease lives; `open_store(..., create=True)`.
        name: what is held, e.g. `handbook`.
        holder: who asks, for people: the run id.
        clock: time for records and for waiting.
        options: see LeaseOptions.
        progress: told, at every poll, who holds the lease and how long is left to wait.
        processes: the process table.

    Raises (on entry): LeaseHeldError when the time to wait is over, IntegrityError for a lease
    object that is not one.
    """

    def __init__(
        self,
        store: ObjectStore,
        name: str,
        *,
        holder: str,
        clock: Clock,
        options: LeaseOptions | None = None,
        progress: Callable[[str], None] | None = None,
        processes: Processes | None = None,
    ) -> None:
        self.name = name
        self._store = store
        self._key = f"leases/{name}.json"
        self._holder = holder
        self._clock = clock
        self._options = options or LeaseOptions()
        self._progress = progress
        self._processes = processes or LocalProcesses()
        self._guard = threading.RLock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._record: LeaseRecord | None = None  # ours, while we hold it
        self._version = ""
        self._in_doubt = False  # a heartbeat may have landed without an answer

    @property
    def token(self) -> int:
        """Grows with every holder of this name: a fencing token. 0 before it is held."""
        with self._guard:
            return self._record.token if self._record else 0

    def __enter__(self) -> "Lease":
        deadline = self._clock.monotonic() + self._options.wait_seconds
        while (other := self._try_once()) is not None:
            left = deadline - self._clock.monotonic()
            if left <= 0:
                raise self._held_by(other)
            if self._progress is not None:
                self._progress(f"{_who(other, self.name)}; waiting {left:.0f} s more")
            self._clock.sleep(min(self._options.poll_seconds, left))
        if self._options.heartbeat:
            self._stop.clear()
            self._thread = threading.Thread(
                target=self._beat, name=f"lease-{self.name}", daemon=True
            )
            self._thread.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        self._give_back()

    def check(self) -> None:
        """Make sure that the lease is still held, and for a while; costs nothing just after a beat.

        Raises:
            ConflictError: another holder took it (or it was deleted); nothing more may be written.
        """
        with self._guard:
            soon = self._clock.now() + timedelta(seconds=self._options.ttl_seconds / 2)
            if self._in_doubt or self._record is None or self._record.expires_at < soon:
                self.renew()

    def renew(self) -> None:
        """Write a heartbeat. Raises ConflictError when the lease is lost."""
        with self._guard:
            mine = self._record
            if mine is None:
                raise self._lost("it is not held")
            self._in_doubt = True  # until the answer is here
            try:
                self._write(self._renewed(mine), if_version=self._version)
            except ConflictError:
                self._adopt_or_lose(mine)
            self._in_doubt = False

    def _try_once(self) -> LeaseRecord | None:
        """Take the lease; or who holds it."""
        try:
            data, version = self._store.get(self._key)
        except SourceNotFoundError:
            return self._take(None, None)
        other = decode(data, where=f"{self._store.url}/{self._key}")
        return self._take(other, version) if self._is_free(other) else other

    def _take(self, before: LeaseRecord | None, version: str | None) -> LeaseRecord | None:
        process = self._processes.this()
        mine = LeaseRecord(
            holder=self._holder,
            host=process.host,
            pid=process.pid,
            process_started=process.started,
            nonce=uuid.uuid4().hex,
            token=before.token + 1 if before else 1,
            beats=0,
            acquired_at=self._clock.now(),
            expires_at=self._clock.now(),
        )
        # A conflict says that another was faster, or that the answer to our own write was lost.
        with contextlib.suppress(ConflictError):
            self._write(self._renewed(mine), if_version=version)
        found, version_now = self._store.get(self._key)
        there = decode(found, where=f"{self._store.url}/{self._key}")
        with self._guard:
            # Not every S3 server excludes two writers: what is there now decides.
            if there.nonce == mine.nonce:
                self._record, self._version = there, version_now
                return None
            self._record = None
        return there

    def _is_free(self, other: LeaseRecord) -> bool:
        if other.released:
            return True
        over = other.expires_at + timedelta(seconds=self._options.skew_seconds)
        if self._clock.now() >= over:
            return True
        return self._processes.is_gone(ProcessName(other.host, other.pid, other.process_started))

    def _renewed(self, record: LeaseRecord) -> LeaseRecord:
        until = self._clock.now() + timedelta(seconds=self._options.ttl_seconds)
        return replace(record, beats=record.beats + 1, expires_at=until)

    def _write(self, record: LeaseRecord, *, if_version: str | None) -> None:
        data = encode(record)
        with self._guard:
            self._version = self._store.put(
                self._key, data, if_absent=if_version is None, if_version=if_version
            )
            self._record = record

    def _adopt_or_lose(self, mine: LeaseRecord) -> None:
        """Our own heartbeat may have landed without an answer; anything else is a loss."""
        try:
            data, version = self._store.get(self._key)
        except SourceNotFoundError:
            self._record = None
            raise self._lost("it was deleted") from None
        there = decode(data, where=f"{self._store.url}/{self._key}")
        if there.nonce != mine.nonce:
            self._record = None
            raise self._lost(_who(there, self.name))
        self._record, self._version = there, version

    def _beat(self) -> None:
        while not self._stop.wait(self._options.ttl_seconds / 3):
            try:
                self.renew()
            except ConflictError:
                return  # `check` tells the holder
            except PlatformError:
                continue  # the next beat tries again; two may fail before the ttl is over

    def _give_back(self) -> None:
        """Mark it free, only if it is ours: by swap, because S3 cannot delete on a condition."""
        with self._guard:
            mine, self._record = self._record, None
            if mine is None:
                return
            try:
                self._store.put(
                    self._key, encode(replace(mine, released=True)), if_version=self._version
                )
            except PlatformError:
                return  # lost or unreachable: it runs out by itself

    def _held_by(self, other: LeaseRecord) -> LeaseHeldError:
        return LeaseHeldError(
            f"another run holds the lease {self.name!r}",
            where=f"{self._store.url}/{self._key}",
            stored=_who(other, self.name),
            expected=f"free within {self._options.wait_seconds:g} s",
            remedy="wait for that run, or end it; a dead run's lease runs out by itself",
        )

    def _lost(self, why: str) -> ConflictError:
        return ConflictError(
            f"the lease {self.name!r} is lost",
            where=f"{self._store.url}/{self._key}",
            stored=why,
            expected=f"held by {self._holder}",
            remedy="stop writing and start the run again",
        )


def _who(record: LeaseRecord, name: str) -> str:
    host = record.host.partition("/")[0]
    return (
        f"{name} is held by {record.holder} (process {record.pid} on {host}) "
        f"since {record.acquired_at:%Y-%m-%d %H:%M:%S} UTC"
    )
