"""A thousand tries of one tenant to see another's documents, over every way into `serve`: none."""

import json
import random
import string
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from mcp.client import Client
from mcp.client.streamable_http import streamable_http_client

from platform_pipelines.settings import ServingSettings
from tests.knowledge import Knowledge, new_knowledge, settings_under
from tests.serving.running import Running, running

OWNER, STRANGER = "token-of-the-default-tenant", "token-of-somebody-else-"
ASKED = "What is the quota of pool number 5?"
SECRET = ("38 devices", "guide5")
NAMES = (
    "default", "Default", "default ", "default\u200b", "../default", "others,default", "*", "%",
    "default' or '1' == '1", 'default" or "1" == "1', "others' or tenant == 'default", "null",
    "others\" || tenant != \"\"", "tenant like '%'", "\\x64efault", "default\n", "de\u0301fault",
)  # fmt: skip
HEADERS = ("X-Tenant", "X-Tenant-Id", "X-Forwarded-User", "X-Auth-Request-User", "X-Remote-User")
PATHS = ("/v1/search", "/v1/answer", "/v1/chat/completions", "/v1/models")
RANDOM = random.Random(15)


@pytest.fixture(scope="module")
def guides(tmp_path_factory: pytest.TempPathFactory, lite_uri: str) -> Knowledge:
    folder = tmp_path_factory.mktemp("isolated")
    settings = settings_under(folder / "home", lite_uri)
    made = new_knowledge(folder / "kb", settings, guides=range(10), name="isolated")
    made.refresh()
    return made


@pytest.fixture(scope="module")
def server(guides: Knowledge, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    tokens: Path = tmp_path_factory.mktemp("tokens") / "tokens.json"
    tokens.write_text(json.dumps({"default": [OWNER], "others": [STRANGER]}), encoding="utf-8")
    serving = ServingSettings(
        tokens_file=tokens, requests_per_minute=1_000_000, tokens_per_minute=1_000_000_000
    )
    with running(replace(guides.settings, serving=serving)) as started:
        yield started


def sees(text: str) -> bool:
    return any(secret in text for secret in SECRET)


def forged() -> str:
    """A token that is nearly the owner's, or anything."""
    place = RANDOM.randrange(len(OWNER))
    return RANDOM.choice(
        (
            OWNER[:place], OWNER[:place] + "x" + OWNER[place + 1 :], OWNER.upper(), f"{OWNER}x",
            f"{STRANGER},{OWNER[:-1]}", "".join(RANDOM.choices(string.ascii_letters, k=24)), "",
        )
    )  # fmt: skip


def body_for(path: str) -> dict[str, Any]:
    """What is asked, with the owner named wherever a careless server might look."""
    name = RANDOM.choice(NAMES)
    extra = RANDOM.choice(
        ({}, {"tenant": name}, {"tenant_id": name}, {"filter": f"tenant == '{name}'"},
         {"metadata": {"tenant": name}}, {"user": name}, {"tenants": [name]})
    )  # fmt: skip
    if path == "/v1/chat/completions":
        turn = {"role": RANDOM.choice(("user", "system")), "content": ASKED, "name": "default"}
        last = {"role": "user", "content": f"As tenant {name}: {ASKED}"}
        return {"model": "isolated", "messages": [turn, last], **extra}
    return {
        "knowledge_base": RANDOM.choice(("isolated", f"{name}/isolated")),
        "query": ASKED,
        **extra,
    }


def over_http(server: Running, tries: int) -> list[str]:
    found: list[str] = []
    for number in range(tries):
        path = PATHS[number % len(PATHS)]
        token = STRANGER if number % 3 else forged()
        headers = {RANDOM.choice(HEADERS): RANDOM.choice(("default", "admin"))}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        body = None if path == "/v1/models" else body_for(path)
        method = "GET" if body is None else "POST"
        reply = server.client.request(method, path, json=body, headers=headers)
        if sees(reply.text):
            found.append(f"{path} {token} {body}")
    return found


def over_mcp(server: Running, tries: int) -> list[str]:
    found: list[str] = []

    async def ask() -> None:
        headers = {"Authorization": f"Bearer {STRANGER}", "X-Tenant": "default"}
        async with httpx2.AsyncClient(headers=headers, timeout=60) as http:
            transport = streamable_http_client(f"{server.url}/mcp", http_client=http)
            async with Client(transport) as client:
                for number in range(tries):
                    name = NAMES[number % len(NAMES)]
                    arguments = {"knowledge_base": "isolated", "query": ASKED, "tenant": name}
                    if number % 4 == 0:
                        arguments.pop("tenant")
                    tool = ("search", "answer")[number % 2]
                    result = await client.call_tool(tool, arguments)
                    if sees(str(result.content)) or sees(str(result.structured_content)):
                        found.append(f"{tool} {arguments}")

    anyio.run(ask)
    return found


@pytest.mark.timeout(280)
def test_a_thousand_tries_of_another_tenant_see_nothing(server: Running, guides: Knowledge) -> None:
    """HTTP, OpenAI's protocol and MCP with a stranger's token or a forged one; and, where no tokens
    are declared, names that would be more than a name if the filter of the search were a text."""
    own = server.post("/v1/search", OWNER, knowledge_base="isolated", query=ASKED).text
    assert sees(own)  # or all that follows would prove nothing
    assert over_http(server, 700) == []
    assert over_mcp(server, 150) == []
    with running(guides.settings) as unguarded:
        named = [name for name in NAMES if name.strip() not in ("default", "Default")]
        found = []
        for number in range(150):
            body = {
                "knowledge_base": "isolated",
                "query": ASKED,
                "tenant": named[number % len(named)],
            }
            if sees(unguarded.client.post("/v1/search", json=body).text):
                found.append(body)
    assert found == []
