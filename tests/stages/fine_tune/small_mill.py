"""A fine-tune whose heavy parts are small: a trainer, a merge and servers that take no time.

Everything else is what runs: stages, real store, seals, gate. The trainer resumes at the newest
whole checkpoint, as NeMo's does, and its adapter follows from the steps that were taken.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from platform_pipelines.core.fine_tune.declaration import FineTuneSpec
from platform_pipelines.core.fine_tune.events import Event
from platform_pipelines.gateways.base_weights import write_files_list
from platform_pipelines.gateways.programs.sealing import choose, file_digest, seal
from platform_pipelines.gateways.trainer import CHECKPOINTS, TrainingJob
from platform_pipelines.stages.fine_tune import adapter, model
from platform_pipelines.stages.fine_tune.evidence import refresh_evidence
from platform_pipelines.stages.fine_tune.registration import refresh_registration
from platform_pipelines.stages.fine_tune.training_set import refresh_training_set
from platform_pipelines.stages.fine_tune.workspace import Workspace, open_workspace
from platform_pipelines.stages.road.models import ModelTools
from tests.kill_points import REGISTRY_WRITES, KillPoints
from tests.knowledge import settings_under
from tests.stages.fine_tune.test_training_set import SAMPLES
from tests.stages.model_rollout.fake_world import FakeRegistry, FakeServers, Side

STEPS, CHECKPOINT_EVERY = 6, 2


def _golden() -> dict[str, str]:
    lines = (SAMPLES / "golden.jsonl").read_text(encoding="utf-8").splitlines()
    return {one["question"]: one["answer"] for one in map(json.loads, filter(None, lines))}


class Sides(dict[str, Side]):
    """The base model knows no answer; whatever was made of it knows all of them."""

    def __init__(self, base: str) -> None:
        super().__init__({base: Side({})})

    def __missing__(self, digest: str) -> Side:
        self[digest] = Side(_golden())
        return self[digest]


class SmallTrainer:
    """Six steps, a checkpoint after every second one."""

    def __init__(self, **_: Any) -> None: ...

    def train(self, job: TrainingJob, *, on_event: Callable[[Event], None]) -> Path:
        root, told = job.folder / CHECKPOINTS, job.folder / "events.jsonl"
        root.mkdir(parents=True, exist_ok=True)
        for line in told.read_text().splitlines() if told.exists() else ():
            on_event(json.loads(line))  # a follower reads the file from its start

        def tell(event: Event) -> None:
            with told.open("a") as file:
                file.write(json.dumps({"at": 0.0, **event}) + "\n")
            on_event({"at": 0.0, **event})

        whole = choose(root, job.processes).checkpoint
        begun = int(whole.name.rpartition("_")[2]) + 1 if whole else 0
        tell({"event": "ready", "resume_step": begun})
        for step in range(begun, STEPS):
            tell(
                {"event": "step", "step": step, "loss": 1 / (step + 1), "rss_mb": 9,
                 "learning_rate": 1e-4, "tokens_per_second": 5.0}
            )  # fmt: skip
            if (step + 1) % CHECKPOINT_EVERY == 0:
                tell(self._checkpoint(root, job, step))
        tell({"event": "finished", "step": STEPS})
        return (root / "LATEST").resolve()

    def _checkpoint(self, root: Path, job: TrainingJob, step: int) -> Event:
        folder = root / f"epoch_0_step_{step}"
        (folder / "model").mkdir(parents=True, exist_ok=True)
        text = f"{job.digest} after {step + 1} steps"
        (folder / "model" / "adapter_model.safetensors").write_text(text)
        (folder / "optim.distcp").write_text(text * 50)
        seal(folder, job.processes)
        (root / "LATEST").unlink(missing_ok=True)
        (root / "LATEST").symlink_to(folder.name)
        return {"event": "checkpoint", "step": step, "name": folder.name, "seconds": 0.1}


@dataclass
class Mill:
    """What outlives a life."""

    folder: Path
    servers: FakeServers
    registry: Any
    spec: FineTuneSpec
    points: KillPoints = field(default_factory=KillPoints)

    def workspace(self) -> Workspace:
        return open_workspace(self.spec, settings_under(self.folder, None))

    def run(self) -> None:
        """All stages, in their order."""
        for stage in (
            refresh_training_set, adapter.refresh_adapter, model.refresh_model, refresh_evidence,
            refresh_registration,
        ):  # fmt: skip
            stage(self.workspace())


def build_mill(folder: Path, patch: pytest.MonkeyPatch, registry: Any = None) -> Mill:
    """A mill of its own store."""
    base = folder / "base"
    base.mkdir(parents=True)
    (base / "model.safetensors").write_text("what was there before")
    files = {"model.safetensors": file_digest(base / "model.safetensors")}
    write_files_list(base, files)
    spec = FineTuneSpec.model_validate(
        {
            "name": "assistant",
            "data": {"sources": [(SAMPLES / "chats.jsonl").as_uri()]},
            "gate": {"golden_set": (SAMPLES / "golden.jsonl").as_uri()},
            "recipe": {"max_steps": STEPS, "checkpoint_every_steps": CHECKPOINT_EVERY},
        }
    )
    sides = Sides(model.files_digest(files))
    mill = Mill(folder, FakeServers(sides), registry or FakeRegistry([], {}), spec)
    patch.setattr(adapter, "base_folder", lambda _: (base, files))
    patch.setattr(model, "base_folder", lambda _: (base, files))
    patch.setattr(adapter, "LocalTrainer", SmallTrainer)
    patch.setattr(model, "_merge", _merge)
    patch.setattr(ModelTools, "servers", lambda *_: mill.points.around(mill.servers, ("start",)))
    patch.setattr(
        ModelTools, "registry", lambda _: mill.points.around(mill.registry, REGISTRY_WRITES)
    )
    return mill


def _merge(workspace: Workspace, base: Path, made: Any, out: Path) -> Mapping[str, Any]:
    del workspace
    out.mkdir(parents=True)
    text = (base / "model.safetensors").read_text() + made.details["adapter"]
    (out / "model.safetensors").write_text(text)
    files = {"model.safetensors": file_digest(out / "model.safetensors")}
    return {"files": files, "question": "?", "answer": "yes"}
