"""The environment is read once, checked, and its secrets are never shown."""

import dataclasses
import getpass
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from platform_pipelines import settings as settings_module
from platform_pipelines.errors import ConfigurationError
from platform_pipelines.settings import (
    MAX_WORKERS,
    LanguageModelSettings,
    S3Settings,
    Secret,
    ServingSettings,
    load_settings,
)
from platform_pipelines.variables import WORKER_ENVIRONMENT

SECRETS = {
    "PLATFORM_MILVUS_TOKEN": "secret-1",
    "PLATFORM_S3_ACCESS_KEY": "secret-2",
    "PLATFORM_S3_SECRET_KEY": "secret-3",
    "PLATFORM_S3_SESSION_TOKEN": "secret-4",
    "PLATFORM_EMBEDDER_API_KEY": "secret-5",
    "PLATFORM_LANGUAGE_MODEL_API_KEY": "secret-6",
    "PLATFORM_SIGNING_KEY": "secret-7",
    "PLATFORM_NOTIFY_WEBHOOK": "secret-8",
}
MODEL = {"PLATFORM_LANGUAGE_MODEL_URL": "http://m:8000/v1", "PLATFORM_LANGUAGE_MODEL": "served"}


def test_an_empty_environment_works_on_a_laptop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`git clone` and `make demo` set nothing."""
    monkeypatch.chdir(tmp_path)
    settings = load_settings({})
    assert settings.home == tmp_path / ".platform"
    assert settings.store_url == (tmp_path / ".platform" / "store").as_uri()
    assert settings.model_dir == tmp_path / ".platform" / "models"
    assert settings.milvus_dir == tmp_path / ".platform" / "milvus"
    assert settings.milvus_uri is None
    assert settings.milvus_token is None
    assert settings.milvus_gpu is False
    assert settings.s3 == S3Settings()
    assert settings.embedder_api_key is None
    assert settings.language_model is None
    assert settings.actor == getpass.getuser()
    assert 1 <= settings.workers <= MAX_WORKERS
    assert settings.lease_wait_seconds == 600


@pytest.mark.parametrize("marker", ["dg.toml", "pyproject.toml", ".platform"])
def test_home_is_beside_the_nearest_project_file(
    marker: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`platform-pipelines ask` in a sub-folder must find what the job made above it."""
    (tmp_path / marker).mkdir()
    deep = tmp_path / "docs" / "한글"
    deep.mkdir(parents=True)
    monkeypatch.chdir(deep)
    assert load_settings({}).home == tmp_path / ".platform"


def test_every_variable_reaches_its_setting(tmp_path: Path) -> None:
    """A variable that is read and dropped is found by nobody."""
    settings = load_settings(
        {
            **SECRETS,
            **MODEL,
            "PLATFORM_HOME": str(tmp_path),
            "PLATFORM_STORE_URL": "s3://bucket/prefix",
            "PLATFORM_MODEL_DIR": str(tmp_path / "m"),
            "PLATFORM_ENVIRONMENTS_DIR": str(tmp_path / "e"),
            "PLATFORM_MILVUS_URI": "https://milvus:19530",
            "PLATFORM_MILVUS_GPU": "true",
            "PLATFORM_EMBEDDER_URL": "http://127.0.0.1:8000/v1",
            "PLATFORM_S3_ENDPOINT": "http://s3:9000",
            "PLATFORM_S3_REGION": "ap-northeast-2",
            "PLATFORM_S3_PATH_STYLE": "off",
            "PLATFORM_ACTOR": "민지",
            "PLATFORM_WORKERS": "7",
            "PLATFORM_LEASE_WAIT_SECONDS": "0",
            "JOB_COMPLETION_INDEX": "12",
            "PLATFORM_ENVIRONMENT": "production",
            "PLATFORM_KUBECONFIG": str(tmp_path / "kubeconfig"),
            "PLATFORM_KUBE_CONTEXT": "eks",
            "PLATFORM_API_KEY_HOSTS": "models.corp.example, *.ai.example",
            "PLATFORM_SOURCES": "s3://documents,file:///srv",
            "PLATFORM_DEFINITIONS": str(tmp_path / "crds"),
        }
    )
    read = dataclasses.asdict(settings)
    assert set(read.pop("gateways").values()) == {None}  # ready-made ones come from no variable
    assert read == {
        "home": tmp_path,
        "store_url": "s3://bucket/prefix",
        "model_dir": tmp_path / "m",
        "environments_dir": tmp_path / "e",
        "milvus_uri": "https://milvus:19530",
        "milvus_token": {"value": "secret-1"},
        "milvus_gpu": True,
        "s3": {
            "endpoint": "http://s3:9000",
            "region": "ap-northeast-2",
            "path_style": False,
            "access_key": {"value": "secret-2"},
            "secret_key": {"value": "secret-3"},
            "session_token": {"value": "secret-4"},
        },
        "embedder_api_key": {"value": "secret-5"},
        "embedder_url": "http://127.0.0.1:8000/v1",
        "language_model": {
            "url": "http://m:8000/v1",
            "model": "served",
            "api_key": {"value": "secret-6"},
        },
        "language_model_api_key": {"value": "secret-6"},
        "language_model_seconds": 120.0,
        "judge_api_key": None,
        "key_hosts": ("models.corp.example", "*.ai.example"),
        "sources": ("s3://documents", "file:///srv"),
        "notify_webhook": {"value": "secret-8"},
        "signing_key": {"value": "secret-7"},
        "signer_keys": (),
        "serving": dataclasses.asdict(ServingSettings()),
        "actor": "민지",
        "workers": 7,
        "lease_wait_seconds": 0,
        "task_index": 12,
        "environment": "production",
        "kubeconfig": tmp_path / "kubeconfig",
        "kube_context": "eks",
        "compute": "local",
        "namespace": "platform",
        "image": None,
        "task_config_maps": (),
        "task_secrets": (),
        "task_service_account": None,
        "queue": None,
        "definitions": tmp_path / "crds",
        "profiles_file": None,
    }


@pytest.mark.parametrize("show", [str, repr, "{}".format, "{!r}".format, "%s".__mod__])
def test_a_secret_is_never_shown(show: Any) -> None:
    """Settings are logged, put into error messages and printed by pytest."""
    settings = load_settings({**SECRETS, **MODEL})
    for one in (settings, settings.s3, settings.language_model, settings.milvus_token):
        assert not any(value in show((one,)) for value in SECRETS.values())
        assert not any(value in show(one) for value in SECRETS.values() if one is not None)
    assert str(Secret("x")) == "***"


def test_a_secret_of_nothing_is_none() -> None:
    """Compose and Kubernetes set a missing secret to an empty text; that is no key."""
    settings = load_settings(dict.fromkeys(SECRETS, ""))
    assert settings.milvus_token is None
    assert settings.s3 == S3Settings()
    assert settings.embedder_api_key is None


def test_a_variable_set_to_nothing_is_not_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`PLATFORM_WORKERS=` in a .env file means the default."""
    monkeypatch.chdir(tmp_path)
    names = [
        "PLATFORM_HOME", "PLATFORM_STORE_URL", "PLATFORM_MODEL_DIR", "PLATFORM_MILVUS_URI",
        "PLATFORM_MILVUS_GPU", "PLATFORM_S3_ENDPOINT", "PLATFORM_S3_REGION",
        "PLATFORM_S3_PATH_STYLE", "PLATFORM_ACTOR", "PLATFORM_WORKERS",
        "PLATFORM_LEASE_WAIT_SECONDS", *SECRETS, *MODEL,
    ]  # fmt: skip
    assert load_settings(dict.fromkeys(names, "")) == load_settings({})


def test_paths_are_absolute_and_know_the_home_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Workers start elsewhere; a relative path would be another folder there."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "me"))
    settings = load_settings({"PLATFORM_HOME": "state", "PLATFORM_MODEL_DIR": "~/models"})
    assert settings.home == tmp_path / "state"
    assert settings.model_dir == tmp_path / "me" / "models"
    assert settings.store_url == (tmp_path / "state" / "store").as_uri()
    above = load_settings({"PLATFORM_HOME": "project/../state"})
    assert above.store_url == settings.store_url


@pytest.mark.parametrize("name", [*SECRETS, "PLATFORM_STORE_URL", "PLATFORM_S3_REGION"])
@pytest.mark.parametrize("control", ["\n", "\r\n", "\x00", "\x1b"])
def test_a_control_character_inside_is_refused_and_nothing_of_it_is_shown(
    name: str, control: str
) -> None:
    """An HTTP client printed the key in its complaint, into Dagster's database; Rust panicked."""
    with pytest.raises(ConfigurationError, match=name) as caught:
        load_settings({**SECRETS, **MODEL, name: f"open-se{control}same"})
    assert "same" not in str(caught.value)
    assert "U+" in str(caught.value)


@pytest.mark.parametrize("name", SECRETS)
def test_the_end_of_a_pasted_line_is_not_part_of_a_value(name: str) -> None:
    """`echo key > file`, and a secret that is mounted from that file."""
    assert load_settings({**SECRETS, name: SECRETS[name] + "\n"}) == load_settings(SECRETS)


def test_the_usual_names_of_s3_are_known() -> None:
    """Whoever uses the S3 command line has them set; ours win."""
    usual = {"AWS_ENDPOINT_URL": "http://a", "AWS_REGION": "r"}
    assert load_settings(usual).s3 == S3Settings(endpoint="http://a", region="r")
    ours = {"PLATFORM_S3_ENDPOINT": "http://b", "PLATFORM_S3_REGION": "q"}
    assert load_settings(usual | ours).s3 == S3Settings(endpoint="http://b", region="q")


@pytest.mark.parametrize("uri", ["http://m:19530", "https://m", "tcp://m:19530"])
def test_a_milvus_server_is_a_url(uri: str) -> None:
    """What pymilvus takes for a server."""
    assert load_settings({"PLATFORM_MILVUS_URI": uri}).milvus_uri == uri


@pytest.mark.parametrize("uri", ["milvus.db", "/data/milvus.db", "m:19530", "ftp://m"])
def test_a_milvus_file_is_refused(uri: str) -> None:
    """pymilvus would open it as an embedded database, in every process, and corrupt it."""
    with pytest.raises(ConfigurationError, match="PLATFORM_MILVUS_URI") as caught:
        load_settings({"PLATFORM_MILVUS_URI": uri})
    assert repr(uri) in str(caught.value)
    assert "unset it" in caught.value.remedy


@pytest.mark.parametrize(
    ("name", "holder"),
    [
        ("PLATFORM_MILVUS_URI", "PLATFORM_MILVUS_TOKEN"),
        ("PLATFORM_LANGUAGE_MODEL_URL", "PLATFORM_LANGUAGE_MODEL_API_KEY"),
        ("PLATFORM_S3_ENDPOINT", "PLATFORM_S3_ACCESS_KEY and PLATFORM_S3_SECRET_KEY"),
        ("AWS_ENDPOINT_URL", "PLATFORM_S3_ACCESS_KEY and PLATFORM_S3_SECRET_KEY"),
        ("PLATFORM_STORE_URL", "PLATFORM_S3_ACCESS_KEY and PLATFORM_S3_SECRET_KEY"),
    ],
)
@pytest.mark.parametrize("form", ["http://user:{}@host:9/v1", "user:{}@host", "s3://{}@bucket"])
def test_an_address_with_a_password_is_refused_and_not_shown(
    name: str, holder: str, form: str
) -> None:
    """`doctor` showed it, and so did the very message that refused it."""
    with pytest.raises(ConfigurationError, match=name) as caught:
        load_settings({**MODEL, name: form.format("sesame")})
    assert "sesame" not in str(caught.value)
    assert "***@" in str(caught.value)
    assert holder in caught.value.remedy


@pytest.mark.parametrize("present", MODEL)
def test_half_a_language_model_is_refused(present: str) -> None:
    """A url without a model's name would be told by the server, at the first question."""
    with pytest.raises(ConfigurationError, match="go together"):
        load_settings({present: MODEL[present]})
    whole = load_settings(MODEL).language_model
    assert whole == LanguageModelSettings(url="http://m:8000/v1", model="served")


@pytest.mark.parametrize(
    ("text", "value"),
    [(t, True) for t in ("1", "true", "TRUE", " yes ", "On")]
    + [(t, False) for t in ("0", "false", "False", "no", "off ")],
)
def test_switches_are_read_as_people_write_them(text: str, value: bool) -> None:
    """`PLATFORM_MILVUS_GPU=False` is a true text in Python."""
    settings = load_settings({"PLATFORM_MILVUS_GPU": text, "PLATFORM_S3_PATH_STYLE": text})
    assert settings.milvus_gpu is value
    assert settings.s3.path_style is value


@pytest.mark.parametrize("name", ["PLATFORM_MILVUS_GPU", "PLATFORM_S3_PATH_STYLE"])
def test_a_switch_that_is_neither_is_refused(name: str) -> None:
    """A typing error must not choose a side."""
    with pytest.raises(ConfigurationError, match=f"{name} is 'ture'") as caught:
        load_settings({name: "ture"})
    assert caught.value.expected == "true or false"


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [("PLATFORM_WORKERS", 1, MAX_WORKERS), ("PLATFORM_LEASE_WAIT_SECONDS", 0, 86_400)],
)
def test_numbers_have_bounds(name: str, low: int, high: int) -> None:
    """Both ends are allowed; anything else is told with the variable and its bounds."""
    for number in (low, high):
        settings = load_settings({name: str(number)})
        assert number in (settings.workers, settings.lease_wait_seconds)
    for text in (str(low - 1), str(high + 1), "many", "1.5", "nan", "1e2"):
        with pytest.raises(ConfigurationError, match=name) as caught:
            load_settings({name: text})
        assert repr(text) in str(caught.value)
        assert caught.value.expected == f"a whole number, {low} to {high}"


def told_workers(text: str) -> int | str:
    """The number of workers, or the words of the refusal; any other error is raised."""
    try:
        return load_settings({"PLATFORM_WORKERS": text}).workers
    except ConfigurationError as error:
        return error.what


@given(text=st.text(max_size=5))
def test_no_number_escapes_as_another_error(text: str) -> None:
    """Any text: a number within bounds, or a ConfigurationError that names the variable."""
    told = told_workers(text)
    assert told in range(1, MAX_WORKERS + 1) or str(told).startswith("PLATFORM_WORKERS ")


@pytest.mark.parametrize(("cores", "workers"), [(1, 1), (2, 2), (512, MAX_WORKERS)])
def test_the_default_number_of_workers_is_allowed(
    cores: int, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine with 384 cores must not be told that a variable which nobody set is wrong."""
    monkeypatch.setattr(settings_module, "usable_processors", lambda: cores)
    assert load_settings({}).workers == workers


@pytest.mark.parametrize("error", [KeyError("uid not found"), OSError("no such user")])
def test_a_user_without_a_name_is_a_number(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OpenShift runs containers under a number that is in no user table."""

    def unknown() -> str:
        raise error

    monkeypatch.setattr(getpass, "getuser", unknown)
    assert load_settings({}).actor == f"uid-{os.getuid()}"


def test_this_process_is_read_when_nothing_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one reader of the environment."""
    monkeypatch.setenv("PLATFORM_ACTOR", "somebody")
    assert load_settings().actor == "somebody"


def test_workers_see_no_secret_of_this_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A parser that a crafted document takes over must find no key to the store or to a server."""
    secrets = ("PLATFORM_S3_SECRET_KEY", "AWS_SECRET_ACCESS_KEY", "PLATFORM_MILVUS_TOKEN",
               "PLATFORM_LANGUAGE_MODEL_API_KEY", "GITHUB_TOKEN", "DATABASE_URL")  # fmt: skip
    for name in secrets:
        monkeypatch.setenv(name, f"secret-of-{name}")
    monkeypatch.setenv("LC_ALL", "ko_KR.UTF-8")
    own_key = {"PLATFORM_S3_ACCESS_KEY": "somebody", "PLATFORM_S3_SECRET_KEY": "sesame"}
    seen = load_settings(own_key).worker_environment
    assert set(seen) & set(secrets) == set()
    assert not any("secret-of" in value for value in seen.values())
    assert (seen["PATH"], seen["LC_ALL"]) == (os.environ["PATH"], "ko_KR.UTF-8")


def test_workers_see_the_credential_chain_where_no_key_is_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """They read the source themselves: in a pod with a web identity, all would be forbidden."""
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", "/var/run/token")
    assert load_settings({}).worker_environment["AWS_WEB_IDENTITY_TOKEN_FILE"] == "/var/run/token"


def test_workers_see_what_their_libraries_need(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ragas waits for its telemetry to time out, unless told; and a shell cannot undo it."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    settings = load_settings({})
    seen = settings.worker_environment
    assert seen.items() >= WORKER_ENVIRONMENT.items()
    assert Path(seen["XDG_DATA_HOME"]).is_relative_to(settings.home)
    assert os.environ["HF_HUB_OFFLINE"] == "0", "this process stays as it is"
