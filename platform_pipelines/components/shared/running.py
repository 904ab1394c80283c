"""Running a stage inside a Dagster step: settings, the log, errors as Dagster should see them."""

import re
from collections.abc import Callable
from typing import Protocol, TypeVar

import dagster as dg
from dagster._core.errors import DagsterExecutionInterruptedError  # not exported: see policy.py

from platform_pipelines.components.shared.policy import RunInterruptedError, as_failure, seconds_of
from platform_pipelines.components.shared.resource import settings_of
from platform_pipelines.errors import PlatformError, scrub_causes
from platform_pipelines.gateways.clock import Clock, SystemClock
from platform_pipelines.settings import Settings
from platform_pipelines.stages.road import workspace as road

Result = TypeVar("Result")
Workspace = TypeVar("Workspace", bound=road.Workspace)
Workspace_co = TypeVar("Workspace_co", bound=road.Workspace, covariant=True)

SECONDS_BETWEEN = 1.0
_DIGITS = re.compile(r"\d+")


class Progress:
    """Says what a stage says, a count at most once a second; the last word is never lost.

    A count is replaced by a newer one of the same words only: what is said once is said.
    """

    def __init__(self, say: Callable[[str], None], clock: Clock) -> None:
        self._say = say
        self._clock = clock
        self._next = clock.monotonic()
        self._kept: str | None = None

    def __call__(self, message: str) -> None:
        """Say it now, or keep it until something newer or the end replaces it."""
        if self._kept is not None and _words(self._kept) != _words(message):
            self.flush()
        if self._clock.monotonic() < self._next:
            self._kept = message
            return
        self._kept = None
        self._next = self._clock.monotonic() + SECONDS_BETWEEN
        self._say(message)

    def flush(self) -> None:
        """Say what was kept."""
        if self._kept is not None:
            self._say(self._kept)
            self._kept = None


def _words(message: str) -> str:
    return _DIGITS.sub("", message)


class Opener(Protocol[Workspace_co]):
    """Opens a component's workspace for one run."""

    def __call__(
        self,
        settings: Settings,
        *,
        run_id: str,
        progress: Callable[[str], None],
        timeout_seconds: float | None,
    ) -> Workspace_co:
        """The workspace."""
        ...


def run_stage(
    context: dg.AssetExecutionContext | dg.OpExecutionContext | dg.AssetCheckExecutionContext,
    open_workspace: Opener[Workspace],
    work: Callable[[Workspace], Result],
    *,
    name: str,
) -> tuple[Workspace, Result]:
    """Do the work of a stage or of a rollback, in a step that requires the platform's resources.

    It ends after the time-out that the step's tag `platform/timeout_seconds` says.

    Raises:
        dg.Failure: a terminal error, not to be tried again; a transient one is raised as it is.
    """
    progress = Progress(context.log.info, SystemClock())
    try:
        workspace = open_workspace(
            settings_of(context),
            run_id=context.run.run_id,
            progress=progress,
            timeout_seconds=seconds_of(context.op_def.tags),
        )
        result = work(workspace)
    except PlatformError as error:
        scrub_causes(error)
        raise as_failure(error) from error
    except (KeyboardInterrupt, DagsterExecutionInterruptedError) as interrupt:
        raise RunInterruptedError(
            f"{name}: interrupted; what was finished is kept, and the next run goes on there"
        ) from interrupt
    finally:
        progress.flush()
    return workspace, result
