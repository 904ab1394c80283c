"""The platform's resources: what is given before what the environment says, and no secret shown."""

import inspect
import re
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from platform_pipelines import settings as settings_module
from platform_pipelines.components.shared.resource import (
    RESOURCES,
    SYSTEMS,
    JobsResource,
    PlatformResource,
    VectorStoreResource,
    platform_resources,
    settings_of,
)
from platform_pipelines.definitions import build_defs
from platform_pipelines.errors import ConfigurationError
from platform_pipelines.settings import Secret, Settings
from platform_pipelines.stages.knowledge_base.connect import open_language_model, vectors_of
from platform_pipelines.stages.road.backends import open_jobs, runs_in_cluster
from platform_pipelines.stages.road.clusters import open_cluster
from tests.declared import definitions
from tests.knowledge import settings_under

SECRETS = [(kind, field) for kind in SYSTEMS.values() for field in kind.secrets]
# Read by programs that Dagster does not run: the server of answers, and a pod of an Indexed Job.
OF_OTHERS = re.compile(r"PLATFORM_(SERVE_|OTLP_|TRACE_)")


def resolved(**overrides: object) -> Settings:
    """The settings of a step that has these resources."""
    resources = {**platform_resources(), **overrides}
    return settings_of(dg.build_op_context(resources=resources))


def test_what_is_given_comes_before_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A test or a deployment needs no monkey-patching."""
    monkeypatch.setenv("PLATFORM_HOME", str(tmp_path / "environment"))
    monkeypatch.setenv("PLATFORM_ACTOR", "somebody")
    settings = resolved(
        platform=PlatformResource(home=str(tmp_path / "given")),
        vector_store=VectorStoreResource(milvus_token="t:t"),
    )
    assert (settings.home, settings.actor) == (tmp_path / "given", "somebody")
    assert settings.milvus_token == Secret("t:t")


def test_every_variable_of_the_settings_can_be_given() -> None:
    """One that cannot has to be patched into the environment by whoever needs another value."""
    read = set(re.findall(r"PLATFORM_[A-Z0-9_]+", inspect.getsource(settings_module)))
    given = {kind.variable(f) for kind in SYSTEMS.values() for f in kind.model_fields}
    assert given == {name for name in read if not OF_OTHERS.match(name)}


@pytest.mark.parametrize(("kind", "field"), SECRETS, ids=[field for _, field in SECRETS])
def test_a_secret_is_given_by_its_variable(
    kind: type, field: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The web UI shows the configuration of resources."""
    variable = kind.variable(field)
    monkeypatch.setenv(variable, "sesame-open-please")
    (made,) = (one for one in platform_resources().values() if type(one) is kind)
    assert getattr(made, field) == dg.EnvVar(variable)
    assert "sesame" not in repr(made)


def test_what_is_secret_is_among_the_secrets() -> None:
    """A key that is a plain field would be shown."""
    told = {field for _, field in SECRETS}
    named = {
        field
        for kind in SYSTEMS.values()
        for field in kind.model_fields
        if re.search(r"token$|key$", field)
    }
    assert told == named


def test_a_deployment_overrides_each_in_one_place(tmp_path: Path) -> None:
    """Components bring none of their own; materialising by hand costs what the job costs."""
    mine = PlatformResource(home=str(tmp_path))
    defs = build_defs(resource_overrides={"platform": mine})
    assert defs.resources is not None
    assert defs.resources["platform"] is mine
    assert set(defs.resources) == RESOURCES
    assert defs.get_repository_def().get_implicit_global_asset_job_def().executor_def is (
        dg.in_process_executor
    )


class Ready:
    """A gateway that a test made."""


def test_a_gateway_may_be_given_ready_made(tmp_path: Path) -> None:
    """It is what steps open, and a worker still opens its own."""
    ready = {name: Ready() for name in ("vector_store", "language_model", "cluster", "jobs")}
    settings = resolved(platform=PlatformResource(home=str(tmp_path)), **ready)
    with vectors_of(settings) as vectors:
        assert vectors is ready["vector_store"]
    assert open_language_model(settings) is ready["language_model"]
    assert open_cluster(settings) is ready["cluster"]
    assert open_jobs(settings) is ready["jobs"]
    assert runs_in_cluster(settings)
    assert not runs_in_cluster(resolved())
    assert runs_in_cluster(resolved(jobs=JobsResource(compute="kubernetes")))


@pytest.mark.parametrize("key", ["platform", "object_store", "embedder"])
def test_what_workers_open_cannot_be_given_ready_made(key: str) -> None:
    """They would read another store than the step does, and nobody would notice."""
    with pytest.raises(ConfigurationError, match=f"the gateway {key} cannot be given ready made"):
        resolved(**{key: Ready()})


def test_a_step_is_given_the_overridden_gateway(tmp_path: Path) -> None:
    """Through Dagster as it is launched: what is live is asked of the cluster of the test."""
    text = (
        "type: platform_pipelines.components.Tenant\n"
        "attributes: {name: acme, spaces: {agents: {}}}\n"
    )
    asked: list[str] = []

    class Cluster:
        def get(self, key: object) -> None:
            asked.append(str(key))

        def owned(self, kinds: object, labels: object) -> list[object]:
            return []

        def apply(self, manifest: dict[str, Any], **_: object) -> dict[str, Any]:
            return manifest

    with definitions(text, settings=settings_under(tmp_path, None), cluster=Cluster()) as defs:
        job = defs.resolve_job_def("acme_apply")
        assert job.execute_in_process().success
    assert any("acme-agents" in key for key in asked)
