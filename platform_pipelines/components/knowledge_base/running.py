"""Running a stage of a knowledge base inside a Dagster step."""

from collections.abc import Callable
from functools import partial
from typing import TypeVar

import dagster as dg

from platform_pipelines.components.shared import running
from platform_pipelines.core.knowledge_base.declaration import KnowledgeBaseSpec
from platform_pipelines.stages.knowledge_base.workspace import Workspace, open_workspace

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
    opened = partial(open_workspace, spec)
    return running.run_stage(context, opened, work, name=spec.name, timeout_seconds=timeout_seconds)
