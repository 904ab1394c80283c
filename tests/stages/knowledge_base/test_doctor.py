"""`doctor`: what it looks at, what it calls broken, and that its remedies are true."""

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from platform_pipelines import cli
from platform_pipelines.errors import ConfigurationError, SourceForbiddenError, UnavailableError
from platform_pipelines.gateways.e5.model_files import ENCODER, version_folder
from platform_pipelines.gateways.language_model import LanguageModel, Message
from platform_pipelines.gateways.object_store import ObjectStore
from platform_pipelines.settings import LanguageModelSettings, Settings
from platform_pipelines.stages.knowledge_base import connect, doctor
from platform_pipelines.stages.knowledge_base.doctor import Finding, Health, examine
from platform_pipelines.stages.road import connect as road_connect
from tests.declared import use_settings
from tests.fakes import FaultyObjectStore


def findings(settings: Settings) -> dict[str, Finding]:
    return {one.part: one for one in examine(settings)}


def broken(settings: Settings, part: str) -> Finding:
    """What is found of a part that must be broken."""
    found = findings(settings)[part]
    assert found.health is Health.BROKEN
    return found


def stored(settings: Settings) -> list[str]:
    store = road_connect.open_platform_store(settings)
    return [item.key for batch in store.list_objects() for item in batch]


def use_store(patch: pytest.MonkeyPatch, store: ObjectStore) -> None:
    patch.setattr(road_connect, "open_platform_store", lambda _: store)


class Careless:
    """A store that takes every write, as an S3 server does that ignores conditions."""

    def __init__(self, inner: ObjectStore) -> None:
        self._inner = inner
        self.url = inner.url

    def put(self, key: str, data: bytes, **_: Any) -> str:
        return self._inner.put(key, data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


class Silent:
    """A language model that is down."""

    name = "m"

    def complete(self, messages: Sequence[Message]) -> str:
        del messages
        raise UnavailableError("nobody answers")

    def close(self) -> None:
        """Nothing is open."""


def test_a_usable_machine_is_looked_at_in_every_part(settings: Settings) -> None:
    """What is not looked at is found by the first run that fails."""
    found = findings(settings)
    assert {
        "configuration", "network", "versions", "disk", "memory budgets", "store", "model",
        "milvus",
        "language model", "knowledge bases", "store identity",
    } == set(found)  # fmt: skip
    assert "compares and swaps" in found["store"].seen
    assert str(settings.home) in found["configuration"].seen
    assert not any(f.health is Health.BROKEN for f in found.values())
    assert all(f.remedy for f in found.values() if f.health is not Health.OK)


def test_looking_at_the_store_leaves_nothing_there(settings: Settings) -> None:
    """Two people may run `doctor` at once, every day."""
    assert findings(settings)["store"].health is Health.OK
    assert stored(settings) == []


def test_a_store_that_cannot_be_written_is_broken(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key that may only read lists everything well, and fails the first refresh."""
    inner = road_connect.open_platform_store(settings)
    refused = SourceForbiddenError("the credentials in use may not write")
    use_store(monkeypatch, FaultyObjectStore(inner, fail_before=1.0, error=lambda: refused))
    store = broken(settings, "store")
    assert "may not write" in store.seen
    assert "right to write" in store.remedy


def test_a_store_that_does_not_compare_and_swap_is_broken(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Leases and the release log would let two runs overwrite each other, and nobody notices."""
    use_store(monkeypatch, Careless(road_connect.open_platform_store(settings)))  # pyright: ignore[reportArgumentType]
    store = broken(settings, "store")
    assert "does not compare and swap" in store.seen
    assert "If-None-Match" in store.remedy
    assert stored(settings) == []


def test_a_store_that_is_no_url_is_told_by_its_variable(settings: Settings) -> None:
    """`where: url` says nothing to whoever set PLATFORM_STORE_URL."""
    for url in ("store", "gs://bucket"):
        wrong = replace(settings, store_url=url)
        with pytest.raises(ConfigurationError) as caught:
            road_connect.open_platform_store(wrong)
        assert caught.value.where == "PLATFORM_STORE_URL"
        with pytest.raises(ConfigurationError) as caught:
            connect.open_knowledge_store(wrong, "handbook")
        assert caught.value.where == "PLATFORM_STORE_URL"


def test_a_system_without_memory_budgets_is_told(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On macOS `parse.memory_mb` is a wish; who relies on it must know."""
    assert findings(settings)["memory budgets"].health is Health.OK
    monkeypatch.setattr(doctor, "memory_is_bounded", lambda: False)
    found = findings(settings)["memory budgets"]
    assert found.health is Health.WARNING
    assert "not enforced" in found.seen
    assert found.remedy


def test_a_language_model_that_does_not_answer_is_broken(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every `ask` would fail, while `doctor` says ok."""
    model: LanguageModel = Silent()
    monkeypatch.setattr(connect, "open_language_model", lambda _: model)
    named = LanguageModelSettings(url="http://127.0.0.1:1/v1", model="m")
    found = broken(replace(settings, language_model=named), "language model")
    assert "nobody answers" in found.seen
    assert "PLATFORM_LANGUAGE_MODEL_URL" in found.remedy


def test_a_password_in_an_address_is_not_shown(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it says is pasted into tickets."""
    monkeypatch.setattr(connect, "open_language_model", lambda _: Silent())
    named = LanguageModelSettings(url="http://u:sesame@127.0.0.1:1/v1", model="m")
    secret = replace(settings, language_model=named, store_url="s3://u:sesame@bucket")
    said = [repr(one) for one in examine(secret)]
    said.append(repr(next(examine(replace(settings, milvus_uri="http://u:sesame@host")))))
    assert [one for one in said if "sesame" in one] == []
    assert sum("***@" in one for one in said) >= 3


def test_a_home_that_cannot_be_written_is_broken(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A read-only disk with much free space is no place for a run."""
    monkeypatch.setattr(doctor.os, "access", lambda *_: False)
    found = broken(settings, "disk")
    assert "PLATFORM_HOME" in found.remedy


@pytest.mark.model
def test_the_remedy_for_a_missing_model_makes_it(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The message named `doctor` as what makes the files, and `doctor` only looked."""
    use_settings(monkeypatch, settings)
    missing = findings(settings)["model"]
    assert missing.health is Health.WARNING
    assert "`platform-pipelines doctor --provision`" in missing.remedy
    assert cli.run(lambda: cli.app(["doctor", "--provision"])) == 0
    said = capsys.readouterr()
    assert "all digests verified" in said.out
    assert "ready in" in said.err
    assert findings(settings)["model"].health is Health.OK


@pytest.mark.model
def test_a_damaged_encoder_is_found(settings: Settings, e5_model_dir: Path, tmp_path: Path) -> None:
    """A cut-off copy of a model folder loads its tokenizer well, and fails in the first run."""
    models = tmp_path / "models"
    shutil.copytree(e5_model_dir, models)
    encoder = version_folder(models) / ENCODER
    encoder.write_bytes(encoder.read_bytes()[:-1])
    found = findings(replace(settings, model_dir=models))["model"]
    assert found.health is Health.WARNING
    assert "not what was made" in found.seen
    assert "--provision" in found.remedy
