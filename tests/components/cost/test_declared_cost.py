"""A declared page of costs: a batch's answers of yesterday on it, and a budget that is over."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from platform_pipelines.components.cost.component import declared_spec
from platform_pipelines.core.road.usage import Usage
from platform_pipelines.errors import ConfigurationError
from platform_pipelines.stages.road.connect import open_platform_store
from platform_pipelines.stages.road.usage import write_usage
from tests.declared import definitions
from tests.knowledge import settings_under

TYPE = "platform_pipelines.components.Cost"
GIVEN: dict[str, Any] = {
    "name": "costs",
    "models": {"m": {"input_per_million": 0.1, "output_per_million": 0.4}},
    "budgets": {"acme": 0.5, "beta": 10},
}


def test_yesterday_is_on_the_page_and_a_spent_budget_is_an_alert(tmp_path: Path) -> None:
    """Tables at every level, a picture, and both checks."""
    settings = settings_under(tmp_path / "home", None)
    yesterday = (datetime.now(UTC) - timedelta(days=1)).date().isoformat()
    usage = [
        Usage("1", "acme", "m", "nightly", 4_000_000, 500_000),
        Usage("2", "beta", "m", "", 1_000_000, 0),
    ]
    write_usage(open_platform_store(settings), yesterday, "batch", usage)
    with definitions(
        yaml.safe_dump({"type": TYPE, "attributes": GIVEN}), settings=settings
    ) as made:
        assert made.resolve_schedule_def("costs_daily").cron_schedule == "15 1 * * *"
        result = made.resolve_job_def("costs_sum").execute_in_process()
    (found,) = result.asset_materializations_for_node("costs__ledger")
    page = found.metadata
    assert page["yesterday_usd"].value == page["month_usd"].value == 0.7
    assert "| acme | 0.60 | 85.7 |" in str(page["by_tenant"].value)
    assert "| nightly | 0.60 |" in str(page["by_run"].value)
    assert "data:image/png" in str(page["days"].value)
    checks = {c.check_name: c for c in result.get_asset_check_evaluations()}
    assert checks["it_adds_up"].passed
    assert not checks["budgets_hold"].passed
    assert "acme: 0.60 of 0.5 $ (120%)" in str(checks["budgets_hold"].description)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"models": {}}, "models"),
        ({"models": {"m": {"input_per_million": -1, "output_per_million": 0}}},
         "models.m.input_per_million = -1"),
        ({"budgets": {"acme": 0}}, "budgets.acme is not over 0"),
        ({"instances": {"x": "-1"}}, "instances.x is below 0"),
        ({"cron": "never"}, "cron"),
        ({"warn_at": 2}, "warn_at = 2"),
    ],
)  # fmt: skip
def test_a_wrong_one_is_told_its_field(tmp_path: Path, change: dict[str, Any], told: str) -> None:
    """At load, with what is allowed."""
    with pytest.raises(ConfigurationError) as refused:
        declared_spec({**GIVEN, **change}, tmp_path)
    assert told in str(refused.value)
