"""Plans in the store: how tasks and their outcomes travel between a step and processes elsewhere.

    tasks/<plan digest>/plan.json            a list of `TaskSpec`, written before a task starts
    tasks/<plan digest>/records/<N>.json     `TaskRecord` of task N, written when it is done
    tasks/<plan digest>/failures/<N>.json    `TaskFailed` of its last try, when that failed

All of them are written whole and say the same when they are written twice.
"""

from collections.abc import Mapping, Sequence

from pydantic import TypeAdapter, ValidationError

from platform_pipelines.compute.tasks import (
    FORMAT,
    TaskFailed,
    TaskOutcome,
    TaskRecord,
    TaskSpec,
    plan_digest,
)
from platform_pipelines.core.road.compute_profiles import ComputeProfile
from platform_pipelines.errors import ConfigurationError, IntegrityError
from platform_pipelines.gateways.object_store import ObjectStore

TASKS = "tasks"
_SPECS = TypeAdapter(list[TaskSpec])


def chosen_profile(profiles: Mapping[str, ComputeProfile], name: str) -> ComputeProfile:
    """The profile of this name. Raises ConfigurationError where there is none."""
    if name not in profiles:
        raise ConfigurationError(
            "no compute profile has this name",
            where="profile",
            stored=name,
            expected=", ".join(sorted(profiles)),
        )
    return profiles[name]


def folder_of(tasks: Sequence[TaskSpec], root: str) -> str:
    """The store that all tasks of a plan name. Raises ConfigurationError where they differ."""
    folders = {task.store for task in tasks}
    if len(folders) != 1 or not (folder := folders.pop()).startswith(root):
        raise ConfigurationError(
            "tasks of one plan share one store below the platform's",
            stored=", ".join(sorted({task.store for task in tasks})),
            expected=f"{root}/…",
        )
    return folder


def plan_key(tasks: Sequence[TaskSpec]) -> str:
    """Where the plan of these tasks is, in the store that they name."""
    return f"{TASKS}/{plan_digest(tasks)}/plan.json"


def record_key(plan: str, index: int) -> str:
    """Where the record of a plan's task is. `plan` is the plan's key."""
    return f"{plan.rpartition('/')[0]}/records/{index}.json"


def failure_key(plan: str, index: int) -> str:
    """Where the failure of a plan's task is."""
    return f"{plan.rpartition('/')[0]}/failures/{index}.json"


def write_plan(store: ObjectStore, tasks: Sequence[TaskSpec]) -> str:
    """Write a plan; returns its key. Written twice, it is the same."""
    key = plan_key(tasks)
    store.put(key, _SPECS.dump_json(list(tasks)))
    return key


def read_plan(store: ObjectStore, key: str) -> list[TaskSpec]:
    """The tasks of a plan.

    Raises:
        SourceNotFoundError: there is none.
        IntegrityError: it is no plan, not what its name says, or of a newer format.
    """
    data, _ = store.get(key)
    where = f"{store.url}/{key}"
    try:
        tasks = _SPECS.validate_json(data)
    except ValidationError as error:
        raise IntegrityError(
            f"not a plan of tasks: {error.errors(include_url=False)[0]['msg']}", where=where
        ) from error
    if newer := [task.format for task in tasks if task.format > FORMAT]:
        raise IntegrityError(
            "the plan was written by a newer version of this program",
            where=where,
            stored=f"format {max(newer)}",
            expected=f"at most {FORMAT}",
            remedy="run tasks with the image of the step that planned them",
        )
    if not key.endswith(plan_key(tasks)):
        raise IntegrityError(
            "the plan is not what its name says", where=where, expected=plan_key(tasks)
        )
    return tasks


def task_at(tasks: Sequence[TaskSpec], index: int, *, root: str) -> TaskSpec:
    """Task `index` of a plan, for a process whose platform store is at `root`.

    Raises:
        ConfigurationError: no such index, or the task is for another store.
    """
    if not 0 <= index < len(tasks):
        raise ConfigurationError(
            "the plan has no such task", stored=index, expected=f"0 to {len(tasks) - 1}"
        )
    task = tasks[index]
    inside = task.store == root or task.store.startswith(f"{root.rstrip('/')}/")
    if not inside or ".." in task.store.split("/"):
        raise ConfigurationError(
            "the task is for another store than this process writes to",
            stored=task.store,
            expected=f"{root} or a folder below it",
            remedy="set PLATFORM_STORE_URL as it is where the plan was made",
        )
    return task


def write_outcome(store: ObjectStore, plan: str, index: int, outcome: TaskOutcome) -> None:
    """Write the record, or the failure, of a plan's task. A record removes an older failure."""
    data = outcome.model_dump_json().encode()
    if isinstance(outcome, TaskFailed):
        store.put(failure_key(plan, index), data)
        return
    store.put(record_key(plan, index), data)
    store.delete([failure_key(plan, index)])


def read_outcome(store: ObjectStore, plan: str, index: int, task: TaskSpec) -> TaskOutcome | None:
    """The record of a plan's task, else its failure, else None: it has not ended.

    Raises:
        IntegrityError: the record is damaged, or of another task.
    """
    for key, kind in (
        (record_key(plan, index), TaskRecord),
        (failure_key(plan, index), TaskFailed),
    ):
        if not store.exists(key):
            continue
        try:
            outcome = kind.model_validate_json(store.get(key)[0])
        except ValidationError as error:
            raise IntegrityError(
                "the outcome of a task is damaged",
                where=f"{store.url}/{key}",
                remedy="delete this file and run again",
            ) from error
        if outcome.task != task.digest:
            raise IntegrityError(
                "the outcome is of another task",
                where=f"{store.url}/{key}",
                stored=outcome.task,
                expected=task.digest,
                remedy="delete this file and run again",
            )
        return outcome
    return None
