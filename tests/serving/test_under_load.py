"""Requests while a refresh, a release and a rollback go on: none fails, none mixes revisions."""

import threading
from collections import Counter
from dataclasses import replace
from pathlib import Path

import httpx

from platform_pipelines.settings import ServingSettings
from tests.knowledge import Knowledge, guide, new_knowledge, settings_under
from tests.serving.running import Running, running

GUIDES = range(6)
REQUESTS, CLIENTS = 1000, 4
SECONDS = 60


def write(knowledge: Knowledge, edition: str) -> None:
    """Every document says which edition it is."""
    for number in GUIDES:
        text = guide(number, note=f"This is {edition}.").replace("담당자는", f"{edition} 담당자는")
        (knowledge.documents / f"guide{number}.md").write_text(text, encoding="utf-8")


class Load:
    """Clients that ask until enough was asked and the changes are over."""

    def __init__(self, server: Running) -> None:
        self.url = server.url
        self.statuses: Counter[int] = Counter()
        self.said: list[tuple[str, frozenset[str]]] = []
        self.enough = threading.Event()
        self._lock = threading.Lock()

    def run(self) -> None:
        with httpx.Client(base_url=self.url, timeout=SECONDS) as client:
            while not (self.enough.is_set() and len(self.said) >= REQUESTS):
                self._ask(client, len(self.said))

    def _ask(self, client: httpx.Client, number: int) -> None:
        query = f"What is the quota of pool number {number % len(GUIDES)}?"
        body = {"knowledge_base": "loaded", "tenant": "default", "query": query, "k": 5}
        reply = client.post("/v1/search", json=body)
        record = reply.json()
        editions = {
            word
            for hit in record.get("hits", [])
            for word in ("EditionOne", "EditionTwo")
            if word in hit["text"]
        }
        with self._lock:
            self.statuses[reply.status_code] += 1
            self.said.append((record.get("revision", ""), frozenset(editions)))


def test_a_thousand_requests_during_a_release_and_a_rollback(tmp_path: Path, lite_uri: str) -> None:
    """Every reply is 200 and holds the documents of the one revision that it names."""
    settings = settings_under(tmp_path / "home", lite_uri, lease_wait_seconds=30)
    limits = ServingSettings(requests_per_minute=1_000_000)
    knowledge = new_knowledge(tmp_path / "kb", settings, guides=GUIDES, name="loaded")
    write(knowledge, "EditionOne")
    knowledge.refresh()
    first = knowledge.log()[-1].revision
    with running(replace(settings, serving=limits)) as server:
        load = Load(server)
        clients = [threading.Thread(target=load.run) for _ in range(CLIENTS)]
        for client in clients:
            client.start()
        try:
            write(knowledge, "EditionTwo")
            knowledge.refresh()
            second = knowledge.log()[-1].revision
            knowledge.roll_back()
        finally:
            load.enough.set()
            for client in clients:
                client.join()
    assert first != second
    assert dict(load.statuses) == {200: len(load.said)}
    assert len(load.said) >= REQUESTS
    told = set(load.said)
    assert told == {
        (first, frozenset({"EditionOne"})), (second, frozenset({"EditionTwo"})),
    }  # fmt: skip
