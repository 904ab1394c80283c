"""Jobs and schedules: of assets, and of one op (rolling back, stopping).

Every job runs in one process (a step costs 0.05 s there, 5 s in a process of its own) and prints
what people read; every schedule is off until it is switched on.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import dagster as dg

from platform_pipelines.components.shared.policy import RETRIES, TIMEOUT_TAG, tags_of
from platform_pipelines.components.shared.resource import RESOURCES
from platform_pipelines.components.shared.running import Opener, Workspace, run_stage
from platform_pipelines.core.road.declarations import ScheduledSpec
from platform_pipelines.core.road.releases import ReleaseEntry
from platform_pipelines.errors import ConfigurationError

QUIET = {"loggers": {"console": {"config": {"log_level": "INFO"}}}}


def asset_job(
    name: str, selection: dg.AssetSelection, *, description: str, tags: Mapping[str, str]
) -> Any:
    """A job of assets, or of checks."""
    return dg.define_asset_job(
        name=name,
        selection=selection,
        description=description,
        executor_def=dg.in_process_executor,
        tags=dict(tags),
        config=QUIET,
    )


def stopped_schedule(
    name: str,
    job: Any,
    *,
    cron: str | Sequence[str],
    timezone: str,
    description: str,
    tags: Mapping[str, str] | None = None,
) -> dg.ScheduleDefinition:
    """A schedule that a person switches on.

    Raises:
        ConfigurationError: Dagster cannot read the cron, or does not know the time zone.
    """
    try:
        return dg.ScheduleDefinition(
            name=name,
            job=job,
            cron_schedule=cron if isinstance(cron, str) else list(cron),
            execution_timezone=timezone,
            default_status=dg.DefaultScheduleStatus.STOPPED,
            description=description,
            tags=dict(tags) if tags else None,
        )
    except dg.DagsterInvalidDefinitionError as error:  # it knows values, not our fields
        raise ConfigurationError(
            f"the schedule {name} cannot be read: {error}",
            stored=f"cron = {cron!r}, timezone = {timezone!r}",
            expected="a cron of five fields: minute 0-59, hour 0-23, day 1-31, month 1-12, "
            "weekday 0-7",
            remedy="correct `cron`",
        ) from error


def scheduled(
    component: str,
    spec: ScheduledSpec,
    assets: Sequence[dg.AssetsDefinition],
    *,
    job: str,
    schedule: str,
    does: str,
    more_jobs: Sequence[dg.JobDefinition] = (),
) -> dg.Definitions:
    """A component that runs by the clock: its assets, one job of them all, and its schedule."""
    keys = [key for asset in assets for key in asset.keys]
    made = asset_job(
        f"{spec.name}_{job}",
        dg.AssetSelection.assets(*keys),
        description=does,
        tags=tags_of(component, spec),
    )
    clock = stopped_schedule(
        f"{spec.name}_{schedule}", made, cron=spec.cron, timezone=spec.timezone, description=does
    )
    return dg.Definitions(assets=assets, jobs=[made, *more_jobs], schedules=[clock])


class RollbackConfig(dg.Config):
    """To which revision, and why. Empty: the newest earlier one that is kept."""

    to_revision: str = ""
    reason: str = ""


def job_of(
    work: Callable[..., None],
    *,
    name: str,
    op_name: str,
    description: str,
    pool: str,
    tags: Mapping[str, str],
    timeout_seconds: float,
) -> dg.JobDefinition:
    """A job of one op that needs the platform's resources, in one process."""
    made = dg.op(
        name=op_name,
        description=description,
        pool=pool,
        retry_policy=RETRIES,
        required_resource_keys=set(RESOURCES),
        tags={TIMEOUT_TAG: str(timeout_seconds)},
    )(work)

    @dg.job(
        name=name, description=description, executor_def=dg.in_process_executor, tags=dict(tags)
    )
    def one_op_job() -> None:
        made()

    return one_op_job


def build_rollback_job(
    name: str,
    open_workspace: Opener[Workspace],
    roll_back: Callable[[Workspace, str | None, str], ReleaseEntry],
    *,
    description: str,
    pool: str,
    tags: Mapping[str, str],
    timeout_seconds: float,
) -> dg.JobDefinition:
    """`<name>_rollback`: append a rollback to the release log, and let readers follow it.

    `roll_back` is given the workspace, the revision or None, and the reason. The pool is one of its
    own: a rollback does not wait behind a build.
    """

    def roll_back_op(context: dg.OpExecutionContext, config: RollbackConfig) -> None:
        def work(workspace: Workspace) -> ReleaseEntry:
            return roll_back(workspace, config.to_revision or None, config.reason)

        _, entry = run_stage(context, open_workspace, work, name=name)
        context.log.info("%s: readers now follow revision %s", name, entry.revision)
        page: dict[str, Any] = {
            "revision": entry.revision, "target": entry.target, "release": entry.sequence,
        }  # fmt: skip
        context.add_output_metadata(page)

    return job_of(
        roll_back_op,
        name=f"{name}_rollback",
        op_name=f"{name}_roll_back",
        description=description,
        pool=f"{pool}_pointer",
        tags=tags,
        timeout_seconds=timeout_seconds,
    )
