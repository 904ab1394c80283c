"""One worker of a pool: its process, the tasks it was given, and what it may still use."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from platform_pipelines.compute.limits import oom_kills
from platform_pipelines.compute.process import WorkerProcess
from platform_pipelines.compute.progress import Phase, Position
from platform_pipelines.compute.protocol import Budget, FailureKind, Task

_WEIGH_SECONDS = 0.02


@dataclass(eq=False)
class Job:
    """A task on its way: which items have no answer yet, and which had one unlucky try."""

    task: Task
    remaining: list[int]
    suspects: set[int] = field(default_factory=set[int])


@dataclass(eq=False)
class PooledWorker:
    """A worker process with its bookkeeping for the pool."""

    process: WorkerProcess
    oom_kills_before: int = field(default_factory=oom_kills)
    jobs: dict[int, Job] = field(default_factory=dict[int, Job])  # by dispatch number, in order
    is_ready: bool = False
    retires: bool = False  # gets no more tasks
    killed_for: FailureKind | None = None
    killed_at: Position | None = None
    answered: int = 0
    tasks_done: int = 0
    _dispatched: int = 0
    _weighed_at: float = 0.0
    _baseline_bytes: int | None = None
    _seen: Position | None = None
    _seen_at: float = 0.0

    @property
    def is_fit(self) -> bool:
        """Whether it may get another task."""
        return not self.retires and self.killed_for is None

    def open(self, operation: str, shared: Mapping[str, object], budget: Budget) -> None:
        """Have it import the operation. It answers `ready`, or `broken`."""
        self.is_ready = False
        self._seen = None
        limit = budget.memory_bytes if budget.limit_address_space else None
        self.process.send(
            {"kind": "open", "operation": operation, "shared": shared, "memory_bytes": limit}
        )

    def give(self, job: Job) -> None:
        """Send a task with the items that have no answer yet."""
        self._dispatched += 1
        self.jobs[self._dispatched] = job
        self.process.send(
            {
                "kind": "task",
                "number": self._dispatched,
                "indexes": job.remaining,
                "items": [job.task.items[index] for index in job.remaining],
            }
        )

    def became_ready(self) -> None:
        """The operation is imported; memory counts from here."""
        self.is_ready = True
        self._baseline_bytes = self.process.private_bytes()

    def finish(self, number: int, budget: Budget) -> Job:
        """A dispatch is over; a worker that has done much or has grown retires."""
        self.tasks_done += 1
        if self.tasks_done >= budget.recycle_after_tasks or self._has_grown(budget):
            self.retires = True
        return self.jobs.pop(number)

    def _has_grown(self, budget: Budget) -> bool:
        now = time.monotonic()
        if now - self._weighed_at < _WEIGH_SECONDS:  # small tasks end thousands of times a second
            return False
        self._weighed_at = now
        return self.grown_bytes() > budget.growth_bytes

    def grown_bytes(self) -> int:
        """Resident growth since it was ready; 0 where the system does not tell."""
        now = self.process.private_bytes()
        if now is None or self._baseline_bytes is None:
            return 0
        return now - self._baseline_bytes

    def overrun(self, budget: Budget, now: float) -> FailureKind | None:
        """Which budget it exceeds. Time counts from when this position was first seen."""
        position = self.process.position()
        if position != self._seen:
            self._seen, self._seen_at = position, now
        elapsed = now - self._seen_at
        allowed = budget.seconds_to_start
        if self.is_ready and position.phase is Phase.RUNNING:
            allowed = budget.seconds_per_item
        waits = self.is_ready and position.phase in (Phase.WAITING, Phase.WRITING)
        if elapsed > allowed and not waits:
            return FailureKind.TIME_BUDGET
        if self.is_ready and self.grown_bytes() > budget.memory_bytes:
            return FailureKind.MEMORY_BUDGET
        return None

    def kill_for(self, kind: FailureKind) -> None:
        """Kill it, and remember where it was: it may move on before the signal lands."""
        self.killed_for, self.killed_at = kind, self.process.position()
        if kind is FailureKind.TIME_BUDGET:
            self.process.print_stack()
        self.process.kill()

    @property
    def moved_on(self) -> bool:
        """Whether it was killed for a position that it had left when the signal landed."""
        return self.killed_at is not None and self.process.position() != self.killed_at

    def culprit(self) -> tuple[Job, int] | None:
        """The item that it was inside of when it died, if that has no answer yet."""
        position = self.process.position()
        if position.phase is not Phase.RUNNING or self.moved_on:
            return None
        job = self.jobs.get(position.task)
        if job is None or position.index not in job.remaining:
            return None
        return job, position.index

    def let_go(self) -> None:
        """Tell it to end, when it is idle; kill it when it works."""
        if self.jobs or not self.is_ready:
            self.process.kill()
        self.process.channel.close()

    def stop(self) -> None:
        """Let it go, and wait until it is gone."""
        self.let_go()
        self.process.end()
        self.process.free()
