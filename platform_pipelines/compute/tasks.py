"""A stage's work as tasks: one typed spec a shard in, one record a shard out, carried by a backend.

A task reads the store, works, writes its own files under names that follow from its spec, and
returns its record. So a task may run twice, at once or after a kill, and may run anywhere: in a
worker process here, or as one index of an Indexed Job. The step that planned the tasks hands them
out, follows them and moves the head; it computes nothing itself.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol, TypeAlias

from pydantic import BaseModel, ConfigDict

from platform_pipelines.core.road.identity import digest_json

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

    task: str
    shard: int
    error_type: str
    detail: str
    terminal: bool
    fields: Mapping[str, Any] = {}


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

        `profile` names the compute profile. Closing the iterator ends what still runs.

        Raises:
            PlatformError: the backend itself fails; what was written stays and is found again.
        """
        ...


def plan_digest(tasks: Sequence[TaskSpec]) -> str:
    """Names a set of tasks, in their order: the name of a Job and of the plan's object."""
    return digest_json([task.digest for task in tasks])
