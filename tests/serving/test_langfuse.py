"""Langfuse: traces with prompt versions go there, and what people say there comes back."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from platform_pipelines import cli
from platform_pipelines.core.fine_tune.training_rows import parse_rows
from platform_pipelines.errors import (
    ConfigurationError,
    CredentialsError,
    RateLimitedError,
    UnavailableError,
)
from platform_pipelines.settings import Secret, ServingSettings, Settings
from platform_pipelines.stages.knowledge_base.feedback import read_feedback
from platform_pipelines.stages.knowledge_base.langfuse_feedback import Left, read_back
from tests.declared import use_settings
from tests.knowledge import Knowledge, new_knowledge, settings_under
from tests.servers.chat_server import ChatServer
from tests.servers.langfuse_server import AUTHORIZATION, LangfuseServer, score
from tests.serving.running import running

ASKED = "What is the quota of pool number 5?"


@pytest.fixture(scope="module")
def langfuse() -> Iterator[LangfuseServer]:
    with LangfuseServer() as server:
        yield server


@pytest.fixture(scope="module")
def base(
    tmp_path_factory: pytest.TempPathFactory, lite_uri: str, langfuse: LangfuseServer
) -> Iterator[Knowledge]:
    """Six guides whose answers a model words, and whose traces go to Langfuse."""
    folder = tmp_path_factory.mktemp("langfuse")
    with ChatServer(lambda _: "The quota of pool number 5 is 38 devices [1].") as model:
        serving = ServingSettings(
            otlp_endpoint=langfuse.url,
            otlp_headers=Secret(f"Authorization={AUTHORIZATION}"),
            trace_content=True,
        )
        settings = replace(settings_under(folder / "home", lite_uri), serving=serving)
        answer = {"model": "scripted", "url": model.url}
        made = new_knowledge(folder / "kb", settings, guides=range(6), name="said", answer=answer)
        made.refresh()
        yield made


@pytest.fixture(scope="module")
def trace(base: Knowledge, langfuse: LangfuseServer) -> str:
    """An answer that Langfuse knows of."""
    with running(base.settings) as server:
        body = {"knowledge_base": "said", "tenant": "default", "query": ASKED}
        found = server.post("/v1/answer", **body).json()
        server.flush()
    assert langfuse.traces()[found["trace_id"]]
    return str(found["trace_id"])


def said(settings: Settings) -> tuple[int, dict[Left, int]]:
    new, left = read_back(settings, "said", progress=print)
    return new, dict(left)


def test_a_generation_names_its_prompt_and_version(trace: str, langfuse: LangfuseServer) -> None:
    """So that answers of two prompts are told apart there; spans are asked to be shown at once."""
    spans = dict(langfuse.traces()[trace])
    prompt = {n: v for n, v in spans["chat scripted"].items() if "observation.prompt" in n}
    assert prompt == {
        "langfuse.observation.prompt.name": "answer",
        "langfuse.observation.prompt.version": 1,
    }
    assert spans["chat scripted"]["platform.prompt"] == "answer_1"
    sent = {name.lower(): value for name, value in langfuse.headers[-1].items()}
    assert sent["x-langfuse-ingestion-version"] == "4"
    assert sent["authorization"] == AUTHORIZATION


def test_scores_come_back_once_with_question_tenant_and_revision(
    base: Knowledge, trace: str, langfuse: LangfuseServer
) -> None:
    """Through all pages; corrections are answers; a model's own scores are no person's word."""
    below = {"kind": "observation", "id": "o", "traceId": trace}
    langfuse.scores = [
        score(trace, True, "BOOLEAN"),
        score(trace, 0, "NUMERIC", comment="it said 39", subject=below),
        score(trace, "38 devices.", "CORRECTION"),
        score(trace, 0.7, "NUMERIC"),
        score(trace, "fine", "CATEGORICAL"),
        score(trace, 1, "NUMERIC", source="EVAL"),
        score("f" * 32, 1, "NUMERIC"),
        score("s", 1, "NUMERIC", subject={"kind": "session", "id": "s"}),
        score(trace, "x" * 30_000, "CORRECTION"),
    ]
    assert said(base.settings) == (3, {Left.NO_WORD: 2, Left.NOT_OURS: 1, Left.UNFIT: 1})
    assert said(base.settings)[0] == 0
    kept = list(read_feedback(base.store))
    assert {(one.score, one.answer, one.comment) for one in kept} == {
        (1, "", ""), (-1, "", "it said 39"), (-1, "38 devices.", ""),
    }  # fmt: skip
    (place,) = {(one.question, one.tenant, one.revision, one.trace_id) for one in kept}
    assert place == (ASKED, "default", base.log()[-1].revision, trace)


def test_the_command_writes_candidates_of_golden_and_training_sets(
    base: Knowledge,
    trace: str,
    langfuse: LangfuseServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Neither is asked or learnt from until a person accepts it."""
    langfuse.scores = [score(trace, "38 devices.", "CORRECTION")]
    use_settings(monkeypatch, base.settings)
    monkeypatch.setenv("PLATFORM_OTLP_ENDPOINT", langfuse.url)
    monkeypatch.setenv("PLATFORM_OTLP_HEADERS", f"Authorization={AUTHORIZATION}")
    golden, training = tmp_path / "golden.jsonl", tmp_path / "training.jsonl"
    command = ["feedback", base.name, "--langfuse", "--output"]
    assert cli.run(lambda: cli.app([*command, str(golden)])) == 0
    assert cli.run(lambda: cli.app([*command, str(training), "--as", "training"])) == 0
    (row,) = [json.loads(line) for line in golden.read_text("utf-8").splitlines()]
    assert (row["question"], row["answer"], row["state"]) == (ASKED, "38 devices.", "candidate")
    text = training.read_text("utf-8")
    rows, refused = parse_rows(text, place="t", licence="", tenant="")
    assert rows == []
    assert "its state is candidate" in refused[0].reason
    accepted = text.replace("candidate", "accepted")
    ((chat,), refused) = parse_rows(accepted, place="t", licence="", tenant="")
    assert (chat.turns, refused) == ((("user", ASKED), ("assistant", "38 devices.")), [])


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, CredentialsError),
        (404, ConfigurationError),
        (429, RateLimitedError),
        (503, UnavailableError),
    ],
)
def test_a_refusal_says_what_to_do(
    base: Knowledge, langfuse: LangfuseServer, status: int, kind: Any
) -> None:
    """A wrong key, an old server, a limit, an outage: each is another error."""
    langfuse.status = status
    try:
        with pytest.raises(kind):
            said(base.settings)
    finally:
        langfuse.status = 200


def test_scores_of_another_shape_are_told(
    base: Knowledge, langfuse: LangfuseServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A version that is not known is not guessed at."""
    monkeypatch.setattr(langfuse, "give", lambda *_: (200, b'{"data": [{"id": 1}], "meta": {}}'))
    with pytest.raises(ConfigurationError, match="another shape"):
        said(base.settings)


def test_without_langfuse_nothing_is_asked(base: Knowledge) -> None:
    """Another receiver of traces has no scores."""
    with pytest.raises(ConfigurationError, match="traces do not go to Langfuse"):
        said(replace(base.settings, serving=ServingSettings()))
