"""The platform as a Dagster resource: where its stores and servers are, overridable in one place.

What is not given is read from the environment by `settings.py`, and then its default holds. Secrets
are given as `dg.EnvVar`, so that the web UI shows the variable's name and never its value.
"""

from typing import Any

import dagster as dg

from platform_pipelines.settings import Settings, are_set, load_settings

PLATFORM = "platform"  # the resource's key

VARIABLES = {
    "home": "PLATFORM_HOME",
    "store_url": "PLATFORM_STORE_URL",
    "model_dir": "PLATFORM_MODEL_DIR",
    "milvus_uri": "PLATFORM_MILVUS_URI",
    "s3_endpoint": "PLATFORM_S3_ENDPOINT",
    "s3_region": "PLATFORM_S3_REGION",
    "language_model_url": "PLATFORM_LANGUAGE_MODEL_URL",
    "language_model": "PLATFORM_LANGUAGE_MODEL",
    "actor": "PLATFORM_ACTOR",
    "workers": "PLATFORM_WORKERS",
    "lease_wait_seconds": "PLATFORM_LEASE_WAIT_SECONDS",
    "environment": "PLATFORM_ENVIRONMENT",
    "kubeconfig": "PLATFORM_KUBECONFIG",
    "kube_context": "PLATFORM_KUBE_CONTEXT",
}
SECRETS = {
    "milvus_token": "PLATFORM_MILVUS_TOKEN",
    "s3_access_key": "PLATFORM_S3_ACCESS_KEY",
    "s3_secret_key": "PLATFORM_S3_SECRET_KEY",
    "s3_session_token": "PLATFORM_S3_SESSION_TOKEN",
    "embedder_api_key": "PLATFORM_EMBEDDER_API_KEY",
    "language_model_api_key": "PLATFORM_LANGUAGE_MODEL_API_KEY",
    "signing_key": "PLATFORM_SIGNING_KEY",
}


class PlatformResource(dg.ConfigurableResource):
    """Where everything is. Each field stands for the variable of README's table."""

    home: str | None = None
    store_url: str | None = None
    model_dir: str | None = None
    milvus_uri: str | None = None
    milvus_token: str | None = None
    s3_endpoint: str | None = None
    s3_region: str | None = None
    s3_access_key: str | None = None
    s3_secret_key: str | None = None
    s3_session_token: str | None = None
    embedder_api_key: str | None = None
    language_model_url: str | None = None
    language_model: str | None = None
    language_model_api_key: str | None = None
    signing_key: str | None = None
    actor: str | None = None
    workers: str | None = None
    lease_wait_seconds: str | None = None
    environment: str | None = None
    kubeconfig: str | None = None
    kube_context: str | None = None

    def settings(self) -> Settings:
        """The settings of this process, with what was given here before its environment.

        Raises:
            ConfigurationError: names the variable, its value and what is allowed.
        """
        names = {**VARIABLES, **SECRETS}
        given = {names[field]: getattr(self, field) for field in names}
        return load_settings(given={n: str(v) for n, v in given.items() if v is not None})


def platform_resource() -> PlatformResource:
    """The resource of a deployment: each secret that the environment holds, by its variable."""
    held = are_set(SECRETS.values())
    secrets: dict[str, Any] = {f: dg.EnvVar(name) for f, name in SECRETS.items() if name in held}
    return PlatformResource(**secrets)


def settings_of(context: Any) -> Settings:
    """The settings in a step, an op, a schedule or a sensor that requires the resource."""
    resource: PlatformResource = getattr(context.resources, PLATFORM)
    return resource.settings()
