"""The days that a page of costs is about."""

from datetime import date, timedelta
from zoneinfo import ZoneInfo

from platform_pipelines.stages.cost.workspace import Workspace


def days_up_to_yesterday(workspace: Workspace) -> list[date]:
    """The days of yesterday's month, up to yesterday, by the declared time zone."""
    now = workspace.clock.now().astimezone(ZoneInfo(workspace.spec.timezone)).date()
    last = now - timedelta(days=1)
    return [last.replace(day=number) for number in range(1, last.day + 1)]
