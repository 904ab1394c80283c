"""`doctor`: what it says of a machine that is well, and of each part that is not."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from platform_pipelines import cli
from platform_pipelines.gateways.e5.model_files import version_folder
from platform_pipelines.settings import S3Settings, Secret, Settings
from platform_pipelines.stages.road import connect as road_connect
from tests.declared import use_settings
from tests.disks import remount, small_disk
from tests.knowledge import Knowledge, new_knowledge
from tests.servers.embedding_server import EmbeddingServer
from tests.servers.s3_server import REGION

Findings = dict[str, dict[str, Any]]
Doctor = Callable[[Settings], tuple[int, Findings]]
NOBODY = "http://127.0.0.1:1"


@pytest.fixture
def doctor(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Doctor:
    """The exit code, and the findings by part; whatever is not well names a remedy."""

    def run(settings: Settings) -> tuple[int, Findings]:
        use_settings(monkeypatch, settings)
        code = cli.run(lambda: cli.app(["doctor", "--json"]))
        report = json.loads(capsys.readouterr().out)
        findings = {one["part"]: one for one in report["findings"]}
        assert [
            one for one in findings.values() if one["health"] != "ok" and not one["remedy"]
        ] == []
        assert report["healthy"] is (code == 0)
        assert {"versions", "disk", "store", "model", "milvus", "language model"} <= set(findings)
        return code, findings

    return run


def unwell(findings: Findings) -> dict[str, str]:
    """Health by part, of the parts that are not well."""
    return {part: one["health"] for part, one in findings.items() if one["health"] != "ok"}


def test_a_machine_that_is_well_and_has_nothing_yet(doctor: Doctor, settings: Settings) -> None:
    """Exit code 0 in a fresh clone: what is not there yet is a warning with its remedy."""
    code, findings = doctor(settings)
    assert code == 0
    assert unwell(findings) == {"model": "warning", "knowledge bases": "warning"}
    assert "_refresh" in findings["knowledge bases"]["remedy"]


@pytest.mark.model
def test_a_model_that_is_missing_and_is_made(
    doctor: Doctor, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where its files belong, and what makes them: not the very command that says so."""
    _, findings = doctor(settings)
    assert findings["model"]["health"] == "warning"
    assert str(settings.model_dir) in findings["model"]["seen"]
    assert "platform-pipelines doctor --provision" in findings["model"]["remedy"]
    assert cli.run(lambda: cli.app(["doctor", "--provision", "--json"])) == 0
    made = {one["part"]: one for one in json.loads(capsys.readouterr().out)["findings"]}
    assert made["model"]["health"] == "ok"


@pytest.mark.model
@pytest.mark.parametrize("file", ["tokenizer.json", "encoder.onnx", "words.npy"])
def test_a_model_that_is_damaged(
    doctor: Doctor, settings: Settings, e5_model_dir: Path, tmp_path: Path, file: str
) -> None:
    """Each of its files: vectors of a damaged one look fine and find nothing."""
    ours = replace(settings, model_dir=tmp_path / "models")
    folder = version_folder(ours.model_dir)
    folder.mkdir(parents=True)
    for path in version_folder(e5_model_dir).iterdir():
        (folder / path.name).symlink_to(path)
    assert doctor(ours)[1]["model"]["health"] == "ok"
    (folder / file).unlink()
    (folder / file).write_bytes(b"cut off")
    code, findings = doctor(ours)
    assert code == 0
    assert findings["model"]["health"] == "warning"
    assert str(ours.model_dir) in findings["model"]["seen"]


class TestStore:
    """Where everything that was made lies."""

    def test_an_endpoint_where_nobody_answers(self, doctor: Doctor, settings: Settings) -> None:
        """The URL is named: there are several endpoints in a configuration."""
        key = Secret("anything")
        away = S3Settings(endpoint=NOBODY, region=REGION, access_key=key, secret_key=key)
        code, findings = doctor(replace(settings, store_url="s3://bucket/prefix", s3=away))
        assert code == cli.EXIT_BROKEN
        assert findings["store"]["health"] == "broken"
        assert "s3://bucket/prefix" in findings["store"]["seen"]
        assert "endpoint" in findings["store"]["remedy"]
        assert findings["milvus"]["health"] == "ok"

    def test_a_file_where_the_folder_should_be(
        self, doctor: Doctor, settings: Settings, tmp_path: Path
    ) -> None:
        """A misspelt path."""
        (tmp_path / "store.txt").touch()
        url = (tmp_path / "store.txt").as_uri()
        code, findings = doctor(replace(settings, store_url=url))
        assert code == cli.EXIT_BROKEN
        assert findings["store"]["health"] == "broken"
        assert url in findings["store"]["seen"]

    def test_a_folder_below_a_file(
        self, doctor: Doctor, settings: Settings, tmp_path: Path
    ) -> None:
        """Nothing can ever be written there."""
        (tmp_path / "file").touch()
        code, findings = doctor(replace(settings, store_url=(tmp_path / "file" / "s").as_uri()))
        assert code == cli.EXIT_BROKEN
        assert findings["store"]["health"] == "broken"

    def test_a_store_that_cannot_be_written(
        self, doctor: Doctor, settings: Settings, tmp_path: Path
    ) -> None:
        """Known now, and not after an hour of embedding."""
        with small_disk(tmp_path / "disk", kilobytes=1024) as folder:
            remount(folder, "ro")
            url = (folder / "store").as_uri()
            code, findings = doctor(replace(settings, store_url=url))
        assert code == cli.EXIT_BROKEN
        assert findings["store"]["health"] == "broken"
        assert url in findings["store"]["seen"]

    def test_looking_leaves_nothing_behind(self, knowledge: Knowledge, doctor: Doctor) -> None:
        """Whatever it tries in the store is taken back."""
        knowledge.refresh()
        store = road_connect.open_platform_store(knowledge.settings)
        before = [item for batch in store.list_objects("") for item in batch]
        assert doctor(knowledge.settings)[0] == 0
        assert [item for batch in store.list_objects("") for item in batch] == before


class TestDisk:
    """Room for what will be made."""

    @pytest.mark.parametrize("place", ["home", "store"])
    def test_a_disk_that_is_nearly_full(
        self, doctor: Doctor, settings: Settings, tmp_path: Path, place: str
    ) -> None:
        """A warning, with where, and which variable moves it to another disk."""
        with small_disk(tmp_path / "disk", kilobytes=1024) as folder:
            moved = {
                "home": replace(settings, home=folder / "home"),
                "store": replace(settings, store_url=(folder / "store").as_uri()),
            }[place]
            code, findings = doctor(moved)
        assert code == 0
        low = [one for one in findings.values() if str(folder) in one["seen"]]
        warned = [one for one in low if one["health"] == "warning"]
        assert len(warned) == 1
        variable = {"home": "PLATFORM_HOME", "store": "PLATFORM_STORE_URL"}[place]
        assert variable in warned[0]["remedy"]


class TestModelServers:
    """What is not on this machine."""

    def test_a_language_model_that_does_not_answer(
        self, doctor: Doctor, settings: Settings, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """`ask` would fail with 75: known here, with its URL."""
        monkeypatch.setenv("PLATFORM_LANGUAGE_MODEL_URL", f"{NOBODY}/v1")
        monkeypatch.setenv("PLATFORM_LANGUAGE_MODEL", "large")
        code, findings = doctor(settings)
        assert code == cli.EXIT_BROKEN
        assert findings["language model"]["health"] == "broken"
        assert NOBODY in findings["language model"]["seen"]

    def test_an_embedder_that_refuses_the_key(
        self, doctor: Doctor, settings: Settings, tmp_path: Path
    ) -> None:
        """A knowledge base that is released and cannot be searched is not well."""
        with EmbeddingServer() as server:
            embed = {
                "provider": "openai", "url": server.url, "model": server.model, "dimension": 384,
                "window_tokens": 512, "tokenizer": "server",
            }  # fmt: skip
            served = new_knowledge(tmp_path / "kb", settings, embed=embed)
            served.refresh()
            code, findings = doctor(settings)
            assert code == 0
            assert findings[served.name]["health"] == "ok"
            server.api_key = "exchanged"
            code, findings = doctor(settings)
        assert code == cli.EXIT_BROKEN
        assert findings[served.name]["health"] == "broken"
        assert "PLATFORM_EMBEDDER_API_KEY" in findings[served.name]["remedy"]


def test_a_collection_that_was_lost(doctor: Doctor, knowledge: Knowledge) -> None:
    """Milvus lost its disk: which knowledge base it was, and the job that fills it again."""
    knowledge.refresh()
    assert doctor(knowledge.settings)[0] == 0
    with knowledge.behind() as client:
        for alias in client.list_aliases(collection_name=knowledge.log()[-1].target)["aliases"]:
            client.drop_alias(alias=alias)
        client.drop_collection(knowledge.log()[-1].target)
    code, findings = doctor(knowledge.settings)
    assert code == cli.EXIT_BROKEN
    assert findings[knowledge.name]["health"] == "broken"
    assert f"{knowledge.name}_refresh" in findings[knowledge.name]["remedy"]
    assert knowledge.refresh()["release"]
    assert doctor(knowledge.settings)[0] == 0
