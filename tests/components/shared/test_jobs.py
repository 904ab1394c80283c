"""Schedules are off until somebody switches them on, and a cron that cannot be read is named."""

import dagster as dg
import pytest

from platform_pipelines.components.shared.jobs import asset_job, stopped_schedule
from platform_pipelines.core.road.refreshing import cron_problem
from platform_pipelines.errors import ConfigurationError

JOB = asset_job("nightly", dg.AssetSelection.all(), description="All.", tags={})


def schedule(cron: str | tuple[str, ...]) -> dg.ScheduleDefinition:
    return stopped_schedule("nightly_schedule", JOB, cron=cron, timezone="UTC", description="It.")


@pytest.mark.parametrize(
    "cron",
    [
        "60 * * * *", "0 24 * * *", "0 0 0 * *", "0 0 * 13 *", "0 0 * JANUARY *", "0 0 * * 8",
        "*/0 * * * *", "1- * * * *", "x * * * *", "30-x * * * *",
    ],
)  # fmt: skip
def test_a_cron_that_dagster_cannot_read_is_named_with_what_is_allowed(cron: str) -> None:
    """A schedule that cannot be read must fail where it is declared, not in the daemon."""
    assert cron_problem(cron) == ""
    with pytest.raises(ConfigurationError) as refused:
        schedule(cron)
    assert cron in str(refused.value.stored)
    assert "hour 0-23" in str(refused.value)
    assert "nightly_schedule" in str(refused.value)


def test_one_of_several_that_cannot_be_read_is_refused_too() -> None:
    """An evaluation has two."""
    with pytest.raises(ConfigurationError):
        schedule(("0 6 * * *", "0 25 * * *"))


def test_a_schedule_is_off_until_it_is_switched_on() -> None:
    """Opening the UI must not start runs on somebody's laptop."""
    made = schedule("@daily")
    assert made.default_status is dg.DefaultScheduleStatus.STOPPED
    assert made.execution_timezone == "UTC"
