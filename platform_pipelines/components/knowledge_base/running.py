"""Running a stage inside a Dagster step: settings, the log, errors as Dagster should see them."""

from collections.abc import Callable
from typing import TypeVar

import dagster as dg

from platform_pipelines.core.declaration import KnowledgeBaseSpec
from platform_pipelines.errors import PlatformError
from platform_pipelines.policy import as_failure
from platform_pipelines.settings import load_settings
from platform_pipelines.stages.workspace import Workspace, open_workspace

Result = TypeVar("Result")


def run_stage(
    context: dg.AssetExecutionContext | dg.OpExecutionContext,
    spec: KnowledgeBaseSpec,
    work: Callable[[Workspace], Result],
    *,
    timeout_seconds: float,
) -> tuple[Workspace, Result]:
    """Do the work of a stage or of a rollback.

    Raises:
        dg.Failure: a terminal error, not to be tried again; a transient one is raised as it is.
    """
    try:
        workspace = open_workspace(
            spec,
            load_settings(),
            run_id=context.run_id,
            progress=context.log.info,
            timeout_seconds=timeout_seconds,
        )
        return workspace, work(workspace)
    except PlatformError as error:
        raise as_failure(error) from error
