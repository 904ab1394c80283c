"""Jobs and schedule of a knowledge base. The schedule is off until switched on."""

from functools import partial
from typing import Any

import dagster as dg

from platform_pipelines.components.knowledge_base.policy import job_tags, pool_name
from platform_pipelines.components.shared import jobs
from platform_pipelines.components.shared.jobs import asset_job, stopped_schedule
from platform_pipelines.core.knowledge_base.declaration import KnowledgeBaseSpec
from platform_pipelines.stages.knowledge_base.release import roll_back
from platform_pipelines.stages.knowledge_base.workspace import STAGES, open_workspace

ROLLBACK_SECONDS = 600

# The console shows what the stages say, not every event of Dagster; the web UI has those.


def build_refresh_job(spec: KnowledgeBaseSpec) -> Any:
    """`<name>_refresh`: all six assets, in this order, in one process."""
    return asset_job(
        f"{spec.name}_refresh",
        dg.AssetSelection.assets(*([spec.name, stage] for stage in STAGES)),
        description=f"Bring {spec.name} up to its source; release it if the gate passes.",
        tags=job_tags(spec),
    )


def build_rollback_job(spec: KnowledgeBaseSpec) -> dg.JobDefinition:
    """`<name>_rollback`: move the pointer back to an earlier release."""
    return jobs.build_rollback_job(
        spec.name,
        partial(open_workspace, spec),
        lambda w, to, why: roll_back(w, to_revision=to, reason=why),
        description=f"Move {spec.name} back to an earlier release that is still kept.",
        pool=pool_name(spec),
        tags=job_tags(spec),
        timeout_seconds=ROLLBACK_SECONDS,
    )


def build_schedule(spec: KnowledgeBaseSpec, job: Any) -> dg.ScheduleDefinition:
    """`<name>_schedule`: the declared cron; off until switched on."""
    return stopped_schedule(
        f"{spec.name}_schedule",
        job,
        cron=spec.refresh.cron,
        timezone=spec.refresh.timezone,
        description=f"Refresh {spec.name}: `{spec.refresh.cron}` {spec.refresh.timezone}.",
        tags=job_tags(spec),
    )
