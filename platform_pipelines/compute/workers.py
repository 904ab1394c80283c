"""The workers of a pool: who is started, who gets the next task, who goes."""

from collections.abc import Iterator, Mapping

from platform_pipelines.compute.pooled_worker import PooledWorker
from platform_pipelines.compute.process import Interpreter, start_worker
from platform_pipelines.compute.protocol import Budget

TASKS_PER_WORKER = 2  # one in work, one waiting in its channel


class Workers:
    """At most `limit` worker processes."""

    def __init__(
        self,
        *,
        limit: int,
        budget: Budget,
        environment: Mapping[str, str],
        interpreter: Interpreter | None = None,
    ) -> None:
        self.limit = limit
        self.budget = budget
        self._environment = environment
        self._interpreter = interpreter
        self._started: list[PooledWorker] = []

    def __iter__(self) -> Iterator[PooledWorker]:
        return iter(tuple(self._started))

    @property
    def is_idle(self) -> bool:
        """Whether nobody has a task."""
        return not any(worker.jobs for worker in self._started)

    @property
    def has_room(self) -> bool:
        """Whether one more may be started."""
        return len(self._started) < self.limit

    def start(self) -> PooledWorker:
        """Start a worker. Raises UnavailableError."""
        worker = PooledWorker(start_worker(self._environment, self._interpreter))
        self._started.append(worker)
        return worker

    def idle_worker(self) -> PooledWorker | None:
        """One that has nothing to do."""
        return next((w for w in self._started if not w.jobs and w.is_fit), None)

    def worker_with_room(self) -> PooledWorker | None:
        """One that may have a second task waiting while it works on the first."""
        fit = [w for w in self._started if len(w.jobs) < TASKS_PER_WORKER and w.is_fit]
        return min(fit, key=lambda w: len(w.jobs), default=None)

    def retired(self) -> list[PooledWorker]:
        """Those that finished their last task."""
        return [w for w in self._started if w.retires and not w.jobs]

    def forget(self, worker: PooledWorker) -> None:
        """Take a dead one off the list."""
        self._started.remove(worker)

    def stop(self, worker: PooledWorker) -> None:
        """End one."""
        self.forget(worker)
        worker.stop()

    def release(self) -> None:
        """A run is over, or was given up: whoever still works is killed, the others are kept."""
        for worker in self:
            if worker.jobs or not (worker.is_ready and worker.is_fit):
                self.stop(worker)

    def stop_all(self) -> None:
        """End everybody; they go side by side."""
        for worker in self:
            worker.let_go()
        for worker in self:
            self.stop(worker)
