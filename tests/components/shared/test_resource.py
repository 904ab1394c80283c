"""The platform's resource: what is given before what the environment says, and no secret shown."""

from pathlib import Path

import dagster as dg
import pytest

from platform_pipelines.components.shared.resource import (
    PLATFORM,
    SECRETS,
    VARIABLES,
    PlatformResource,
    platform_resource,
)
from platform_pipelines.definitions import build_defs
from platform_pipelines.settings import Secret


def test_what_is_given_comes_before_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A test or a deployment needs no monkey-patching."""
    monkeypatch.setenv("PLATFORM_HOME", str(tmp_path / "environment"))
    monkeypatch.setenv("PLATFORM_ACTOR", "somebody")
    settings = PlatformResource(home=str(tmp_path / "given"), milvus_token="t:t").settings()
    assert (settings.home, settings.actor) == (tmp_path / "given", "somebody")
    assert settings.milvus_token == Secret("t:t")


def test_every_field_stands_for_a_variable() -> None:
    """A field that reaches nothing would be a lie."""
    assert set(PlatformResource.model_fields) == set(VARIABLES) | set(SECRETS)


def test_a_secret_is_given_by_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """The web UI shows the configuration of resources."""
    for name in SECRETS.values():
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PLATFORM_MILVUS_TOKEN", "sesame-open-please")
    resource = platform_resource()
    assert "sesame" not in repr(resource)
    assert resource.milvus_token == dg.EnvVar("PLATFORM_MILVUS_TOKEN")
    assert resource.s3_secret_key is None


def test_a_deployment_overrides_it_in_one_place(tmp_path: Path) -> None:
    """Components bring none of their own."""
    mine = PlatformResource(home=str(tmp_path))
    resources = build_defs(resource_overrides={PLATFORM: mine}).resources
    assert resources is not None
    assert resources[PLATFORM] is mine
