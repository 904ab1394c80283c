"""A declared batch inference as definitions, materialised; and what a wrong one is told."""

from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml

from platform_pipelines.components.batch_inference.component import declared_spec
from platform_pipelines.errors import ConfigurationError
from tests.batches import prompt_lines, said
from tests.declared import definitions
from tests.knowledge import settings_under
from tests.servers.chat_server import ChatServer

TYPE = "platform_pipelines.components.BatchInference"
MODEL = {"url": "http://m/v1", "model": "m", "input_per_million": 1, "output_per_million": 2}
GIVEN: dict[str, Any] = {"name": "nightly", "prompts": "prompts", "language_model": MODEL}


def test_it_runs_at_two_and_says_what_it_cost(tmp_path: Path) -> None:
    """The asset's page: counts, failures, cost, a picture."""
    (tmp_path / "prompts").mkdir()
    (tmp_path / "prompts" / "a.jsonl").write_text(prompt_lines(12) + "{}\n")
    with ChatServer(said) as server:
        prices = {"input_per_million": 1000, "output_per_million": 2}
        model = {"url": server.url, "model": "m", **prices}
        prompts = (tmp_path / "prompts").as_uri()
        given = {"type": TYPE, "attributes": {**GIVEN, "language_model": model, "prompts": prompts}}
        with definitions(
            yaml.safe_dump(given), settings=settings_under(tmp_path / "home", None)
        ) as made:
            schedule = made.resolve_schedule_def("nightly_nightly")
            assert (schedule.cron_schedule, schedule.execution_timezone) == ("0 2 * * *", "UTC")
            assert schedule.default_status is dg.DefaultScheduleStatus.STOPPED
            result = made.resolve_job_def("nightly_batch").execute_in_process()
    assert result.success
    (found,) = result.asset_materializations_for_node("nightly__answers")
    page = found.metadata
    assert page["answered"].value == 12
    assert page["cost_usd"].value == 1.2
    assert "line 13" in str(page["failures"].value)
    assert "data:image/png" in str(page["seconds_an_answer"].value)
    (check,) = result.get_asset_check_evaluations()
    assert not check.passed
    assert "1 of 13" in str(check.description)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"answers": "prompts/answers"}, "answers are written among the prompts"),
        ({"cron": "61 2 * *"}, "cron = '61 2 * *': has 4 fields, not five"),
        ({"timezone": "Mars/Base"}, "timezone = 'Mars/Base': no time zone has this name"),
        ({"language_model": {**MODEL, "url": "m:8000"}}, "language_model.url"),
        (
            {"language_model": {"url": "http://m/v1", "model": "m"}},
            "language_model.input_per_million: is missing",
        ),
        ({"batch": 0}, "batch = 0"),
        ({"concurency": 2}, "concurency = 2: no such field"),
    ],
)
def test_a_wrong_one_is_told_its_field(tmp_path: Path, change: dict[str, Any], told: str) -> None:
    """At load, with what is allowed."""
    with pytest.raises(ConfigurationError) as refused:
        declared_spec({**GIVEN, **change}, tmp_path)
    assert told in str(refused.value)
