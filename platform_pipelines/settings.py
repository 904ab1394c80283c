"""The configuration of one process, read once from the environment: the only reader of it.

Every variable has a default that works on a laptop. Secrets are held in `Secret`, which never shows
itself; they are read here and nowhere written. Addresses are shown, so none may hold a secret.
"""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from platform_pipelines.errors import ConfigurationError, keep_secret
from platform_pipelines.machine import check_names, usable_processors, user_name
from platform_pipelines.variables import (
    Variables,
    address,
    check_trust,
    choice,
    flag,
    number,
    path,
    shown_to_parsers,
    shown_to_workers,
    words,
)

PROJECT_FILES = ("dg.toml", "pyproject.toml", ".platform")
MAX_WORKERS = 256
_S3_KEYS = "PLATFORM_S3_ACCESS_KEY and PLATFORM_S3_SECRET_KEY"


@dataclass(frozen=True, slots=True)
class Secret:
    """A value that is used and never shown."""

    value: str = field(repr=False)

    def __post_init__(self) -> None:
        keep_secret(self.value)

    def __str__(self) -> str:
        return "***"


@dataclass(frozen=True, slots=True)
class S3Settings:
    """How `s3://` is reached; without a key the machine's own credential chain is used."""

    endpoint: str | None = None
    region: str | None = None
    path_style: bool = True
    access_key: Secret | None = None
    secret_key: Secret | None = None
    session_token: Secret | None = None


@dataclass(frozen=True, slots=True)
class LanguageModelSettings:
    """An OpenAI-compatible model that words the answers of `ask`; none: answers are quoted."""

    url: str
    model: str
    api_key: Secret | None = None


@dataclass(frozen=True, slots=True)
class ServingSettings:
    """How `platform-pipelines serve` answers, and where its traces go."""

    tokens_file: Path | None = None  # JSON: tenant -> its bearer tokens; None: anybody may ask
    requests_per_minute: int = 600  # of one tenant
    tokens_per_minute: int = 200_000  # of one tenant's answers, both ways together
    concurrency: int = 8
    seconds: float = 60.0  # of one request
    hosts: tuple[str, ...] = ()  # further names that MCP clients address it by
    otlp_endpoint: str | None = None  # OTLP over HTTP, e.g. http://collector:4318
    otlp_headers: Secret | None = None  # NAME=VALUE, comma-separated
    trace_content: bool = False  # whether questions, passages and answers go into traces


@dataclass(frozen=True, slots=True)
class Gateways:
    """Gateways that were given ready made, instead of those that the settings would open.

    They serve this process. A task in a worker opens its own by the settings: no object travels
    there, and a store of documents is read by workers, so that it has none here.
    """

    vector_store: Any = None  # a `VectorStore`; whoever gave it closes it
    language_model: Any = None  # a `LanguageModel`, whatever is declared
    cluster: Any = None  # a `Cluster`
    jobs: Any = None  # the `Jobs` that tasks run as

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> "Gateways":
        """From what was given by name.

        Raises:
            ConfigurationError: there is no such gateway, or workers would not get it.
        """
        names = [field.name for field in fields(cls)]
        wrong = sorted(set(given) - set(names))
        if wrong:
            raise ConfigurationError(
                f"the gateway {wrong[0]} cannot be given ready made: workers open their own",
                stored=type(given[wrong[0]]).__name__,
                expected=f"a resource of `components.shared.resource`, or one of {names}",
                remedy="give the resource that says where it is",
            )
        return cls(**given)


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that differs between machines and nothing that a declaration says."""

    home: Path
    store_url: str
    model_dir: Path
    environments_dir: Path | None = None  # None: under `home`
    milvus_uri: str | None = None  # None: the embedded Milvus under `home`
    milvus_token: Secret | None = None
    milvus_gpu: bool = False
    s3: S3Settings = S3Settings()
    embedder_api_key: Secret | None = None
    embedder_url: str | None = None  # of the engine in this pod, before the declaration's
    language_model: LanguageModelSettings | None = None
    language_model_api_key: Secret | None = None  # of declared models, too
    language_model_seconds: float = 120.0
    judge_api_key: Secret | None = None
    key_hosts: tuple[str, ...] = ()  # whom API keys may be sent to; none: to whom is declared
    sources: tuple[str, ...] = ()  # URLs that sources must be below; none: anything
    notify_webhook: Secret | None = None  # its URL lets whoever has it write there
    signing_key: Secret | None = None  # Ed25519, hex: signs the evidence that is made here
    signer_keys: tuple[str, ...] = ()  # public, hex: evidence needs a signature of one of them
    serving: ServingSettings = ServingSettings()
    actor: str = "unknown"
    workers: int = 2
    lease_wait_seconds: float = 600.0
    task_index: int | None = None  # which task of a plan this process is for, in an Indexed Job
    environment: str = "development"  # `production` lets declarations apply by themselves
    kubeconfig: Path | None = None  # None: the service account of this pod
    kube_context: str | None = None
    compute: str = "local"  # `kubernetes`: tasks are Indexed Jobs; `ray`: rows of RayJobs
    namespace: str = "platform"  # where task pods run
    image: str | None = None  # of task pods; `{class}` in it is a task's class
    task_config_maps: tuple[str, ...] = ()  # whose keys are the environment of task pods
    task_secrets: tuple[str, ...] = ()
    task_service_account: str | None = None
    queue: str | None = None  # a Kueue LocalQueue
    profiles_file: Path | None = None  # changes of the compute profiles
    definitions: Path | None = None  # what APIs and programs in use know, as files
    gateways: Gateways = Gateways()

    @property
    def environments_home(self) -> Path:
        """Under which the `environments` of worker classes are, and what is made once with them."""
        return self.environments_dir or self.home

    @property
    def milvus_dir(self) -> Path:
        """Where the embedded Milvus keeps its files."""
        return self.home / "milvus"

    @property
    def worker_environment(self) -> dict[str, str]:
        """The environment of worker processes: a part of this one's, and what libraries need."""
        scratch = str(self.home / "worker")  # Ragas leaves a file in the user's data folder
        shown = shown_to_workers(os.environ, credentials=self.s3.access_key is None)
        return {**shown, "XDG_DATA_HOME": scratch}

    @property
    def parser_environment(self) -> dict[str, str]:
        """The environment of processes that parse what strangers wrote: it holds no secret."""
        return shown_to_parsers(os.environ)


def are_set(names: Iterable[str]) -> set[str]:
    """Those of these variables that the environment holds, and not empty."""
    return {name for name in names if os.environ.get(name)}


def agent_process() -> tuple[str, Secret | None]:
    """Of an agent's own program: what it is (JSON), and the key of its language model."""
    env = Variables(os.environ)
    return os.environ.get("AGENT_DECLARATION", ""), _secret(env, "OPENAI_API_KEY")


def load_settings(
    environment: Mapping[str, str] | None = None,
    *,
    given: Mapping[str, str] | None = None,
    gateways: Gateways | None = None,
) -> Settings:
    """The settings of this process; `given` variables come before those of the environment.

    Raises:
        ConfigurationError: names the variable, its value and what is allowed.
    """
    check_names()
    env = Variables({**(os.environ if environment is None else environment), **(given or {})})
    check_trust(env)
    home = path(env, "PLATFORM_HOME") or _project_folder().absolute() / ".platform"
    return Settings(
        home=home,
        store_url=address(env, "PLATFORM_STORE_URL", instead=_S3_KEYS) or (home / "store").as_uri(),
        model_dir=path(env, "PLATFORM_MODEL_DIR") or home / "models",
        environments_dir=path(env, "PLATFORM_ENVIRONMENTS_DIR"),
        s3=_s3(env),
        serving=_serving(env),
        gateways=gateways or Gateways(),
        **_vectors_and_models(env),
        **_who_may_what(env),
        **_work(env),
        **_cluster(env),
    )


def _vectors_and_models(env: Variables) -> dict[str, Any]:
    return {
        "milvus_uri": _milvus_uri(env),
        "milvus_token": _secret(env, "PLATFORM_MILVUS_TOKEN"),
        "milvus_gpu": flag(env, "PLATFORM_MILVUS_GPU", default=False),
        "embedder_api_key": _secret(env, "PLATFORM_EMBEDDER_API_KEY"),
        "embedder_url": address(env, "PLATFORM_EMBEDDER_URL", instead="PLATFORM_EMBEDDER_API_KEY"),
        "language_model": _language_model(env),
        "language_model_api_key": _secret(env, "PLATFORM_LANGUAGE_MODEL_API_KEY"),
        "judge_api_key": _secret(env, "PLATFORM_JUDGE_API_KEY"),
    }


def _who_may_what(env: Variables) -> dict[str, Any]:
    return {
        "key_hosts": words(env, "PLATFORM_API_KEY_HOSTS"),
        "sources": words(env, "PLATFORM_SOURCES"),
        "notify_webhook": _secret(env, "PLATFORM_NOTIFY_WEBHOOK"),
        "signing_key": _secret(env, "PLATFORM_SIGNING_KEY"),
        "signer_keys": words(env, "PLATFORM_SIGNER_KEYS"),
        "actor": env.get("PLATFORM_ACTOR") or user_name(),
        "environment": env.get("PLATFORM_ENVIRONMENT") or "development",
    }


def _work(env: Variables) -> dict[str, Any]:
    here = min(usable_processors(), MAX_WORKERS)
    return {
        "workers": number(env, "PLATFORM_WORKERS", default=here, low=1, high=MAX_WORKERS),
        "lease_wait_seconds": number(
            env, "PLATFORM_LEASE_WAIT_SECONDS", default=600, low=0, high=86400
        ),
        "task_index": _task_index(env),
        "definitions": path(env, "PLATFORM_DEFINITIONS"),
    }


def _cluster(env: Variables) -> dict[str, Any]:
    return {
        "kubeconfig": path(env, "PLATFORM_KUBECONFIG"),
        "kube_context": env.get("PLATFORM_KUBE_CONTEXT") or None,
        "compute": choice(env, "PLATFORM_COMPUTE", ("local", "kubernetes", "ray")),
        "namespace": env.get("PLATFORM_NAMESPACE") or "platform",
        "image": env.get("PLATFORM_IMAGE"),
        "task_config_maps": words(env, "PLATFORM_TASK_CONFIG_MAPS"),
        "task_secrets": words(env, "PLATFORM_TASK_SECRETS"),
        "task_service_account": env.get("PLATFORM_TASK_SERVICE_ACCOUNT"),
        "queue": env.get("PLATFORM_QUEUE"),
        "profiles_file": path(env, "PLATFORM_PROFILES"),
    }


def _project_folder() -> Path:
    """The nearest folder above that looks like a project, else the current one."""
    here = Path.cwd()
    for folder in (here, *here.parents):
        if any((folder / name).exists() for name in PROJECT_FILES):
            return folder
    return here


def _milvus_uri(env: Variables) -> str | None:
    uri = address(env, "PLATFORM_MILVUS_URI", instead="PLATFORM_MILVUS_TOKEN")
    if uri is not None and not uri.startswith(("http://", "https://", "tcp://")):
        raise ConfigurationError(
            f"PLATFORM_MILVUS_URI is {uri!r}",
            expected="http://host:port or https://host:port",
            remedy="unset it to use the embedded Milvus",
        )
    return uri


def _s3(env: Variables) -> S3Settings:
    return S3Settings(
        endpoint=address(env, "PLATFORM_S3_ENDPOINT", instead=_S3_KEYS)
        or address(env, "AWS_ENDPOINT_URL", instead=_S3_KEYS),
        region=env.get("PLATFORM_S3_REGION") or env.get("AWS_REGION") or None,
        path_style=flag(env, "PLATFORM_S3_PATH_STYLE", default=True),
        access_key=_secret(env, "PLATFORM_S3_ACCESS_KEY"),
        secret_key=_secret(env, "PLATFORM_S3_SECRET_KEY"),
        session_token=_secret(env, "PLATFORM_S3_SESSION_TOKEN"),
    )


def _language_model(env: Variables) -> LanguageModelSettings | None:
    key = "PLATFORM_LANGUAGE_MODEL_API_KEY"
    url = address(env, "PLATFORM_LANGUAGE_MODEL_URL", instead=key)
    model = env.get("PLATFORM_LANGUAGE_MODEL")
    if bool(url) != bool(model):
        raise ConfigurationError(
            "PLATFORM_LANGUAGE_MODEL_URL and PLATFORM_LANGUAGE_MODEL go together",
            remedy="set both, or unset both to have answers quoted from the documents",
        )
    if not url or not model:
        return None
    return LanguageModelSettings(url=url, model=model, api_key=_secret(env, key))


def _serving(env: Variables) -> ServingSettings:
    per_minute = {"default": 600, "low": 1, "high": 1_000_000}
    tokens = {"default": 200_000, "low": 1, "high": 1_000_000_000}
    return ServingSettings(
        tokens_file=path(env, "PLATFORM_SERVE_TOKENS_FILE"),
        requests_per_minute=number(env, "PLATFORM_SERVE_REQUESTS_PER_MINUTE", **per_minute),
        tokens_per_minute=number(env, "PLATFORM_SERVE_TOKENS_PER_MINUTE", **tokens),
        concurrency=number(env, "PLATFORM_SERVE_CONCURRENCY", default=8, low=1, high=256),
        seconds=number(env, "PLATFORM_SERVE_SECONDS", default=60, low=1, high=3600),
        hosts=tuple(h.strip() for h in (env.get("PLATFORM_SERVE_HOSTS") or "").split(",") if h),
        otlp_endpoint=address(env, "PLATFORM_OTLP_ENDPOINT", instead="PLATFORM_OTLP_HEADERS"),
        otlp_headers=_secret(env, "PLATFORM_OTLP_HEADERS"),
        trace_content=flag(env, "PLATFORM_TRACE_CONTENT", default=False),
    )


def _secret(env: Variables, name: str) -> Secret | None:
    value = env.get(name)
    return Secret(value) if value else None


def _task_index(env: Variables) -> int | None:
    """Kubernetes numbers the pods of an Indexed Job."""
    name = "JOB_COMPLETION_INDEX"
    return number(env, name, default=0, low=0, high=2**31) if env.get(name) else None
