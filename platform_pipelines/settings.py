"""The configuration of one process, read once from the environment: the only reader of it.

Every variable has a default that works on a laptop. Secrets are held in `Secret`, which never shows
itself; they are read here and nowhere written. Addresses are shown, so none may hold a secret.
"""

import getpass
import os
import ssl
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from platform_pipelines.errors import ConfigurationError, hide_user, keep_secret
from platform_pipelines.machine import check_names, usable_processors

PROJECT_FILES = ("dg.toml", "pyproject.toml", ".platform")
MAX_WORKERS = 256
_S3_KEYS = "PLATFORM_S3_ACCESS_KEY and PLATFORM_S3_SECRET_KEY"

# What a worker's interpreter, its libraries and its connections read of this environment. Nothing
# else is passed on: a worker reads documents that strangers wrote. What it needs of the settings
# comes with its task.
PASSED_ON = (
    "HOME", "LANG", "LANGUAGE", "LC_*", "PATH", "PYTHON*", "TEMP", "TMP", "TMPDIR", "TZ", "USER",
    "DYLD_*", "LD_LIBRARY_PATH", "VIRTUAL_ENV",
    "MALLOC_*", "MKL_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS",
    "ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY", "SSL_CERT_DIR", "SSL_CERT_FILE",
    "all_proxy", "https_proxy", "http_proxy", "no_proxy",
)  # fmt: skip

# Of these, what a process that parses documents does not see: its user's files, and proxies, whose
# addresses may hold a password.
KEPT_FROM_PARSERS = ("HOME", "USER", "*_PROXY", "*_proxy")

# One file of certificates, by the names that the libraries of worker environments know.
TRUST_VARIABLES = (
    "AWS_CA_BUNDLE", "CURL_CA_BUNDLE", "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH", "REQUESTS_CA_BUNDLE",
)  # fmt: skip
LOOPBACK = ("localhost", "127.0.0.1", "::1")  # no proxy is asked for this machine itself

# A worker reads the source itself; without a key in the settings, by the machine's own credentials.
CREDENTIAL_CHAIN = ("AWS_*",)

# What the libraries of the workers need to see; set for child processes, never for this one.
WORKER_ENVIRONMENT = {
    "ARROW_DEFAULT_MEMORY_POOL": "system",
    "DAGSTER_DISABLE_TELEMETRY": "yes",
    "HF_HUB_OFFLINE": "1",
    # Each thread's own arena takes 64 MiB of addresses or more: 16 reads at once would be a budget.
    "MALLOC_ARENA_MAX": "2",
    "RAGAS_DO_NOT_TRACK": "true",  # else every evaluation waits for a time-out
    "TOKENIZERS_PARALLELISM": "false",
}


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
    compute: str = "local"  # `kubernetes`: tasks are Indexed Jobs
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
        patterns = PASSED_ON if self.s3.access_key else (*PASSED_ON, *CREDENTIAL_CHAIN)
        shown = {**_passed_on(patterns), **_network()}
        return {**shown, **WORKER_ENVIRONMENT, "XDG_DATA_HOME": scratch}

    @property
    def parser_environment(self) -> dict[str, str]:
        """The environment of processes that parse what strangers wrote: it holds no secret."""
        passed = _passed_on(PASSED_ON)
        hidden = {n for n in passed if any(fnmatchcase(n, p) for p in KEPT_FROM_PARSERS)}
        shown = {name: value for name, value in passed.items() if name not in hidden}
        # Tesseract's threads wait for each other longer than they work.
        return {**shown, **WORKER_ENVIRONMENT, "OMP_THREAD_LIMIT": "1"}


def are_set(names: Iterable[str]) -> set[str]:
    """Those of these variables that the environment holds, and not empty."""
    return {name for name in names if os.environ.get(name)}


def agent_process() -> tuple[str, Secret | None]:
    """Of an agent's own program: what it is (JSON), and the key of its language model."""
    env = _Variables(os.environ)
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
    env = _Variables({**(os.environ if environment is None else environment), **(given or {})})
    _check_trust(env)
    home = _path(env, "PLATFORM_HOME") or _project_folder().absolute() / ".platform"
    return Settings(
        home=home,
        store_url=_address(env, "PLATFORM_STORE_URL", instead=_S3_KEYS)
        or (home / "store").as_uri(),
        model_dir=_path(env, "PLATFORM_MODEL_DIR") or home / "models",
        environments_dir=_path(env, "PLATFORM_ENVIRONMENTS_DIR"),
        milvus_uri=_milvus_uri(env),
        milvus_token=_secret(env, "PLATFORM_MILVUS_TOKEN"),
        milvus_gpu=_flag(env, "PLATFORM_MILVUS_GPU", default=False),
        s3=_s3(env),
        embedder_api_key=_secret(env, "PLATFORM_EMBEDDER_API_KEY"),
        embedder_url=_address(env, "PLATFORM_EMBEDDER_URL", instead="PLATFORM_EMBEDDER_API_KEY"),
        language_model=_language_model(env),
        language_model_api_key=_secret(env, "PLATFORM_LANGUAGE_MODEL_API_KEY"),
        judge_api_key=_secret(env, "PLATFORM_JUDGE_API_KEY"),
        key_hosts=_words(env, "PLATFORM_API_KEY_HOSTS"),
        sources=_words(env, "PLATFORM_SOURCES"),
        notify_webhook=_secret(env, "PLATFORM_NOTIFY_WEBHOOK"),
        signing_key=_secret(env, "PLATFORM_SIGNING_KEY"),
        signer_keys=_words(env, "PLATFORM_SIGNER_KEYS"),
        serving=_serving(env),
        actor=env.get("PLATFORM_ACTOR") or _user(),
        workers=_number(
            env,
            "PLATFORM_WORKERS",
            default=min(usable_processors(), MAX_WORKERS),
            low=1,
            high=MAX_WORKERS,
        ),
        lease_wait_seconds=_number(
            env, "PLATFORM_LEASE_WAIT_SECONDS", default=600, low=0, high=86400
        ),
        task_index=_task_index(env),
        environment=env.get("PLATFORM_ENVIRONMENT") or "development",
        kubeconfig=_path(env, "PLATFORM_KUBECONFIG"),
        kube_context=env.get("PLATFORM_KUBE_CONTEXT") or None,
        compute=_choice(env, "PLATFORM_COMPUTE", ("local", "kubernetes")),
        namespace=env.get("PLATFORM_NAMESPACE") or "platform",
        image=env.get("PLATFORM_IMAGE"),
        task_config_maps=_words(env, "PLATFORM_TASK_CONFIG_MAPS"),
        task_secrets=_words(env, "PLATFORM_TASK_SECRETS"),
        task_service_account=env.get("PLATFORM_TASK_SERVICE_ACCOUNT"),
        queue=env.get("PLATFORM_QUEUE"),
        profiles_file=_path(env, "PLATFORM_PROFILES"),
        definitions=_path(env, "PLATFORM_DEFINITIONS"),
        gateways=gateways or Gateways(),
    )


class _Variables:
    """The variables as they are meant: trimmed, without control characters, empty is not set.

    A key that was pasted with its line's end is a key; a line's end inside of it is a mistake, and
    an HTTP client would print the key in its complaint.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment

    def get(self, name: str, default: str | None = None) -> str | None:
        """The value, or the default.

        Raises:
            ConfigurationError: a control character is in it; the value is not shown.
        """
        value = self._environment.get(name, "").strip()
        wrong = next((c for c in value if not c.isprintable()), None)
        if wrong is not None:
            raise ConfigurationError(
                f"{name} holds the character U+{ord(wrong):04X}, which cannot be meant",
                stored=f"{len(value)} characters, not shown",
                expected="one line of printable characters",
                remedy=f"set {name} again, on one line",
            )
        return value or default


def _passed_on(patterns: Sequence[str]) -> dict[str, str]:
    """The variables of this process that match one of the patterns."""
    return {
        name: value
        for name, value in os.environ.items()
        if any(fnmatchcase(name, pattern) for pattern in patterns)
    }


def _network() -> dict[str, str]:
    """What libraries of other environments need to trust and to reach the same as we do."""
    bundle = os.environ.get("SSL_CERT_FILE")
    trust = dict.fromkeys(TRUST_VARIABLES, bundle) if bundle else {}
    direct = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    names = ",".join((*(n for n in direct.split(",") if n), *LOOPBACK))
    return {**trust, "NO_PROXY": names, "no_proxy": names}


def _project_folder() -> Path:
    """The nearest folder above that looks like a project, else the current one."""
    here = Path.cwd()
    for folder in (here, *here.parents):
        if any((folder / name).exists() for name in PROJECT_FILES):
            return folder
    return here


def _check_trust(env: _Variables) -> None:
    """A file of certificates that is not there would silently be another one."""
    named = env.get("SSL_CERT_FILE") or ""
    try:
        if named:
            ssl.create_default_context(cafile=named)
    except OSError as error:  # ssl.SSLError is one
        raise ConfigurationError(
            f"SSL_CERT_FILE cannot be used: {error}",
            where=named,
            expected="a file of certificates as PEM",
            remedy="name the file of your company's certificates, or unset it",
        ) from error


def _milvus_uri(env: _Variables) -> str | None:
    uri = _address(env, "PLATFORM_MILVUS_URI", instead="PLATFORM_MILVUS_TOKEN")
    if uri is not None and not uri.startswith(("http://", "https://", "tcp://")):
        raise ConfigurationError(
            f"PLATFORM_MILVUS_URI is {uri!r}",
            expected="http://host:port or https://host:port",
            remedy="unset it to use the embedded Milvus",
        )
    return uri


def _s3(env: _Variables) -> S3Settings:
    return S3Settings(
        endpoint=_address(env, "PLATFORM_S3_ENDPOINT", instead=_S3_KEYS)
        or _address(env, "AWS_ENDPOINT_URL", instead=_S3_KEYS),
        region=env.get("PLATFORM_S3_REGION") or env.get("AWS_REGION") or None,
        path_style=_flag(env, "PLATFORM_S3_PATH_STYLE", default=True),
        access_key=_secret(env, "PLATFORM_S3_ACCESS_KEY"),
        secret_key=_secret(env, "PLATFORM_S3_SECRET_KEY"),
        session_token=_secret(env, "PLATFORM_S3_SESSION_TOKEN"),
    )


def _language_model(env: _Variables) -> LanguageModelSettings | None:
    key = "PLATFORM_LANGUAGE_MODEL_API_KEY"
    url = _address(env, "PLATFORM_LANGUAGE_MODEL_URL", instead=key)
    model = env.get("PLATFORM_LANGUAGE_MODEL")
    if bool(url) != bool(model):
        raise ConfigurationError(
            "PLATFORM_LANGUAGE_MODEL_URL and PLATFORM_LANGUAGE_MODEL go together",
            remedy="set both, or unset both to have answers quoted from the documents",
        )
    if not url or not model:
        return None
    return LanguageModelSettings(url=url, model=model, api_key=_secret(env, key))


def _serving(env: _Variables) -> ServingSettings:
    per_minute = {"default": 600, "low": 1, "high": 1_000_000}
    tokens = {"default": 200_000, "low": 1, "high": 1_000_000_000}
    return ServingSettings(
        tokens_file=_path(env, "PLATFORM_SERVE_TOKENS_FILE"),
        requests_per_minute=_number(env, "PLATFORM_SERVE_REQUESTS_PER_MINUTE", **per_minute),
        tokens_per_minute=_number(env, "PLATFORM_SERVE_TOKENS_PER_MINUTE", **tokens),
        concurrency=_number(env, "PLATFORM_SERVE_CONCURRENCY", default=8, low=1, high=256),
        seconds=_number(env, "PLATFORM_SERVE_SECONDS", default=60, low=1, high=3600),
        hosts=tuple(h.strip() for h in (env.get("PLATFORM_SERVE_HOSTS") or "").split(",") if h),
        otlp_endpoint=_address(env, "PLATFORM_OTLP_ENDPOINT", instead="PLATFORM_OTLP_HEADERS"),
        otlp_headers=_secret(env, "PLATFORM_OTLP_HEADERS"),
        trace_content=_flag(env, "PLATFORM_TRACE_CONTENT", default=False),
    )


def _address(env: _Variables, name: str, *, instead: str) -> str | None:
    """An address without user and password; `instead` names what takes those."""
    url = env.get(name) or None
    if url is not None and hide_user(url) != url:
        raise ConfigurationError(
            f"{name} holds a user or a password, and addresses are shown",
            stored=hide_user(url),
            expected="an address without user and password",
            remedy=f"take them out of {name}, and set {instead}",
        )
    return url


def _choice(env: _Variables, name: str, allowed: Sequence[str]) -> str:
    """One of a few words; the first is the default."""
    value = env.get(name) or allowed[0]
    if value not in allowed:
        raise ConfigurationError(f"{name} is {value!r}", expected=" or ".join(allowed))
    return value


def _words(env: _Variables, name: str) -> tuple[str, ...]:
    """Names, separated by commas."""
    return tuple(word for part in (env.get(name) or "").split(",") if (word := part.strip()))


def _path(env: _Variables, name: str) -> Path | None:
    value = env.get(name)
    # without `..`, which no URL of a folder may have; links stay what they are
    return Path(os.path.abspath(Path(value).expanduser())) if value else None


def _secret(env: _Variables, name: str) -> Secret | None:
    value = env.get(name)
    return Secret(value) if value else None


def _flag(env: _Variables, name: str, *, default: bool) -> bool:
    value = (env.get(name) or "").lower()
    if value in ("", "1", "true", "yes", "on", "0", "false", "no", "off"):
        return value in ("1", "true", "yes", "on") if value else default
    raise ConfigurationError(f"{name} is {value!r}", expected="true or false")


def _task_index(env: _Variables) -> int | None:
    """Kubernetes numbers the pods of an Indexed Job."""
    name = "JOB_COMPLETION_INDEX"
    return _number(env, name, default=0, low=0, high=2**31) if env.get(name) else None


def _number(env: _Variables, name: str, *, default: int, low: int, high: int) -> int:
    value = env.get(name) or str(default)
    try:
        number = int(value)
    except ValueError:
        number = low - 1
    if not low <= number <= high:
        raise ConfigurationError(
            f"{name} is {value!r}", expected=f"a whole number, {low} to {high}"
        )
    return number


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return f"uid-{os.getuid()}"
