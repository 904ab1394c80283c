"""The platform as Dagster resources: its settings, and the systems that its gateways reach.

Each is overridden alone, in `build_defs(resource_overrides=...)`. What is not given is read from
the environment by `settings.py`, and then its default holds. Secrets are given as `dg.EnvVar`, so
that the web UI shows the variable's name and never its value.

A gateway may also be given ready made: whatever stands under a key and is none of these classes is
taken instead of what the settings would open (`settings.Gateways` says what each must be).
"""

from collections.abc import Mapping
from typing import Any, ClassVar

import dagster as dg

from platform_pipelines.settings import Gateways, Settings, are_set, load_settings

PLATFORM = "platform"


class SystemResource(dg.ConfigurableResource):
    """Each field stands for the variable of README's table with its name: `home`: PLATFORM_HOME."""

    secrets: ClassVar[tuple[str, ...]] = ()  # those that are never shown

    @staticmethod
    def variable(field: str) -> str:
        """The name of a field's variable."""
        return f"PLATFORM_{field.upper()}"

    def given(self) -> dict[str, str]:
        """What was given here, by the name of its variable."""
        values = {self.variable(f): getattr(self, f) for f in type(self).model_fields}
        return {name: str(value) for name, value in values.items() if value is not None}


class PlatformResource(SystemResource):
    """Who works here, with how much, and where the home is."""

    home: str | None = None
    environments_dir: str | None = None
    actor: str | None = None
    workers: str | None = None
    lease_wait_seconds: str | None = None
    environment: str | None = None
    definitions: str | None = None
    signing_key: str | None = None
    signer_keys: str | None = None
    notify_webhook: str | None = None
    api_key_hosts: str | None = None

    secrets: ClassVar[tuple[str, ...]] = ("signing_key", "notify_webhook")


class ObjectStoreResource(SystemResource):
    """Where everything is stored, and how `s3://` is reached."""

    store_url: str | None = None
    sources: str | None = None
    s3_endpoint: str | None = None
    s3_region: str | None = None
    s3_path_style: str | None = None
    s3_access_key: str | None = None
    s3_secret_key: str | None = None
    s3_session_token: str | None = None

    secrets: ClassVar[tuple[str, ...]] = (
        "s3_access_key",
        "s3_secret_key",
        "s3_session_token",
    )


class VectorStoreResource(SystemResource):
    """Milvus; without an address the embedded one."""

    milvus_uri: str | None = None
    milvus_token: str | None = None
    milvus_gpu: str | None = None

    secrets: ClassVar[tuple[str, ...]] = ("milvus_token",)


class EmbedderResource(SystemResource):
    """Files of the local model, and the key of a served one."""

    model_dir: str | None = None
    embedder_url: str | None = None
    embedder_api_key: str | None = None

    secrets: ClassVar[tuple[str, ...]] = ("embedder_api_key",)


class LanguageModelResource(SystemResource):
    """Who words answers, and the keys of those who are declared to word and to judge."""

    language_model_url: str | None = None
    language_model: str | None = None
    language_model_api_key: str | None = None
    judge_api_key: str | None = None

    secrets: ClassVar[tuple[str, ...]] = (
        "language_model_api_key",
        "judge_api_key",
    )


class ClusterResource(SystemResource):
    """The Kubernetes cluster that declarations are applied to, and that Jobs run in."""

    kubeconfig: str | None = None
    kube_context: str | None = None


class JobsResource(SystemResource):
    """Where tasks run: here, or as Jobs of the cluster, and how."""

    compute: str | None = None
    namespace: str | None = None
    image: str | None = None
    queue: str | None = None
    profiles: str | None = None
    task_config_maps: str | None = None
    task_secrets: str | None = None
    task_service_account: str | None = None


SYSTEMS: Mapping[str, type[SystemResource]] = {
    PLATFORM: PlatformResource,
    "object_store": ObjectStoreResource,
    "vector_store": VectorStoreResource,
    "embedder": EmbedderResource,
    "language_model": LanguageModelResource,
    "cluster": ClusterResource,
    "jobs": JobsResource,
}
RESOURCES = frozenset(SYSTEMS)  # what every step requires


def platform_resources() -> dict[str, Any]:
    """The resources of a deployment: each secret that the environment holds, by its variable."""
    return {key: _made(kind) for key, kind in SYSTEMS.items()}


def _made(kind: type[SystemResource]) -> SystemResource:
    names = {field: kind.variable(field) for field in kind.secrets}
    held = are_set(names.values())
    secrets: dict[str, Any] = {f: dg.EnvVar(name) for f, name in names.items() if name in held}
    return kind(**secrets)


def settings_of(context: Any) -> Settings:
    """The settings in a step, an op, a schedule or a sensor that requires the resources.

    Raises:
        ConfigurationError: names the variable, its value and what is allowed; or the resource that
            cannot be given ready made.
    """
    found = {key: getattr(context.resources, key) for key in SYSTEMS}
    given: dict[str, str] = {}
    ready = {key: one for key, one in found.items() if not isinstance(one, SystemResource)}
    for one in found.values():
        given |= one.given() if isinstance(one, SystemResource) else {}
    return load_settings(given=given, gateways=Gateways.of(ready))
