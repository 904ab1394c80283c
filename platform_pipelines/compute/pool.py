"""A pool of worker processes on this machine, and the runs of operations over tasks on it.

Our own, because `multiprocessing` imports the parent's `__main__` again in every worker (a Dagster
command line: seconds), forks beside gRPC's threads, or pickles. A worker that exceeds its budget or
crashes costs exactly one item: the position is in shared memory, so the guilty item is known after
SIGKILL, and the others are done again on a fresh worker.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Self

from platform_pipelines.compute.crew import Crew
from platform_pipelines.compute.process import Interpreter
from platform_pipelines.compute.protocol import Budget, Outcome, Task
from platform_pipelines.compute.run import Run
from platform_pipelines.errors import ConfigurationError, ConflictError


class WorkerPool:
    """Up to `workers` processes, started when there is work and kept between runs.

    `environment` is all that a worker sees of the environment, apart from the import path, which is
    this process's; with an `interpreter` of a worker class it is that one's. Use as a context
    manager, or call `close`.
    """

    def __init__(
        self,
        *,
        workers: int,
        budget: Budget,
        environment: Mapping[str, str],
        interpreter: Interpreter | None = None,
    ) -> None:
        if workers < 1:
            raise ConfigurationError("a pool needs a worker", stored=workers, expected=">= 1")
        self._crew = Crew(
            limit=workers, budget=budget, environment=dict(environment), interpreter=interpreter
        )
        self._is_running = False

    def run(
        self,
        operation: str,
        tasks: Iterable[Task],
        *,
        shared: Mapping[str, object] | None = None,
        ordered: bool = False,
    ) -> Iterator[Outcome]:
        """Outcomes of `operation` on every item of every task, as they come or in order.

        `operation` is a name in `worker.OPERATIONS` or `module:function`; `shared` is sent once per
        worker. Lazy: at most 2 tasks per worker are sent, `workers` + 1 more are taken from
        `tasks`, and what waits for the caller is one read of each worker's channel. Budgets are
        watched while the caller waits for the next outcome; a caller that is busy elsewhere delays
        a kill, but never causes one. Loading a model belongs before the operation's first item:
        there `Budget.seconds_to_start` counts.

        Raises, besides what `tasks` raises: ConfigurationError (no such operation, not importable),
        any PlatformError that the operation raises outside of an item, UnavailableError (workers do
        not start), WorkerLostError, MemoryBudgetError or StageTimeoutError (workers keep dying
        between items), IntegrityError (the operation or the channel breaks the protocol),
        ConflictError (another run of this pool is not over).
        """
        if self._is_running:
            raise ConflictError(
                "the pool is in use", where=operation, remedy="consume or close the other run first"
            )
        self._is_running = True
        run = Run(self._crew, operation, shared or {}, tasks, ordered=ordered)
        try:
            yield from run.outcomes()
        finally:
            self._crew.release()
            self._is_running = False

    def close(self) -> None:
        """End all workers. May be called again; a later run starts new ones."""
        self._crew.dismiss_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
