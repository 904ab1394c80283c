"""A sensor that finds Jobs which no run follows, and the job that deletes them.

Where tasks run on this machine there is nothing to sweep: the sensor skips.
"""

import dagster as dg

from platform_pipelines.components.shared.jobs import job_of
from platform_pipelines.components.shared.policy import as_failure, run_tags
from platform_pipelines.components.shared.resource import RESOURCES, settings_of
from platform_pipelines.errors import PlatformError
from platform_pipelines.stages.road.backends import open_jobs, runs_in_cluster
from platform_pipelines.stages.road.sweeping import find_orphans, sweep_orphans

SWEEP = "orphaned_jobs_sweep"
SENSOR_SECONDS = 300
TIMEOUT_SECONDS = 300
TAG_PREFIX = "platform/"
_UNDER_WAY = [
    status for status in dg.DagsterRunStatus
    if status.value not in ("SUCCESS", "FAILURE", "CANCELED")
]  # fmt: skip


class SweepConfig(dg.Config):
    """Which Jobs were found twice, as `name/uid`."""

    jobs: list[str]


def build_sweeping() -> dg.Definitions:
    """The sensor `orphaned_jobs`, off until switched on, and its job."""
    job = job_of(
        _sweep,
        name=SWEEP,
        op_name="sweep_orphans",
        description="Delete the Jobs of stages that no run follows any more.",
        pool=SWEEP,
        tags=run_tags("sweep", "jobs", timeout_seconds=TIMEOUT_SECONDS),
        timeout_seconds=TIMEOUT_SECONDS,
    )

    @dg.sensor(
        name="orphaned_jobs",
        job_name=SWEEP,
        required_resource_keys=set(RESOURCES),
        minimum_interval_seconds=SENSOR_SECONDS,
        default_status=dg.DefaultSensorStatus.STOPPED,
        description="Find Jobs that no run follows; those found twice are deleted. Only in a "
        "cluster (PLATFORM_COMPUTE=kubernetes).",
    )
    def orphaned_jobs(
        context: dg.SensorEvaluationContext,
    ) -> dg.SensorResult | dg.SkipReason:
        settings = settings_of(context)
        if not runs_in_cluster(settings):
            return dg.SkipReason("tasks run on this machine: no Job can be left over")
        try:
            found = find_orphans(open_jobs(settings), _busy(context.instance))
        except PlatformError as error:
            raise as_failure(error) from error
        twice = sorted(set(found) & set((context.cursor or "").split()))
        if not twice:
            waits = f"{len(found)} Jobs have no run; they are looked at once more"
            context.update_cursor(" ".join(found))
            return dg.SkipReason(waits if found else "every Job has its run")
        request = dg.RunRequest(
            run_key=" ".join(twice),
            run_config=dg.RunConfig(ops={"sweep_orphans": SweepConfig(jobs=twice)}),
        )
        return dg.SensorResult(run_requests=[request], cursor=" ".join(found))

    return dg.Definitions(jobs=[job], sensors=[orphaned_jobs])


def _sweep(context: dg.OpExecutionContext, config: SweepConfig) -> None:
    try:
        jobs = open_jobs(settings_of(context))
        gone = sweep_orphans(jobs, config.jobs, _busy(context.instance))
    except PlatformError as error:
        raise as_failure(error) from error
    table = "\n".join(f"- `{name}`" for name in gone) or "They had ended, or have a run again."
    context.log.info("deleted %d of %d Jobs", len(gone), len(config.jobs))
    context.add_output_metadata({"deleted": len(gone), "jobs": dg.MetadataValue.md(table)})


def _busy(instance: dg.DagsterInstance) -> set[str]:
    """Whose runs are under way, queued ones too: names of knowledge bases, models, …"""
    runs = instance.get_runs(filters=dg.RunsFilter(statuses=_UNDER_WAY))
    return {value for run in runs for key, value in run.tags.items() if key.startswith(TAG_PREFIX)}
