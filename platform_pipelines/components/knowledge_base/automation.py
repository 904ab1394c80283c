"""Jobs, schedule and sensor of a knowledge base. Schedule and sensor are off until switched on."""

from typing import Any

import dagster as dg

from platform_pipelines.components.knowledge_base.running import run_stage
from platform_pipelines.core.declaration import KnowledgeBaseSpec
from platform_pipelines.errors import PlatformError
from platform_pipelines.policy import RETRIES, job_tags, pool_name
from platform_pipelines.settings import load_settings
from platform_pipelines.stages.documents import source_fingerprint
from platform_pipelines.stages.release import roll_back
from platform_pipelines.stages.workspace import STAGES, open_workspace

ROLLBACK_SECONDS = 600
SENSOR_SECONDS = 60

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
            {"revision": entry.revision, "collection": entry.collection, "release": entry.sequence}
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


def build_sensor(spec: KnowledgeBaseSpec, job: Any) -> dg.SensorDefinition:
    """`<name>_watch`: refresh when the source's listing changed; off until switched on."""

    @dg.sensor(
        name=f"{spec.name}_watch",
        job=job,
        minimum_interval_seconds=SENSOR_SECONDS,
        default_status=dg.DefaultSensorStatus.STOPPED,
        description=f"Refresh {spec.name} when a document is added, changed or removed.",
    )
    def watch(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        try:
            seen = source_fingerprint(open_workspace(spec, load_settings()))
        except PlatformError as error:
            if error.terminal:
                raise
            return dg.SkipReason(f"the source does not answer now: {error.what}")
        number, _, last = (context.cursor or "0:").partition(":")
        count = int(number) if number.isdecimal() else 0
        if seen == last:
            return dg.SkipReason("no document was added, changed or removed")
        # A run key is used once for ever. The number lets a source come back to what it was, and a
        # tick that died before its cursor was kept asks for the same run again.
        cursor = f"{count + 1}:{seen}"
        request = dg.RunRequest(run_key=cursor, tags=job_tags(spec))
        return dg.SensorResult(run_requests=[request], cursor=cursor)

    return watch
