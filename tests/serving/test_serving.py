"""A running server, asked by real clients: plain HTTP, openai's and mcp's."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import httpx2
import openai
import pytest
from mcp.client import Client
from mcp.client.streamable_http import streamable_http_client

from platform_pipelines.core.knowledge_base.chain import UNKNOWN
from platform_pipelines.core.knowledge_base.feedback import golden_candidates
from platform_pipelines.errors import ConfigurationError
from platform_pipelines.gateways.clock import SystemClock
from platform_pipelines.serving.server import make_app
from platform_pipelines.settings import ServingSettings
from platform_pipelines.stages.knowledge_base.feedback import read_feedback
from platform_pipelines.stages.road.connect import open_platform_store
from platform_pipelines.stages.road.usage import read_usage
from tests.knowledge import Knowledge, new_knowledge, settings_under
from tests.servers.chat_server import ChatServer
from tests.servers.otlp_receiver import OtlpReceiver
from tests.serving.running import Running, running

TOKEN, OTHER = "token-of-the-default-tenant", "token-of-somebody-else-"
ASKED = "What is the quota of pool number 5?"
UNANSWERED = "Who painted the ceiling of the Sistine chapel?"


def said_from(passage: str) -> str:
    """The first sentence with a number of a passage, cited: what an obedient model does."""
    line = next(line for line in passage.splitlines() if "quota" in line)
    return f"{line.split('. ')[0].rstrip('.')} [1]."


def obedient(body: dict[str, Any]) -> str:
    """A model that words its answer from the first passage that it was given."""
    user = body["messages"][-1]["content"]
    found = re.search(r"<<<passage 1 (\w+)\n(.*?)\npassage 1 \1>>>", user, re.DOTALL)
    assert found
    return said_from(found[2])


@pytest.fixture(scope="module")
def model() -> Iterator[ChatServer]:
    with ChatServer(obedient) as server:
        yield server


@pytest.fixture(scope="module")
def receiver() -> Iterator[OtlpReceiver]:
    with OtlpReceiver() as server:
        yield server


@pytest.fixture(scope="module")
def guides(tmp_path_factory: pytest.TempPathFactory, lite_uri: str, model: ChatServer) -> Knowledge:
    """Ten guides, released, whose answers a model words."""
    folder = tmp_path_factory.mktemp("served")
    settings = settings_under(folder / "home", lite_uri)
    answer = {"model": "scripted", "url": model.url}
    made = new_knowledge(folder / "kb", settings, guides=range(10), name="served", answer=answer)
    made.refresh()
    return made


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tokens") / "tokens.json"
    path.write_text(json.dumps({"default": [TOKEN], "others": [OTHER]}), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def server(guides: Knowledge, receiver: OtlpReceiver, tokens: Path) -> Iterator[Running]:
    serving = ServingSettings(tokens_file=tokens, otlp_endpoint=receiver.url)
    with running(replace(guides.settings, serving=serving)) as started:
        yield started


def test_a_search_names_the_revision_and_the_place(server: Running, guides: Knowledge) -> None:
    """What was found, where it stands, and in which revision."""
    found = server.post("/v1/search", TOKEN, knowledge_base="served", query=ASKED, k=3)
    assert found.status_code == 200, found.text
    record = found.json()
    assert record["revision"] == guides.log()[-1].revision
    assert len(record["hits"]) == 3
    assert record["hits"][0]["document_key"] == "guide5.md"


def test_an_answer_is_worded_checked_and_cited(server: Running, guides: Knowledge) -> None:
    """By the declared model, from the first passages."""
    found = server.post("/v1/answer", TOKEN, knowledge_base="served", query=ASKED).json()
    assert found["known"]
    text = "The quota of pool number 5 is 38 devices, approved by committee F5 [1]."
    assert found["text"] == text
    assert found["citations"][0]["document_key"] == "guide5.md"
    assert found["usage"]["input_tokens"] == 100
    assert (found["model"], found["revision"]) == ("scripted", guides.log()[-1].revision)


def test_a_streamed_answer_joins_to_the_whole(server: Running) -> None:
    """Events for a page that shows the answer as it comes."""
    reply = server.post("/v1/answer", TOKEN, knowledge_base="served", query=ASKED, stream=True)
    assert reply.headers["content-type"].startswith("text/event-stream")
    events = [e.split("\n", 1) for e in reply.text.strip().split("\n\n")]
    data = [(kind[len("event: ") :], json.loads(line[len("data: ") :])) for kind, line in events]
    assert [kind for kind, _ in data][-1] == "answer"
    text = "".join(record["text"] for kind, record in data if kind == "delta")
    assert text == data[-1][1]["text"]


@pytest.mark.parametrize(
    ("path", "token", "body", "status"),
    [
        ("/v1/search", "", {}, 401),
        ("/v1/search", "token-of-nobody-at-all", {}, 401),
        ("/v1/search", TOKEN, {"tenant": "others"}, 403),
        ("/v1/search", TOKEN, {"knowledge_base": "nothing"}, 404),
        ("/v1/search", TOKEN, {"query": "  "}, 400),
        ("/v1/search", TOKEN, {"query": "x" * 9000}, 400),
        ("/v1/search", TOKEN, {"k": 0}, 400),
        ("/v1/search", TOKEN, {"k": 101}, 400),
        ("/v1/search", TOKEN, {"k": True}, 400),
        ("/v1/answer", TOKEN, {"filter": "tenant == 'others'"}, 400),
    ],
)
def test_a_wrong_request_is_refused_and_told(
    server: Running, path: str, token: str, body: dict[str, Any], status: int
) -> None:
    """A status that a client can act on, and no word of what is inside."""
    reply = server.post(path, token, **{"knowledge_base": "served", "query": ASKED, **body})
    assert reply.status_code == status, reply.text
    assert reply.json()["error"]["message"]
    if status == 404:
        assert "served" in reply.json()["error"]["message"]


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"x" * 300_000])
def test_what_is_no_request_is_refused(server: Running, content: bytes) -> None:
    """Whatever a stranger posts."""
    headers = {"Authorization": f"Bearer {TOKEN}"}
    assert server.client.post("/v1/search", content=content, headers=headers).status_code == 400


def test_another_tenants_token_finds_nothing(server: Running) -> None:
    """The token says whose documents are searched; its owner has none here."""
    found = server.post("/v1/search", OTHER, knowledge_base="served", query=ASKED).json()
    assert found["hits"] == []
    answer = server.post("/v1/answer", OTHER, knowledge_base="served", query=ASKED).json()
    assert (answer["known"], answer["text"]) == (False, UNKNOWN["en"])


def test_openais_client_lists_asks_streams_and_reads_errors(server: Running) -> None:
    """The protocol that Open WebUI, Dify and most applications speak."""
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key=TOKEN, max_retries=0) as client:
        assert [m.id for m in client.models.list()] == ["served"]
        turn: Any = {"role": "user", "content": [{"type": "text", "text": ASKED}]}
        whole = client.chat.completions.create(model="served", messages=[turn])
        content = whole.choices[0].message.content
        assert content is not None
        assert "38 devices" in content
        assert "[1] guide5.md" in content
        assert whole.usage is not None
        assert whole.usage.total_tokens > 100
        stream = client.chat.completions.create(
            model="served", messages=[turn], stream=True, stream_options={"include_usage": True}
        )
        parts = list(stream)
        assert "".join(p.choices[0].delta.content or "" for p in parts if p.choices) == content
        assert parts[-1].usage is not None
        with pytest.raises(openai.NotFoundError, match="served"):
            client.chat.completions.create(model="nothing", messages=[turn])
        with pytest.raises(openai.BadRequestError):
            client.chat.completions.create(model="served", messages=[])
    with (
        openai.OpenAI(base_url=f"{server.url}/v1", api_key="wrong-key", max_retries=0) as client,
        pytest.raises(openai.AuthenticationError),
    ):
        client.models.list()


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_mcps_client_finds_and_answers(server: Running, mode: Any) -> None:
    """Agents of this and of an older protocol revision."""

    async def ask() -> tuple[list[str], Any, Any, Any]:
        async with (
            httpx2.AsyncClient(headers={"Authorization": f"Bearer {TOKEN}"}) as http,
            Client(
                streamable_http_client(f"{server.url}/mcp", http_client=http), mode=mode
            ) as client,
        ):
            tools = [tool.name for tool in (await client.list_tools()).tools]
            asked = {"knowledge_base": "served", "query": ASKED}
            found = await client.call_tool("search", {**asked, "k": 2})
            answer = await client.call_tool("answer", asked)
            unknown = await client.call_tool("answer", {**asked, "knowledge_base": "nothing"})
            return tools, found, answer, unknown

    tools, found, answer, unknown = anyio.run(ask)
    assert tools == ["search", "answer"]
    assert found.structured_content["hits"][0]["document_key"] == "guide5.md"
    assert "38 devices" in answer.structured_content["text"]
    assert unknown.is_error
    assert "served" in unknown.content[0].text


def test_every_answer_is_one_trace_with_its_tokens(
    server: Running, receiver: OtlpReceiver, guides: Knowledge
) -> None:
    """Retrieval and generation below it; nothing of what was said, unless that is declared."""
    found = server.post("/v1/answer", TOKEN, knowledge_base="served", query=ASKED).json()
    server.flush()
    spans = dict(receiver.traces()[found["trace_id"]])
    assert set(spans) == {"answer served", "retrieval", "chat scripted"}
    root, chat = spans["answer served"], spans["chat scripted"]
    assert root["platform.revision"] == guides.log()[-1].revision
    assert root["platform.tenant"] == "default"
    assert root["gen_ai.data_source.id"] == "served"
    assert chat["gen_ai.operation.name"] == "chat"
    assert chat["gen_ai.usage.input_tokens"] == 100
    assert chat["gen_ai.usage.output_tokens"] == root["gen_ai.usage.output_tokens"] > 5
    shown = json.dumps([a for _, _, a in receiver.spans])
    assert "38 devices" not in shown
    assert "quota of pool" not in shown


def test_what_answers_took_is_written_down_when_the_server_ends(
    guides: Knowledge, tokens: Path, receiver: OtlpReceiver
) -> None:
    """The page of costs reads it: one line an answer that a model worded, under its trace."""
    serving = ServingSettings(tokens_file=tokens, otlp_endpoint=receiver.url)
    settings = replace(guides.settings, serving=serving)
    with running(settings) as once:
        worded = once.post("/v1/answer", TOKEN, knowledge_base="served", query=ASKED).json()
        once.post("/v1/search", TOKEN, knowledge_base="served", query=ASKED)
    store = open_platform_store(settings)
    today = SystemClock().now().date()
    (took,) = [u for u in read_usage(store, today) if u.answer_id == worded["trace_id"]]
    assert (took.tenant, took.model, took.run) == ("default", "scripted", "")
    assert (took.input_tokens, took.output_tokens) == (100, worded["usage"]["output_tokens"])


def test_feedback_is_kept_once_and_becomes_a_candidate(server: Running, guides: Knowledge) -> None:
    """Under the revision that is live and the tenant of the token; a person accepts it later."""
    said = {
        "knowledge_base": "served", "trace_id": "0af7651916cd43dd8448eb211c80319c", "score": -1,
        "question": ASKED, "answer": "38 devices.", "comment": "it said 39",
    }  # fmt: skip
    assert server.post("/v1/feedback", TOKEN, **said).status_code == 201
    again = server.post("/v1/feedback", TOKEN, **said)
    assert (again.status_code, again.json()["new"]) == (200, False)
    (kept,) = read_feedback(guides.store)
    assert (kept.tenant, kept.revision) == ("default", guides.log()[-1].revision)
    (row,) = golden_candidates([kept])
    assert (row["state"], row["question"], row["answer"]) == ("candidate", ASKED, "38 devices.")


@pytest.mark.parametrize(
    ("token", "change", "status"),
    [
        ("", {}, 401),
        (OTHER, {"tenant": "default"}, 403),
        (TOKEN, {"knowledge_base": "nothing"}, 404),
        (TOKEN, {"score": 5}, 400),
        (TOKEN, {"question": " "}, 400),
        (TOKEN, {"trace_id": "../../live"}, 400),
        (TOKEN, {"comment": "x" * 30_000}, 400),
        (TOKEN, {"revision": "f" * 32}, 400),
    ],
)
def test_feedback_that_cannot_be_kept_is_refused(
    server: Running, guides: Knowledge, token: str, change: dict[str, Any], status: int
) -> None:
    """Nothing is written, and the body says what is wrong."""
    before = len(list(read_feedback(guides.store)))
    said = {"knowledge_base": "served", "trace_id": "a" * 32, "score": 1, "question": ASKED}
    reply = server.post("/v1/feedback", token, **{**said, **change})
    assert reply.status_code == status, reply.text
    assert reply.json()["error"]["message"]
    assert len(list(read_feedback(guides.store))) == before


def test_health_readiness_and_metrics(server: Running) -> None:
    """For Kubernetes and Prometheus; no token is asked for."""
    assert server.client.get("/healthz").status_code == 200
    assert server.client.get("/readyz").status_code == 200
    server.post("/v1/answer", TOKEN, knowledge_base="served", query=ASKED)
    page = server.client.get("/metrics").text
    counted = 'platform_requests_total{knowledge_base="served",operation="answer",outcome="ok"}'
    assert counted in page
    assert "platform_request_seconds_bucket" in page


def test_a_release_and_a_rollback_are_followed_without_a_restart(
    server: Running, guides: Knowledge
) -> None:
    """Each reply names one revision, and soon the new one."""

    def revision() -> str:
        reply = server.post("/v1/search", TOKEN, knowledge_base="served", query=ASKED)
        assert reply.status_code == 200, reply.text
        return reply.json()["revision"]

    first = revision()
    (guides.documents / "guide77.md").write_text("# New\n\nPool 77 has 5 devices.\n", "utf-8")
    guides.refresh()
    second = guides.log()[-1].revision
    assert second != first
    seen = [revision() for _ in range(200)]
    assert seen[-1] == second
    assert set(seen) <= {first, second}
    guides.roll_back()
    seen = [revision() for _ in range(200)]
    assert seen[-1] == first


def test_a_server_open_to_others_needs_tokens(guides: Knowledge) -> None:
    """Without them anybody would read every tenant's documents."""
    with pytest.raises(ConfigurationError, match="tokens") as caught:
        make_app(guides.settings, host="0.0.0.0", port=1, progress=print)
    assert "PLATFORM_SERVE_TOKENS_FILE" in caught.value.remedy
