"""A declared experiment as definitions, run through its job; and what a wrong one is told."""

from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml

from platform_pipelines.components.experiment.component import declared_spec
from platform_pipelines.errors import ConfigurationError
from tests.declared import definitions
from tests.experiments import GIVEN, write_days
from tests.knowledge import settings_under

TYPE = "platform_pipelines.components.Experiment"


def test_it_is_looked_at_daily_and_shows_the_gain(tmp_path: Path) -> None:
    """Both assets with their pages, checks, a picture, and the shares that routers read."""
    write_days(tmp_path / "observations", 5, effect=0.1)
    observations = (tmp_path / "observations").as_uri()
    attributes = {**GIVEN, "observations": observations, "promote": "winner"}
    with definitions(
        yaml.safe_dump({"type": TYPE, "attributes": attributes}),
        settings=settings_under(tmp_path / "home", None),
    ) as made:
        schedule = made.resolve_schedule_def("models_ab_daily")
        assert schedule.default_status is dg.DefaultScheduleStatus.STOPPED
        assert made.resolve_job_def("models_ab_rollback")
        result = made.resolve_job_def("models_ab_analyse").execute_in_process()
    assert result.success
    (looks,) = result.asset_materializations_for_node("models_ab__looks")
    assert "data:image/png" in str(looks.metadata["gain"].value)
    assert "2024-11-01" in str(looks.metadata["looks"].value)
    (verdict,) = result.asset_materializations_for_node("models_ab__verdict")
    assert verdict.metadata["state"].value in ("won", "running")
    checks = {c.check_name: c.passed for c in result.get_asset_check_evaluations()}
    assert checks == {"assignment_is_right": True, "nobody_is_harmed": True}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"arms": {"a": {"share": 50, "target": "x"}, "b": {"share": 40, "target": "y"}}},
         "they are 100 together"),
        ({"arms": {"a": {"share": 50, "target": "x"}}}, "arms"),
        ({"baseline": "none"}, "baseline 'none' is not among big, small"),
        ({"decides": "beauty"}, "decides 'beauty' is not among"),
        ({"metrics": {"satisfaction": {"margin": 0}}}, "metrics.satisfaction.margin = 0"),
        ({"start": "soon"}, "start = 'soon'"),
        ({"promote": "always"}, "promote = 'always'"),
        ({"error": 0.7}, "error = 0.7"),
    ],
)  # fmt: skip
def test_a_wrong_one_is_told_its_field(tmp_path: Path, change: dict[str, Any], told: str) -> None:
    """At load, with what is allowed."""
    with pytest.raises(ConfigurationError) as refused:
        declared_spec({**GIVEN, "observations": "o", **change}, tmp_path)
    assert told in str(refused.value)
