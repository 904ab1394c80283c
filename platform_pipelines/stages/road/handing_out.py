"""Handing a stage's tasks to a backend and following them: what every stage of shards does."""

from collections.abc import Callable, Iterator, Sequence

from platform_pipelines.compute.tasks import Backend, TaskFailed, TaskRecord, TaskSpec


def records_of(
    backend: Backend,
    stage: str,
    tasks: Sequence[TaskSpec],
    *,
    profile: str,
    check: Callable[[], None],
    progress: Callable[[str], None],
) -> Iterator[TaskRecord]:
    """The record of every task, as they end. The first failure ends what still runs.

    `check` raises when the stage should not go on; it is called whenever anything moved.

    Raises:
        PlatformError: what a task raised, what `check` raised, or the backend failed.
    """

    def moved(message: str) -> None:
        check()
        progress(message)

    outcomes = backend.run(stage, tasks, profile=profile, progress=moved)
    try:
        for outcome in outcomes:
            check()
            if isinstance(outcome, TaskFailed):
                raise outcome.to_error()
            yield outcome
    finally:
        if (close := getattr(outcomes, "close", None)) is not None:
            close()
