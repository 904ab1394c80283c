"""Requests of every protocol while a refresh, a release and a rollback go on: none fails, none
mixes revisions."""

import json
import re
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from platform_pipelines.settings import ServingSettings
from tests.knowledge import Knowledge, guide, new_knowledge, settings_under
from tests.serving.askers import (
    Asker,
    graph_asker,
    http_asker,
    mcp_asker,
    openai_asker,
    retriever_asker,
)
from tests.serving.running import running

GUIDES = range(6)
TOKEN = "token-of-the-default-tenant"
NAME = "loaded"
FINGERPRINT = 16  # characters of a revision that OpenAI's `system_fingerprint` holds
EDITION = re.compile("Edition(?:One|Two)")

Open = Callable[[str], AbstractContextManager[Asker]]
KINDS: dict[str, Open] = {
    "search": partial(http_asker, name=NAME, token=TOKEN, path="/v1/search"),
    "answer": partial(http_asker, name=NAME, token=TOKEN, path="/v1/answer"),
    "openai": partial(openai_asker, name=NAME, token=TOKEN),
    "openai, streamed": partial(openai_asker, name=NAME, token=TOKEN, stream=True),
    "mcp search": partial(mcp_asker, name=NAME, token=TOKEN, tool="search", mode="auto"),
    "mcp answer": partial(mcp_asker, name=NAME, token=TOKEN, tool="answer", mode="legacy"),
    "langchain": lambda url: nullcontext(retriever_asker(url, NAME, TOKEN)),
    "langgraph": lambda url: nullcontext(graph_asker(url, NAME, TOKEN)),
}


def write(knowledge: Knowledge, edition: str) -> None:
    """Every document says in each statement which edition it is."""
    for number in GUIDES:
        text = guide(number).replace(" devices", f" {edition} devices")
        text = text.replace("담당자는", f"{edition} 담당자는")
        (knowledge.documents / f"guide{number}.md").write_text(text, encoding="utf-8")


class Load:
    """Clients that ask until enough was asked, by each of them, and the changes are over."""

    def __init__(self, url: str, requests: int) -> None:
        self.url = url
        self.requests = requests
        self.asked: Counter[str] = Counter()
        self.said: set[tuple[str, frozenset[str]]] = set()
        self.changes_are_over = threading.Event()
        self._one_failed = threading.Event()
        self._lock = threading.Lock()

    def run(self, kind: str) -> None:
        """Raises what a client's library raises: the first failure ends them all."""
        try:
            with KINDS[kind](self.url) as ask:
                while not self._is_enough():
                    self._ask(kind, ask)
        except BaseException:
            self._one_failed.set()
            raise

    def _is_enough(self) -> bool:
        with self._lock:
            enough = sum(self.asked.values()) >= self.requests and len(self.asked) == len(KINDS)
        return self._one_failed.is_set() or (self.changes_are_over.is_set() and enough)

    def _ask(self, kind: str, ask: Asker) -> None:
        reply = ask(f"What is the quota of pool number {self.asked[kind] % len(GUIDES)}?")
        told = (reply.revision[:FINGERPRINT], frozenset(EDITION.findall(reply.text)))
        with self._lock:
            self.asked[kind] += 1
            self.said.add(told)


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "requests", [1_000, pytest.param(10_000, marks=pytest.mark.long)], ids=["ci", "long"]
)
def test_requests_of_every_protocol_during_a_release_and_a_rollback(
    tmp_path: Path, lite_uri: str, requests: int
) -> None:
    """Every reply is one of success and holds the documents of the one revision that it names."""
    settings = settings_under(tmp_path / "home", lite_uri, lease_wait_seconds=30)
    (tmp_path / "tokens.json").write_text(json.dumps({"default": [TOKEN]}), encoding="utf-8")
    limits = ServingSettings(
        tokens_file=tmp_path / "tokens.json", requests_per_minute=1_000_000,
        tokens_per_minute=1_000_000_000,
    )  # fmt: skip
    knowledge = new_knowledge(tmp_path / "kb", settings, guides=GUIDES, name=NAME)
    write(knowledge, "EditionOne")
    knowledge.refresh()
    with running(replace(settings, serving=limits)) as server:
        load = Load(server.url, requests)
        with ThreadPoolExecutor(len(KINDS)) as pool:
            clients = [pool.submit(load.run, kind) for kind in KINDS]
            try:
                first, second = changes(knowledge)
            finally:
                load.changes_are_over.set()
            for client in clients:
                client.result()
    assert sum(load.asked.values()) >= requests
    assert load.said == {
        (first[:FINGERPRINT], frozenset({"EditionOne"})),
        (second[:FINGERPRINT], frozenset({"EditionTwo"})),
    }


def changes(knowledge: Knowledge) -> tuple[str, str]:
    """A refresh that releases, and a rollback; the two revisions."""
    first = knowledge.log()[-1].revision
    write(knowledge, "EditionTwo")
    knowledge.refresh()
    second = knowledge.log()[-1].revision
    knowledge.roll_back()
    return first, second
