"""A thousand requests that try to read another tenant's passages, by every protocol: none does.

The worst case is made: the foreign passages lie in the very collection that is searched.
"""

import itertools
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from platform_pipelines.serving.langchain import Served
from platform_pipelines.settings import ServingSettings
from tests.knowledge import Knowledge, new_knowledge, settings_under
from tests.serving.askers import mcp_session, openai_asker
from tests.serving.running import Running, running

NAME, OTHERS = "walled", "walled_others"
MINE, THEIRS = "token-of-the-default-tenant", "token-of-the-others-tenant"
SECRET = "Kestrel"  # in every document of the other tenant, and in no other
ASKED = "What is the quota of pool number 5?"
REQUESTS = 1_000
BREAKS = (
    'default" or tenant != "', '" or 1 == 1 or "" == "', 'x") or (tenant == "others"',
    'default" || tenant like "%', "default' or tenant != '", 'default\\" or tenant != \\"',
    'default\\\\" or tenant == "others" or tenant == "', '"] or tenant in ["others"',
    'default" or json_contains(tenant, "others") or tenant == "', "others", " others", "others ",
    "OTHERS", "\u0000others", "default\u0000others", "default\n others", "%", "*", "de_ault",
    "{tenant}", "$tenant", "default,others", '["default", "others"]', "../others", "", " ",
    "ｏｔｈｅｒｓ", "others\u200b", "default OR others",
)  # fmt: skip


def write(knowledge: Knowledge, number: int) -> None:
    text = f"# Plans\n\nThe quota of pool number {number} is {number} {SECRET} devices.\n"
    (knowledge.documents / f"guide{number}.md").write_text(text, encoding="utf-8")


def copied_into(mine: Knowledge, theirs: Knowledge) -> int:
    """Their rows in my collection, behind the product's back; how many."""
    with theirs.behind() as client:
        rows = client.query(
            theirs.log()[-1].target, filter="", limit=100, output_fields=["*"],
            consistency_level="Strong",
        )  # fmt: skip
        target = mine.log()[-1].target
        given = [{n: v for n, v in row.items() if n != "sparse"} for row in rows]
        client.insert(target, given)
        client.flush(target)
    return len(given)


@pytest.fixture(scope="module")
def mine(tmp_path_factory: pytest.TempPathFactory, lite_uri: str) -> Knowledge:
    folder = tmp_path_factory.mktemp("walled")
    settings = settings_under(folder / "home", lite_uri)
    made = new_knowledge(folder / "mine", settings, guides=range(8), name=NAME)
    made.refresh()
    others = new_knowledge(
        folder / "theirs", settings, guides=range(8), name=OTHERS, tenant="others"
    )
    for number in range(8):
        write(others, number)
    others.refresh()
    assert copied_into(made, others) >= 8
    return made


@pytest.fixture(scope="module")
def server(mine: Knowledge, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    tokens: Path = tmp_path_factory.mktemp("tokens") / "tokens.json"
    tokens.write_text(json.dumps({"default": [MINE], "others": [THEIRS]}), encoding="utf-8")
    serving = ServingSettings(tokens_file=tokens, requests_per_minute=1_000_000)
    with running(replace(mine.settings, serving=serving)) as started:
        yield started


def bodies(text: str) -> list[dict[str, Any]]:
    """Ways in which a text reaches a field of a request."""
    return [
        {"knowledge_base": NAME, "query": ASKED, "tenant": text},
        {"knowledge_base": NAME, "query": f"{ASKED} {text}"},
        {"knowledge_base": NAME, "query": text},
        {"knowledge_base": text, "query": ASKED},
        {"knowledge_base": OTHERS, "query": ASKED},
        {"knowledge_base": OTHERS, "query": text},
        {"knowledge_base": NAME, "query": ASKED, "filter": text},
        {"knowledge_base": NAME, "query": ASKED, "expr": f'tenant == "others" or "{text}" != ""'},
        {"knowledge_base": NAME, "query": ASKED, "tenant": [text, "others"]},
        {"knowledge_base": NAME, "query": ASKED, "k": 100},
        {"knowledge_base": f"{NAME}/../{OTHERS}", "query": f"{ASKED} {text}"},
    ]


def raw(server: Running) -> Iterator[str]:
    """Replies to requests as a stranger writes them, with all that a body or a header may hold."""
    headers = {"Authorization": f"Bearer {MINE}"}
    for path, text in itertools.product(("/v1/search", "/v1/answer"), BREAKS):
        for body in bodies(text):
            yield server.client.post(path, json=body, headers=headers).text
    turn = {"role": "user", "content": ASKED}
    for text in BREAKS:
        chat = {"model": NAME, "messages": [turn], "user": text, "tenant": text, "filter": text}
        for named in ({}, {"X-Tenant": "".join(c for c in text if " " < c < "\x7f") or "others"}):
            sent = {**headers, **named}
            yield server.client.post("/v1/chat/completions", json=chat, headers=sent).text
            body = {"knowledge_base": NAME, "query": ASKED}
            yield server.client.post("/v1/search", json=body, headers=sent).text


def by_mcp(server: Running) -> Iterator[str]:
    """The real MCP client, with every argument of both tools."""
    with mcp_session(server.url, MINE) as call:
        for tool, text in itertools.product(("search", "answer"), BREAKS):
            for asked in (
                {"knowledge_base": NAME, "query": ASKED, "tenant": text},
                {"knowledge_base": NAME, "query": f"{ASKED} {text}", "k": 100},
                {"knowledge_base": OTHERS, "query": ASKED, "filter": text},
            ):
                yield str(call(tool, asked))


def by_libraries(server: Running) -> Iterator[str]:
    """The real OpenAI client, and the shipped LangChain retriever with a tenant of its own."""
    with openai_asker(server.url, NAME, MINE) as ask:
        for text in BREAKS:
            yield ask(f"{ASKED} {text}").text
    for text in BREAKS:
        try:
            found = Served(server.url, NAME, token=MINE, tenant=text).documents(ASKED)
        except httpx.HTTPStatusError as error:
            yield error.response.text
        else:
            yield "".join(document.page_content for document in found)


def without_tokens(mine: Knowledge) -> Iterator[str]:
    """A server on this machine alone, whose requests name their tenant."""
    with running(mine.settings) as server:
        for path, text in itertools.product(("/v1/search", "/v1/answer"), BREAKS):
            if text != "others":
                body = {"knowledge_base": NAME, "query": ASKED, "tenant": text}
                yield server.client.post(path, json=body).text


def test_no_request_reads_another_tenants_passages(server: Running, mine: Knowledge) -> None:
    """Whatever it writes into which field; while their owner reads them, and the asker its own."""
    counted = 0
    for replies in (raw(server), by_mcp(server), by_libraries(server), without_tokens(mine)):
        for text in replies:
            counted += 1
            assert SECRET not in text
    assert counted >= REQUESTS
    body = {"knowledge_base": NAME, "query": ASKED}
    assert SECRET in server.post("/v1/search", THEIRS, **body).text
    assert "38 devices" in server.post("/v1/search", MINE, **body).text


@pytest.mark.parametrize("tenant", ["default\0others", "x" * 300])
def test_a_tenant_that_can_be_nobodys_is_a_wrong_request(mine: Knowledge, tenant: str) -> None:
    """No fault of the server: it is told to whoever sent it."""
    with running(mine.settings) as server:
        body = {"knowledge_base": NAME, "query": ASKED, "tenant": tenant}
        reply = server.client.post("/v1/search", json=body)
    assert reply.status_code == 400
    assert "tenant" in reply.json()["error"]["message"]
