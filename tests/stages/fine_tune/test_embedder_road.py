"""An embedder from rows to endpoint: training and servers are small, all else is what runs."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from platform_pipelines.core.fine_tune.declaration import FineTuneSpec
from platform_pipelines.core.road.served_model import EMBEDDER_NAME, ModelRef, files_digest
from platform_pipelines.errors import GateFailedError
from platform_pipelines.gateways.base_weights import write_files_list
from platform_pipelines.gateways.hash_embedder import HashEmbedder
from platform_pipelines.gateways.model_server import Address
from platform_pipelines.gateways.programs.sealing import file_digest
from platform_pipelines.stages.fine_tune import adapter, endpoint, evidence, model, registration
from platform_pipelines.stages.fine_tune.training_set import refresh_training_set
from platform_pipelines.stages.fine_tune.workspace import Workspace, open_workspace
from platform_pipelines.stages.road.models import ModelTools
from tests.kill_points import REGISTRY_WRITES, KillPoints
from tests.knowledge import golden_lines, settings_under
from tests.servers.embedding_server import EmbeddingServer
from tests.stages.fine_tune.small_mill import SmallTrainer
from tests.stages.model_rollout.fake_world import FakeRegistry

CONFIG = json.dumps({"hidden_size": 384, "max_position_embeddings": 512})


class Collapsed(HashEmbedder):
    """All texts are one to it."""

    def embed_queries(self, texts: Any) -> Any:
        return np.full((len(texts), 384), 384**-0.5, np.float32)


@dataclass
class Servers:
    """A model is served by an embedder that knows words, or by one that knows nothing."""

    knows: set[str]
    running: dict[str, EmbeddingServer] = field(default_factory=dict[str, EmbeddingServer])
    ports: list[int | None] = field(default_factory=list[int | None])

    def start(self, one: ModelRef, spec: Any, *, port: int | None = None) -> Address:
        self.ports.append(port)
        if one.digest not in self.running:
            embedder = HashEmbedder() if one.digest in self.knows else Collapsed()
            served = EmbeddingServer(model=EMBEDDER_NAME, embedder=embedder)
            self.running[one.digest] = served.__enter__()
        found = self.address(one)
        assert found is not None
        return found

    def address(self, one: ModelRef) -> Address | None:
        served = self.running.get(one.digest)
        return Address("127.0.0.1", served._server.server_port) if served else None

    def is_ready(self, one: ModelRef) -> bool:
        return one.digest in self.running

    def stop(self, one: ModelRef, spec: Any) -> str:
        served = self.running.pop(one.digest, None)
        if served:
            served.__exit__()
        return "ended" if served else "absent"


@dataclass
class Mill:
    """What a test needs of it."""

    folder: Path
    servers: Servers
    registry: FakeRegistry
    base: str
    made: str = ""

    def workspace(self) -> Workspace:
        rows = [
            {"question": f"How many machines may pool {n} have?",
             "positive": f"The quota of pool {n} is {n * 7 + 3} machines, approved by committee."}
            for n in range(40)
        ]  # fmt: skip
        pairs, golden = self.folder / "pairs.jsonl", self.folder / "golden.jsonl"
        pairs.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
        golden.write_text(golden_lines([1]), encoding="utf-8")
        spec = FineTuneSpec.model_validate(
            {
                "name": "finder",
                "data": {"sources": [pairs.as_uri()], "validation_share": 0.3},
                "recipe": {"task": "embedding", "max_steps": 6, "checkpoint_every_steps": 2},
                "gate": {"golden_set": golden.as_uri(), "minimum_questions": 5},
                "endpoint_port": 8500,
            }
        )
        return open_workspace(spec, settings_under(self.folder, None))


@pytest.fixture
def mill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Mill]:
    def written(name: str, text: str) -> tuple[Path, dict[str, str]]:
        folder = tmp_path / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "model.safetensors").write_text(text)
        (folder / "config.json").write_text(CONFIG)
        files = {p.name: file_digest(p) for p in sorted(folder.glob("*.*"))}
        return folder, files

    base, files = written("base", "what was there before")
    write_files_list(base, files)

    def merge(workspace: Workspace, base: Path, made: Any, out: Path) -> dict[str, Any]:
        del workspace, base
        _, merged = written(out.relative_to(tmp_path).as_posix(), made.details["adapter"])
        one.made = files_digest(merged)
        if one.folder.name != "spoiled":
            servers.knows.add(one.made)
        return {"files": merged, "question": "?", "answer": "similarity 0.9 with its passage"}

    servers = Servers(set())
    one = Mill(tmp_path, servers, FakeRegistry([], {}), files_digest(files))
    for stage in (adapter, model):
        monkeypatch.setattr(stage, "base_folder", lambda _: (base, files))
    monkeypatch.setattr(adapter, "LocalTrainer", SmallTrainer)
    monkeypatch.setattr(model, "_merge", merge)
    monkeypatch.setattr(ModelTools, "servers", lambda *_: servers)
    opened = KillPoints().around(one.registry, REGISTRY_WRITES)  # as something that is closed
    monkeypatch.setattr(ModelTools, "registry", lambda _: opened)
    yield one
    for served in servers.running.values():
        served.__exit__()


def up_to_evidence(mill: Mill) -> Any:
    refresh_training_set(mill.workspace())
    adapter.refresh_adapter(mill.workspace())
    model.refresh_model(mill.workspace())
    return evidence.refresh_evidence(mill.workspace()).snapshot


def test_an_embedder_that_finds_more_is_registered_and_served(mill: Mill) -> None:
    """Against the base, on what was held out; the page's declaration names these very weights."""
    judged = up_to_evidence(mill)
    assert judged.details["verdict"] == "pass", judged.details["reasons"]
    assert judged.counts["questions"] == judged.counts["judged"] > 5
    assert mill.servers.running == {}  # both were ended
    registered = registration.refresh_registration(mill.workspace()).snapshot
    assert mill.registry.named == {"base": 1, "champion": 1, "candidate": 2}
    assert registered.details["model"]["digest"] == mill.made
    served = endpoint.refresh_endpoint(mill.workspace())
    embed = served.snapshot.details["embed"]
    assert (embed["model"], embed["revision"]) == (mill.made[:12], mill.made)
    assert (embed["url"], embed["dimension"]) == ("http://127.0.0.1:8500/v1", 384)
    assert mill.servers.ports[-1] == 8500
    assert not endpoint.refresh_endpoint(mill.workspace()).is_changed
    assert endpoint.stop_endpoint(mill.workspace()) == "ended"
    assert endpoint.stop_endpoint(mill.workspace()) == "absent"


def test_an_embedder_that_finds_less_is_not_registered(mill: Mill) -> None:
    """The base knows the words, the tuned one nothing any more."""
    mill.folder = mill.folder / "spoiled"
    mill.folder.mkdir()
    mill.servers.knows.add(mill.base)
    judged = up_to_evidence(mill)
    assert judged.details["verdict"] == "fail"
    assert "reciprocal_rank" in " ".join(judged.details["reasons"])
    with pytest.raises(GateFailedError):
        registration.refresh_registration(mill.workspace())
    assert mill.registry.named == {}
