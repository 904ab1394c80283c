"""What every stage works with: a component's store and heads, leases, time and progress."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, Self, TypedDict, TypeVar, Unpack

from platform_pipelines.compute.execute import Operation
from platform_pipelines.compute.local_backend import HereBackend, LocalBackend
from platform_pipelines.compute.tasks import Backend, TaskRecord, TaskSpec
from platform_pipelines.core.road.ownership import StoreIdentity
from platform_pipelines.core.road.releases import Stamp
from platform_pipelines.core.road.snapshot import Snapshot, snapshot_from_json
from platform_pipelines.errors import ConflictError, EvidenceError, StageTimeoutError
from platform_pipelines.gateways.clock import Clock, SystemClock
from platform_pipelines.gateways.lease import Lease
from platform_pipelines.gateways.object_store import ObjectStore
from platform_pipelines.settings import Settings
from platform_pipelines.stages.road import connect
from platform_pipelines.stages.road.access import access_record
from platform_pipelines.stages.road.backends import cluster_backend
from platform_pipelines.stages.road.handing_out import records_of
from platform_pipelines.stages.road.ownership import own_identity

Opened = TypeVar("Opened", bound="Workspace")
Opened_co = TypeVar("Opened_co", bound="Workspace", covariant=True)

WRITER, POINTER = "writer", "pointer"
CPU = "cpu"  # the compute profile of tasks that declare none


def silent(message: str) -> None:
    """Say nothing."""
    del message


@dataclass(frozen=True, slots=True)
class Deadline:
    """A stage's time budget, and the leases that it writes under: checked between batches."""

    clock: Clock
    ends_at: float | None = None  # monotonic seconds
    leases: tuple[Lease, ...] = ()

    def check(self, where: str) -> None:
        """Whether to go on.

        Raises:
            StageTimeoutError: the time is over.
            ConflictError: a lease went to another run, e.g. while this one was suspended.
        """
        self.check_leases()
        if self.ends_at is not None and self.clock.monotonic() > self.ends_at:
            raise StageTimeoutError(
                "the stage's time budget is over",
                where=where,
                remedy="what was made so far is kept; run again, or raise refresh.timeout_minutes",
            )

    def check_leases(self) -> None:
        """Raises ConflictError when a lease went to another run."""
        for lease in self.leases:
            lease.check()


@dataclass(frozen=True, slots=True, kw_only=True)
class Workspace:
    """One instance of a component, as one run sees it. Stages take it and nothing global.

    A component derives its own, with the declaration as the field `spec`.
    """

    name: str
    settings: Settings
    store: ObjectStore
    run_id: str = ""
    clock: Clock = field(default_factory=SystemClock)
    progress: Callable[[str], None] = silent
    deadline: Deadline = field(default_factory=lambda: Deadline(SystemClock()))
    backend: Backend | None = None  # where tasks run; None: this machine

    def run_tasks(
        self,
        stage: str,
        tasks: Sequence[TaskSpec],
        *,
        doing: str,
        here: Mapping[str, Operation] | None = None,
        profile: str = CPU,
    ) -> Iterator[TaskRecord]:
        """The record of every task, as they end; see `road.handing_out`.

        `here` are operations that need no worker on this machine: there is little to do, or they
        use all processors themselves. A backend that was given takes all tasks.
        """
        chosen = self.backend or cluster_backend(self.settings, owner=self.name)
        backend = chosen or self._local_backend(here)
        return records_of(
            backend,
            stage,
            tasks,
            profile=profile,
            check=lambda: self.deadline.check(doing),
            progress=self.progress,
        )

    def _local_backend(self, here: Mapping[str, Operation] | None) -> Backend:
        access = access_record(self.settings)
        if here is not None:
            return HereBackend(here, access)
        workers, environment = self.settings.workers, self.settings.worker_environment
        return LocalBackend(workers, {**access, "workers": 1, "keeps_open": True}, environment)

    def head(self, stage: str) -> tuple[Snapshot | None, str | None]:
        """The last snapshot of a stage and the version of its head; (None, None) before the first.

        Raises:
            IntegrityError: the head is damaged.
        """
        found = self.store.head(head_key(stage))
        if found is None:
            return None, None
        data, version = self.store.get(head_key(stage))
        return snapshot_from_json(data, where=f"{self.store.url}/{head_key(stage)}"), version

    def require_head(self, stage: str) -> Snapshot:
        """The last snapshot of a stage.

        Raises:
            EvidenceError: there is none yet.
        """
        snapshot, _ = self.head(stage)
        if snapshot is None:
            raise EvidenceError(
                f"there is no `{stage}` yet",
                where=self.name,
                remedy=f"run the job {self.name}_refresh, or materialise {stage} first",
            )
        return snapshot

    def standing(self, stage: str) -> tuple[Snapshot | None, str | None]:
        """As `head`, without the shards whose file is gone: they are made again.

        A file is deleted by a person who was told that it is damaged.
        """
        snapshot, version = self.head(stage)
        if snapshot is None:
            return None, version
        listed = (item.key for batch in self.store.list_objects(stage) for item in batch)
        there = set(listed)
        shards = tuple(s for s in snapshot.shards if there.issuperset(self.read_from(s.path)))
        return replace(snapshot, shards=shards), version

    def read_from(self, path: str) -> Collection[str]:
        """The files that a shard's file is read from: itself, and those that it stands on."""
        return (path,)

    def move_head(self, snapshot: Snapshot, version: str | None) -> None:
        """Replace the head by compare-and-swap.

        Raises:
            ConflictError: another run moved it since it was read, or writes now.
        """
        self.deadline.check_leases()
        data = snapshot.to_json().encode()
        key = head_key(snapshot.stage)
        self.store.put(key, data, if_absent=version is None, if_version=version)

    def identity(self) -> StoreIdentity:
        """Who owns what this store's runs make elsewhere; made by the first that asks.

        Raises:
            OwnershipError: the store is a copy or was moved; it has no identity of its own yet.
        """
        return own_identity(self.settings, self.clock)

    def lease(self, name: str = WRITER) -> Lease:
        """One holder at a time for this component; waits, then LeaseHeldError.

        `WRITER` is held for as long as a stage works, `POINTER` for the seconds in which the
        release log and the alias move: a rollback does not wait for a build.

        Raises:
            OwnershipError: the store is a copy or was moved; it has no identity of its own yet.
        """
        self.identity()
        return connect.open_lease(self.settings, self.store, name, self.clock, self.progress)

    @contextmanager
    def writing(self, stage: str, version: str | None) -> Iterator[Self]:
        """Be the only writer of this component, with the head of `stage` still as it was read.

        The workspace inside also checks, with its deadline, that it still is the only writer. A run
        that finds nothing to do never comes here, and so writes nothing at all.

        Raises:
            LeaseHeldError: another run is writing, and the time to wait for it is over.
            ConflictError: another run moved the head in the meantime; run again.
        """
        with self.lease() as lease:
            found = self.store.head(head_key(stage))
            if (found.version if found else None) != version:
                raise ConflictError(
                    f"another run made new `{stage}` in the meantime",
                    where=self.name,
                    remedy="nothing was written; run again",
                )
            yield self.holding(lease)

    def holding(self, *leases: Lease) -> Self:
        """The same, whose deadline also checks that these leases are still held."""
        return replace(
            self, deadline=replace(self.deadline, leases=(*self.deadline.leases, *leases))
        )


def head_key(stage: str) -> str:
    """Where the head of a stage is."""
    return f"heads/{stage}.json"


def read_head(store: ObjectStore, stage: str) -> Snapshot | None:
    """The last snapshot of a stage, for whoever has a store and no declaration.

    Raises:
        IntegrityError: the head is damaged.
    """
    key = head_key(stage)
    if not store.exists(key):
        return None
    data, _ = store.get(key)
    return snapshot_from_json(data, where=f"{store.url}/{key}")


class Opening(TypedDict, total=False):
    """Of one run: its id, where it says how far it is, and its time budget."""

    run_id: str
    progress: Callable[[str], None]
    timeout_seconds: float | None


def open_workspace(
    kind: Callable[..., Opened],
    settings: Settings,
    store: ObjectStore,
    *,
    name: str,
    spec: Any,
    run_id: str = "",
    progress: Callable[[str], None] = silent,
    timeout_seconds: float | None = None,
) -> Opened:
    """The workspace of a component for one run; `kind` is its class, with the field `spec`."""
    clock = SystemClock()
    return kind(
        name=name,
        spec=spec,
        settings=settings,
        store=store,
        run_id=run_id,
        clock=clock,
        progress=progress,
        deadline=deadline_in(timeout_seconds, clock),
    )


class Opener(Protocol[Opened_co]):
    """Opens the workspace of a declared component, by its declaration and the settings."""

    def __call__(self, spec: Any, settings: Settings, **opening: Unpack[Opening]) -> Opened_co:
        """The workspace.

        Raises:
            ConfigurationError: the store's URL is wrong.
        """
        ...


def opener(kind: Callable[..., Opened], folder: str) -> Opener[Opened]:
    """How a component is opened whose store is named as it is, under its kind's folder."""

    def opened(spec: Any, settings: Settings, **opening: Unpack[Opening]) -> Opened:
        store = connect.open_component_store(settings, folder, spec.name)
        return open_workspace(kind, settings, store, name=spec.name, spec=spec, **opening)

    return opened


def deadline_in(timeout_seconds: float | None, clock: Clock) -> Deadline:
    """The deadline of work that starts now; None is without end."""
    ends_at = None if timeout_seconds is None else clock.monotonic() + timeout_seconds
    return Deadline(clock, ends_at)


def stamp(workspace: Workspace, reason: str) -> Stamp:
    """Who changes what is live, in this run."""
    return Stamp(
        run_id=workspace.run_id,
        actor=workspace.settings.actor,
        at=workspace.clock.now().isoformat(timespec="seconds"),
        reason=reason,
    )
