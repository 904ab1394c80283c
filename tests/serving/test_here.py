"""`search` and `ask` of the command line, where a server runs and where none does any more."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from platform_pipelines import cli
from platform_pipelines.serving.here import FOLDER, announce, asked_here
from platform_pipelines.settings import LanguageModelSettings, ServingSettings, Settings
from tests.declared import use_settings
from tests.knowledge import Knowledge, new_knowledge, settings_under
from tests.serving.running import Running, running

NAME = "served_here"
ASKED = "What is the quota of pool number 5?"
TOKEN = "token-of-the-default-tenant"
COUNTED = 'platform_requests_total{{knowledge_base="served_here",operation="{}",outcome="ok"}}'


@pytest.fixture(scope="module")
def guides(tmp_path_factory: pytest.TempPathFactory, lite_uri: str) -> Knowledge:
    folder = tmp_path_factory.mktemp("here")
    settings = settings_under(folder / "home", lite_uri)
    made = new_knowledge(folder / "kb", settings, guides=range(10), name=NAME)
    made.refresh()
    return made


@pytest.fixture
def secured(guides: Knowledge, tmp_path: Path) -> Settings:
    (tmp_path / "tokens.json").write_text(json.dumps({"default": [TOKEN]}), encoding="utf-8")
    return replace(guides.settings, serving=ServingSettings(tokens_file=tmp_path / "tokens.json"))


@pytest.fixture
def server(secured: Settings) -> Iterator[Running]:
    with running(secured) as started:
        yield started


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, Any]]:
    code = cli.run(lambda: cli.app([*arguments, "--json"]))
    return code, json.loads(capsys.readouterr().out)


@pytest.mark.parametrize(("command", "operation"), [("search", "search"), ("ask", "answer")])
def test_a_running_server_is_asked_and_says_the_same(
    secured: Settings, guides: Knowledge, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str], command: str, operation: str,
) -> None:  # fmt: skip
    """With the tenant's token, without a word of it from the person; field by field as alone."""
    use_settings(monkeypatch, secured)
    monkeypatch.setenv("PLATFORM_SERVE_TOKENS_FILE", str(secured.serving.tokens_file))
    alone = told(capsys, command, NAME, ASKED)
    with running(secured) as server:
        served = told(capsys, command, NAME, ASKED)
        assert f"{COUNTED.format(operation)} 1.0" in server.client.get("/metrics").text
    assert served == alone
    assert served[0] == 0
    assert told(capsys, command, NAME, ASKED) == alone


def test_what_a_server_refuses_is_told_by_the_store(
    server: Running, secured: Settings, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """The same error and exit code as without one."""
    use_settings(monkeypatch, secured)
    assert cli.run(lambda: cli.app(["search", "nothing", "x"])) == cli.EXIT_ERROR
    assert "UnknownNameError" in capsys.readouterr().err


def test_a_server_that_ended_or_is_another_one_is_not_asked(
    server: Running, secured: Settings, guides: Knowledge
) -> None:
    """A record may outlive its server, and its port may be somebody else's."""
    body = {"knowledge_base": NAME, "query": ASKED}
    folder = secured.home / FOLDER
    assert asked_here(secured, "/v1/search", "default", body) is not None
    (mine,) = folder.glob("*.json")
    assert mine.stat().st_mode & 0o077 == 0
    other = replace(secured, language_model=LanguageModelSettings("http://m/v1", "another"))
    assert asked_here(other, "/v1/search", "default", body) is None
    assert (
        asked_here(replace(secured, store_url="file:///x"), "/v1/search", "default", body) is None
    )
    mine.unlink()
    announce(secured, server.url, "somebody-else")
    announce(secured, "http://127.0.0.1:1", "gone")
    (folder / "broken.json").write_text("{", encoding="utf-8")
    assert asked_here(secured, "/v1/search", "default", body) is None


def test_a_server_that_ends_takes_its_record_away(guides: Knowledge, tmp_path: Path) -> None:
    """Nobody waits for a port that is closed."""
    settings = replace(guides.settings, home=tmp_path)
    with running(settings):
        assert len(list((tmp_path / FOLDER).glob("*.json"))) == 1
    assert list((tmp_path / FOLDER).glob("*")) == []
