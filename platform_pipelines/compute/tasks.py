"""A stage's work as tasks: one typed spec a shard in, one record a shard out, carried by a backend.

A task reads the store, works, writes its own files under names that follow from its spec, and
returns its record. So a task may run twice, at once or after a kill, and may run anywhere: in a
worker process here, or as one index of an Indexed Job. The step that planned the tasks hands them
out, follows them and moves the head; it computes nothing itself.

The operation of a task is a worker's operation (see `worker`): its items are specs as JSON, its
results are records, and what is shared is the access of the process that runs it
(`stages.road.access`).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol, TypeAlias

from pydantic import BaseModel, ConfigDict

from platform_pipelines.compute.protocol import rebuild_error
from platform_pipelines.core.road.identity import digest_json
from platform_pipelines.errors import PlatformError

FORMAT = 1


class TaskSpec(BaseModel):
    """What one task is to do. It holds no secret: whoever runs it opens stores by its own means."""

    model_config = ConfigDict(frozen=True)

    format: int = FORMAT
    operation: str  # a name in `worker.OPERATIONS`
    shard: int
    store: str  # URL of the folder that the task reads and writes, without credentials
    arguments: Mapping[str, Any]  # digests, policies, paths: JSON

    @property
    def digest(self) -> str:
        """Names the task: equal specs are one task."""
        return digest_json(self.model_dump(mode="json"))


class TaskRecord(BaseModel):
    """What a task says when it is done: what it wrote, and numbers for the asset's page."""

    model_config = ConfigDict(frozen=True)

    format: int = FORMAT
    task: str  # digest of the spec
    shard: int
    record: Mapping[str, Any]  # JSON, of the operation's own shape


class TaskFailed(BaseModel):
    """A task that ended without a record. `terminal`: the same again would fail the same way."""

    model_config = ConfigDict(frozen=True)

    format: int = FORMAT
    task: str
    shard: int
    error_type: str
    detail: str
    terminal: bool
    fields: Mapping[str, Any] = {}
    log: str = ""  # the end of what the task printed, when its process died

    def to_error(self) -> PlatformError:
        """The error to raise for it: the very class for a PlatformError, with its fields."""
        error = rebuild_error(self.error_type, self.detail, self.fields)
        if self.log:
            error.add_note(f"the task's output ended with:\n{self.log}")
        return error


TaskOutcome: TypeAlias = TaskRecord | TaskFailed


class Backend(Protocol):
    """Where tasks run."""

    def run(
        self,
        stage: str,
        tasks: Sequence[TaskSpec],
        *,
        profile: str,
        progress: Callable[[str], None],
    ) -> Iterator[TaskOutcome]:
        """Every task's outcome, once each, in any order, as they end.

        `profile` names the compute profile. Closing the iterator ends what still runs. `progress`
        is told how far all tasks are, in the counts that they report (see `counted`).

        Raises:
            PlatformError: the backend itself fails; what was written stays and is found again.
        """
        ...


def plan_digest(tasks: Sequence[TaskSpec]) -> str:
    """Names a set of tasks, in their order: the name of a Job and of the plan's object."""
    return digest_json([task.digest for task in tasks])


def outcome_of(task: TaskSpec, message: Mapping[str, Any], *, log: str = "") -> TaskOutcome:
    """What a worker reported of a task (`done` or `failed`, see `execute`) as its outcome."""
    if message["kind"] == "done":
        return TaskRecord(task=task.digest, shard=task.shard, record=message["result"])
    return TaskFailed(
        task=task.digest,
        shard=task.shard,
        error_type=message["error_type"],
        detail=message["detail"],
        terminal=message["terminal"],
        fields=message["fields"],
        log=log,
    )


def counted(stage: str, ended: int, tasks: int, counts: Mapping[str, int]) -> str:
    """One line of progress: `chunks: 3 of 64 tasks, 1,200 documents`."""
    parts = [f"{ended:,} of {tasks:,} tasks", *(f"{n:,} {name}" for name, n in counts.items())]
    return f"{stage}: {', '.join(parts)}"
