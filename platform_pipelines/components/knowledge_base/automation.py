"""Jobs and schedule of a knowledge base. The schedule is off until switched on."""

from typing import Any

import dagster as dg

from platform_pipelines.components.knowledge_base.policy import job_tags, pool_name
from platform_pipelines.components.knowledge_base.running import run_stage
from platform_pipelines.components.shared.policy import RETRIES
from platform_pipelines.components.shared.resource import PLATFORM
from platform_pipelines.core.knowledge_base.declaration import KnowledgeBaseSpec
from platform_pipelines.stages.knowledge_base.release import roll_back
from platform_pipelines.stages.knowledge_base.workspace import STAGES

ROLLBACK_SECONDS = 600

# The console shows what the stages say, not every event of Dagster; the web UI has those.
QUIET = {"loggers": {"console": {"config": {"log_level": "INFO"}}}}


class RollbackConfig(dg.Config):
    """To which revision, and why. Empty: the newest earlier one whose index is kept."""

    to_revision: str = ""
    reason: str = ""


def build_refresh_job(spec: KnowledgeBaseSpec) -> Any:
    """`<name>_refresh`: all six assets, in this order, in one process."""
    return dg.define_asset_job(
        name=f"{spec.name}_refresh",
        selection=dg.AssetSelection.assets(*([spec.name, stage] for stage in STAGES)),
        description=f"Bring {spec.name} up to its source; release it if the gate passes.",
        executor_def=dg.in_process_executor,  # 0.05 s a step; 5 s in a process of its own
        tags=job_tags(spec),
        config=QUIET,
    )


def build_rollback_job(spec: KnowledgeBaseSpec) -> dg.JobDefinition:
    """`<name>_rollback`: move the pointer back to an earlier release."""

    @dg.op(
        name=f"{spec.name}_roll_back",
        description="Append a rollback to the release log and point the alias at it.",
        pool=f"{pool_name(spec)}_pointer",  # it does not wait behind a refresh
        retry_policy=RETRIES,
        required_resource_keys={PLATFORM},
    )
    def roll_back_op(context: dg.OpExecutionContext, config: RollbackConfig) -> None:
        _, entry = run_stage(
            context,
            spec,
            lambda w: roll_back(w, to_revision=config.to_revision or None, reason=config.reason),
            timeout_seconds=ROLLBACK_SECONDS,
        )
        context.log.info("%s: readers now follow revision %s", spec.name, entry.revision)
        context.add_output_metadata(
            {"revision": entry.revision, "collection": entry.target, "release": entry.sequence}
        )

    @dg.job(
        name=f"{spec.name}_rollback",
        description=f"Move {spec.name} back to an earlier release that is still kept.",
        executor_def=dg.in_process_executor,
        tags=job_tags(spec),
    )
    def rollback_job() -> None:
        roll_back_op()

    return rollback_job


def build_schedule(spec: KnowledgeBaseSpec, job: Any) -> dg.ScheduleDefinition:
    """`<name>_schedule`: the declared cron; off until switched on."""
    return dg.ScheduleDefinition(
        name=f"{spec.name}_schedule",
        job=job,
        cron_schedule=spec.refresh.cron,
        execution_timezone=spec.refresh.timezone,
        default_status=dg.DefaultScheduleStatus.STOPPED,
        description=f"Refresh {spec.name}: `{spec.refresh.cron}` {spec.refresh.timezone}.",
        tags=job_tags(spec),
    )
