"""Tasks on this machine: in worker processes, or, when there is little to do, in this one."""

from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from platform_pipelines.compute.execute import Operation, execute, failure
from platform_pipelines.compute.pool import WorkerPool
from platform_pipelines.compute.progress import Phase
from platform_pipelines.compute.protocol import (
    Budget,
    ItemDone,
    ItemFailed,
    ItemWorking,
    Task,
    Working,
)
from platform_pipelines.compute.tasks import (
    TaskFailed,
    TaskOutcome,
    TaskRecord,
    TaskSpec,
    counted,
    outcome_of,
)
from platform_pipelines.errors import ConfigurationError

# Of one task. Address space is not limited: tokenizers and models map much and use little.
TASK_BUDGET = Budget(seconds_per_item=3600.0, memory_bytes=4 * 1024**3, limit_address_space=False)


@dataclass(frozen=True, slots=True)
class LocalBackend:
    """Tasks in up to `workers` processes on this machine. Every profile is this machine."""

    workers: int
    access: Mapping[str, Any] = field(repr=False)  # what its own settings allow: it holds secrets
    environment: Mapping[str, str] = field(repr=False)  # all that a worker sees of it
    budget: Budget = TASK_BUDGET

    def run(
        self,
        stage: str,
        tasks: Sequence[TaskSpec],
        *,
        profile: str = "",
        progress: Callable[[str], None],
    ) -> Iterator[TaskOutcome]:
        """See `tasks.Backend`.

        Raises: as `WorkerPool.run` does outside of an item.
        """
        del profile
        following = _Following(stage, len(tasks), progress)
        workers = max(1, min(self.workers, len(tasks)))
        with WorkerPool(workers=workers, budget=self.budget, environment=self.environment) as pool:
            for operation in dict.fromkeys(task.operation for task in tasks):
                mine = [task for task in tasks if task.operation == operation]
                yield from self._run(pool, operation, mine, following)

    def _run(
        self, pool: WorkerPool, operation: str, tasks: Sequence[TaskSpec], following: "_Following"
    ) -> Iterator[TaskOutcome]:
        items = (Task(str(n), (task.model_dump(mode="json"),)) for n, task in enumerate(tasks))
        for outcome in pool.run(operation, items, shared=self.access):
            match outcome:
                case ItemWorking():
                    following.going(outcome.counts)
                case ItemDone():
                    task = tasks[int(outcome.task_id)]
                    following.ended()
                    yield TaskRecord(task=task.digest, shard=task.shard, record=outcome.result)
                case ItemFailed():
                    following.ended()
                    yield _failed(tasks[int(outcome.task_id)], outcome)
                case _:
                    pass


@dataclass(frozen=True, slots=True)
class HereBackend:
    """Tasks one after another in this very process: a worker's imports take a second."""

    operations: Mapping[str, Operation]
    access: Mapping[str, Any] = field(repr=False)

    def run(
        self,
        stage: str,
        tasks: Sequence[TaskSpec],
        *,
        profile: str = "",
        progress: Callable[[str], None],
    ) -> Iterator[TaskOutcome]:
        """See `tasks.Backend`."""
        del profile
        following = _Following(stage, len(tasks), progress)
        for name in dict.fromkeys(task.operation for task in tasks):
            if name not in self.operations:
                raise ConfigurationError(
                    "no such operation in this process",
                    stored=name,
                    expected=", ".join(sorted(self.operations)),
                )
            waiting = deque(task for task in tasks if task.operation == name)
            while waiting:
                yield from self._attempt(self.operations[name], waiting, following)

    def _attempt(
        self, operation: Operation, waiting: deque[TaskSpec], following: "_Following"
    ) -> Iterator[TaskOutcome]:
        """One call of the operation for all tasks: what it opens, it opens once."""
        specs = [task.model_dump(mode="json") for task in waiting]
        try:
            for answer in operation(self.access, iter(specs)):
                if isinstance(answer, Working):
                    following.going(answer.counts)
                    continue
                task = waiting.popleft()
                yield TaskRecord(task=task.digest, shard=task.shard, record=answer)
                following.ended()
        except Exception as error:
            if not waiting:
                raise
            yield outcome_of(waiting.popleft(), {"kind": "failed", **failure(error)})
            following.ended()


def run_one(
    operation: Operation,
    task: TaskSpec,
    access: Mapping[str, Any],
    *,
    working: Callable[[Mapping[str, int]], None],
) -> TaskOutcome:
    """Run one task in this process. Raises what the operation raises outside of the task."""
    last: dict[str, Any] = {}

    def report(message: dict[str, Any]) -> None:
        if message["kind"] == "working":
            working(message["counts"])
        else:
            last.update(message)

    items = [(0, task.model_dump(mode="json"))]
    execute(operation, access, items, marker=_Nowhere(), report=report)
    return outcome_of(task, last)


def _failed(task: TaskSpec, outcome: ItemFailed) -> TaskFailed:
    return TaskFailed(
        task=task.digest,
        shard=task.shard,
        error_type=outcome.error_type,
        detail=outcome.detail,
        terminal=outcome.terminal,
        fields=outcome.fields,
        log=outcome.log,
    )


class _Following:
    """How far all tasks are together."""

    def __init__(self, stage: str, tasks: int, progress: Callable[[str], None]) -> None:
        self._stage = stage
        self._tasks = tasks
        self._ended = 0
        self._counts: Counter[str] = Counter()
        self._progress = progress

    def going(self, counts: Mapping[str, int]) -> None:
        """A task goes on."""
        self._counts.update(counts)
        self._say()

    def ended(self) -> None:
        """A task ended, well or not."""
        self._ended += 1
        self._say()

    def _say(self) -> None:
        self._progress(counted(self._stage, self._ended, self._tasks, self._counts))


class _Nowhere:
    """A task that runs alone needs no position: whoever follows it runs the whole task again."""

    def mark(self, index: int, phase: Phase) -> None:
        """Forget it."""
