"""A laptop without a cluster: what is declared is rendered and held to the rules, and says so."""

from dataclasses import replace
from pathlib import Path

import dagster as dg
import pytest

from platform_pipelines.core.tenant.render import render_tenant
from platform_pipelines.errors import ConfigurationError
from platform_pipelines.machine import is_pod
from platform_pipelines.stages.road.applied import (
    find_drift,
    refresh_applied,
    refresh_manifests,
    roll_back_applied,
)
from platform_pipelines.stages.road.clusters import Applied, open_applied
from tests.declared import definitions
from tests.knowledge import settings_under
from tests.platform_sample import SAMPLES, tenant


def test_the_job_of_a_newcomer_ends_well_and_the_check_warns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing to reach is no failure of the declaration; `admitted` never passes unasked."""
    monkeypatch.setenv("PLATFORM_HOME", str(tmp_path))
    text = (SAMPLES / "acme" / "defs.yaml").read_text("utf-8")
    with definitions(text) as made, dg.DagsterInstance.ephemeral() as instance:
        ran = made.resolve_job_def("acme_apply").execute_in_process(instance=instance)
    assert ran.success
    said = {one.check_name: one for one in ran.get_asset_check_evaluations()}
    assert said["rules_hold"].passed
    assert not said["admitted"].passed
    assert said["admitted"].severity is dg.AssetCheckSeverity.WARN
    assert "no cluster was asked" in (said["admitted"].description or "")


def test_nothing_counts_as_live(tmp_path: Path) -> None:
    """Rendering is no release: no log, no drift, nothing to go back to."""
    spec = tenant()
    applied = Applied("tenant", spec, lambda: render_tenant(spec))
    workspace = open_applied(applied, settings_under(tmp_path, None))
    refresh_manifests(workspace)
    outcome = refresh_applied(workspace)
    assert outcome.snapshot.details["mode"] == "render"
    assert outcome.facts["log"] == ()
    assert find_drift(workspace) == ()
    with pytest.raises(ConfigurationError, match="no cluster can be reached"):
        roll_back_applied(workspace)


def test_production_never_takes_rendering_for_applying(tmp_path: Path) -> None:
    """There a missing cluster is an error."""
    spec = tenant()
    applied = Applied("tenant", spec, lambda: render_tenant(spec))
    settings = replace(settings_under(tmp_path, None), environment="production")
    workspace = open_applied(applied, settings)
    refresh_manifests(workspace)
    with pytest.raises(ConfigurationError, match="no cluster can be reached"):
        refresh_applied(workspace)


def test_a_service_account_makes_a_pod(tmp_path: Path) -> None:
    """Its token is a file."""
    token = tmp_path / "token"
    assert not is_pod(token)
    token.write_text("t")
    assert is_pod(token)
