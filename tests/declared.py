"""Knowledge bases declared in YAML, loaded and run through Dagster in this process."""

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import dagster as dg
import pytest
import yaml
from dagster.components.testing import create_defs_folder_sandbox

from platform_pipelines.components.shared.resource import SYSTEMS, platform_resources
from platform_pipelines.settings import Settings
from tests.knowledge import Knowledge

TYPE = "platform_pipelines.components.KnowledgeBase"


def declaration(attributes: Mapping[str, Any]) -> str:
    """The text of a `defs.yaml`."""
    return yaml.safe_dump({"type": TYPE, "attributes": dict(attributes)}, allow_unicode=True)


@contextmanager
def definitions(
    *declared: str, settings: Settings | None = None, **overrides: Any
) -> Iterator[dg.Definitions]:
    """What a project makes of these texts of `defs.yaml`, each in a folder of its own.

    With `settings`, its resources say these; `overrides` are resources as they are.
    """
    with create_defs_folder_sandbox() as sandbox:
        for number, text in enumerate(declared):
            folder = sandbox.defs_folder_path / f"declared_{number}"
            folder.mkdir(parents=True)
            (folder / "defs.yaml").write_text(text, encoding="utf-8")
        given = resources_of(settings) if settings else platform_resources()
        resources = dg.Definitions(resources={**given, **overrides})
        with _without_dagsters_own_warnings(), sandbox.build_all_defs() as defs:
            yield dg.Definitions.merge(defs, resources)


@contextmanager
def definitions_of(*knowledge: Knowledge) -> Iterator[dg.Definitions]:
    """What a project makes of these knowledge bases."""
    texts = [
        declaration(
            {
                **one.attributes,
                "source": {**one.attributes["source"], "url": one.spec.source.url},
                **_gate(one),
            }
        )
        for one in knowledge
    ]
    with definitions(*texts, settings=knowledge[0].settings) as defs:
        yield defs


def _gate(knowledge: Knowledge) -> dict[str, Any]:
    gate = knowledge.attributes.get("gate")
    return {"gate": {**gate, "golden_set": knowledge.spec.gate.golden_set}} if gate else {}


def resources_of(settings: Settings) -> dict[str, Any]:
    """The platform's resources, each with its part of these settings."""
    named = _variables(settings)
    return {
        key: kind(**{field: named.get(kind.variable(field)) for field in kind.model_fields})
        for key, kind in SYSTEMS.items()
    }


def use_settings(patch: pytest.MonkeyPatch, settings: Settings) -> None:
    """Let this process and its children read these settings from their environment."""
    for name, value in _variables(settings).items():
        if value is None:
            patch.delenv(name, raising=False)
        else:
            patch.setenv(name, value)


def _variables(settings: Settings) -> dict[str, str | None]:
    return {
        "PLATFORM_HOME": str(settings.home),
        "PLATFORM_STORE_URL": settings.store_url,
        "PLATFORM_MODEL_DIR": str(settings.model_dir),
        "PLATFORM_ENVIRONMENTS_DIR": str(settings.environments_home),
        "PLATFORM_MILVUS_URI": settings.milvus_uri,
        "PLATFORM_ACTOR": settings.actor,
        "PLATFORM_WORKERS": str(settings.workers),
        "PLATFORM_KUBECONFIG": str(settings.kubeconfig) if settings.kubeconfig else None,
        "PLATFORM_LEASE_WAIT_SECONDS": str(int(settings.lease_wait_seconds)),
        "PLATFORM_S3_ENDPOINT": settings.s3.endpoint,
        "PLATFORM_S3_REGION": settings.s3.region,
        "PLATFORM_S3_ACCESS_KEY": settings.s3.access_key and settings.s3.access_key.value,
        "PLATFORM_S3_SECRET_KEY": settings.s3.secret_key and settings.s3.secret_key.value,
    }


@contextmanager
def _without_dagsters_own_warnings() -> Iterator[None]:
    """Its sandbox uses what Dagster itself calls beta, and what Pydantic calls deprecated."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.BetaWarning)
        warnings.filterwarnings("ignore", category=DeprecationWarning, module=r"dagster")
        yield
