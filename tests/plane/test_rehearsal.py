"""The sample's gateway in a real LiteLLM proxy, with a small real model, through Dagster."""

import os
from decimal import Decimal
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from tests.declared import definitions, use_settings
from tests.knowledge import settings_under
from tests.platform_sample import SAMPLES

pytestmark = [pytest.mark.plane, pytest.mark.timeout(280)]


def home_with_environments(tmp_path: Path) -> Path:
    """A home of this test's own; environments are kept between runs where PP_TEST_HOME says."""
    home = tmp_path / "home"
    home.mkdir()
    if kept := os.environ.get("PP_TEST_HOME"):
        there = Path(kept) / "environments"
        there.mkdir(parents=True, exist_ok=True)
        (home / "environments").symlink_to(there)
    return home


def test_each_model_answers_with_its_trace_and_its_cost_on_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Gateway -> model -> trace: caller, catalogue and trace agree on what it cost."""
    use_settings(monkeypatch, settings_under(home_with_environments(tmp_path), None))
    text = (SAMPLES / "models" / "defs.yaml").read_text(encoding="utf-8")
    with definitions(text) as defs, dg.DagsterInstance.ephemeral() as instance:
        wanted = [dg.AssetKey(["models", "manifests"]), dg.AssetKey(["models", "rehearsal"])]
        done = defs.resolve_job_def("models_apply").execute_in_process(
            instance=instance, asset_selection=wanted
        )
        assert done.success
        pages = {
            one.materialization.asset_key.path[-1]: one.materialization.metadata
            for one in done.get_asset_materialization_events()
        }
        checks = {one.check_name: one for one in done.get_asset_check_evaluations()}
    page: dict[str, Any] = {name: one.value for name, one in pages["rehearsal"].items()}
    assert checks["every_model_answers"].passed, checks["every_model_answers"].description
    assert page["models"] == page["right"] == 3
    assert Decimal(str(page["cost_usd"])) > 0
    for model in ("small-", "medium-0", "large-0"):
        assert model in str(page["requests"])
