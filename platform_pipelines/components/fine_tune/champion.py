"""The check that finds a `champion` which no evidence made, and its job and schedule."""

from dataclasses import replace
from functools import partial

import dagster as dg

from platform_pipelines.components.fine_tune.policy import job_tags, stage_policy
from platform_pipelines.components.shared.champion import DESCRIPTION, FOLLOWS, follows_result
from platform_pipelines.components.shared.jobs import asset_job, stopped_schedule
from platform_pipelines.components.shared.running import run_stage
from platform_pipelines.core.fine_tune.declaration import FineTuneSpec
from platform_pipelines.stages.fine_tune.registration import STAGE, follow_the_log
from platform_pipelines.stages.fine_tune.workspace import open_workspace

TIMEOUT_SECONDS = 600
HOURLY = "17 * * * *"


def build_check(spec: FineTuneSpec) -> dg.AssetChecksDefinition:
    """MLflow has no compare-and-swap and forgets aliases silently; the release log is the truth."""
    key = dg.AssetKey([spec.name, STAGE])

    policy = stage_policy(spec, STAGE)
    pointer = replace(policy, pool=f"{policy.pool}_pointer", timeout_seconds=TIMEOUT_SECONDS)

    @dg.asset_check(name=FOLLOWS, asset=key, description=DESCRIPTION, **pointer.step_arguments())
    def champion_follows_the_log(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
        opened = partial(open_workspace, spec)
        _, was = run_stage(context, opened, follow_the_log, name=spec.name)
        return follows_result(key, was)

    return champion_follows_the_log


def build_schedule(spec: FineTuneSpec) -> dg.ScheduleDefinition:
    """`<name>_champion` every hour; off until switched on."""
    job = asset_job(
        f"{spec.name}_champion",
        dg.AssetSelection.checks(dg.AssetCheckKey(dg.AssetKey([spec.name, STAGE]), FOLLOWS)),
        description=f"Find a `champion` of {spec.name} that was set by hand, and put it right.",
        tags=job_tags(spec),
    )
    return stopped_schedule(
        f"{spec.name}_champion_hourly",
        job,
        cron=HOURLY,
        timezone="UTC",
        description=f"Does `champion` of {spec.name} follow the release log?",
    )
