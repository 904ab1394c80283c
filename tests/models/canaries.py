"""A champion that serves with real vLLM, Envoy and MLflow, and what can be made of its files."""

import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from platform_pipelines.core.fine_tune.declaration import SHIPPED_BASE
from platform_pipelines.core.model_rollout.declaration import ModelRolloutSpec
from platform_pipelines.core.model_rollout.machine import Phase, Rollout
from platform_pipelines.core.road.served_model import ModelRef
from platform_pipelines.gateways.base_weights import base_weights
from platform_pipelines.gateways.model_registry import BASE, CANDIDATE, CHAMPION
from platform_pipelines.gateways.model_server import free_port
from platform_pipelines.gateways.programs.sealing import file_digest
from platform_pipelines.gateways.server_process import ServerProcess
from platform_pipelines.stages.fine_tune.adapter import BASE_MODELS
from platform_pipelines.stages.model_rollout.load import Load, constant_load
from platform_pipelines.stages.model_rollout.rollout import run_rollout, stop_serving
from platform_pipelines.stages.model_rollout.targets import SERVERS
from platform_pipelines.stages.model_rollout.workspace import Workspace, open_workspace
from platform_pipelines.stages.model_rollout.world import name_of
from platform_pipelines.stages.road.model_files import publish_model
from tests.knowledge import settings_under

GOLDEN = (
    Path(__file__).resolve().parents[2] / "platform_pipelines" / "samples" / "assistant"
    / "golden.jsonl"
)  # fmt: skip
QUESTION = "How many GPUs may the serving pool use?"
STREAMS_THAT_FIT = 2


@dataclass
class Place:
    """A champion that serves, and what can be made of its files."""

    workspace: Workspace
    base: Path
    champion: ModelRef
    folder: Path

    def register(self, label: str, spoil: Callable[[Path], None] = lambda _: None) -> ModelRef:
        """The base model under another digest, as the candidate; `spoil` is given its folder."""
        tools, twin = self.workspace.tools, self.folder / label
        shutil.copytree(self.base, twin, ignore=shutil.ignore_patterns("FILES.json"))
        (twin / "NOTE.md").write_text(label)
        spoil(twin)
        files = {p.name: file_digest(p) for p in sorted(twin.iterdir())}
        model = publish_model(tools.models, twin, files)
        with tools.registry() as registry:
            number = registry.ensure_version(
                self.workspace.name, model.digest, model.url, None, {"platform.role": label}
            )
            registry.set_alias(self.workspace.name, CANDIDATE, number)
        return replace(model, version=number)

    def process(self, model: ModelRef) -> ServerProcess:
        """A model's server."""
        return ServerProcess(self.workspace.settings.home / SERVERS / "live" / model.short)

    def declared(self, **judge: Any) -> "Place":
        """The same place, judged otherwise."""
        spec = self.workspace.spec
        changed = spec.model_copy(update={"judge": spec.judge.model_copy(update=judge)})
        return replace(self, workspace=replace(self.workspace, spec=changed))

    def roll_out(self, streams: int) -> tuple[Rollout, Load]:
        """The rollout's run, with users who ask all the time."""
        with constant_load(
            "127.0.0.1", self.workspace.spec.port, question=QUESTION, streams=streams, max_tokens=8
        ) as load:
            ended = run_rollout(self.workspace).rollout
        assert ended is not None
        return ended, load

    def must_stand(self, ended: Rollout, refused: ModelRef) -> str:
        """Rolled back; the champion answers everybody. Why it was rolled back."""
        assert ended.phase is Phase.ROLLED_BACK
        assert ended.candidate.digest == refused.digest
        with constant_load(
            "127.0.0.1", self.workspace.spec.port, question=QUESTION, streams=1, max_tokens=4
        ) as after:
            waited = threading.Event()
            while after.answered < 5 and not after.failures:
                waited.wait(0.1)
        assert after.failures == []
        assert set(after.by_side) == {name_of(self.champion)}
        with self.workspace.tools.registry() as registry:
            aliases = registry.aliases(self.workspace.name)
        assert aliases == {BASE: self.champion.version, CHAMPION: self.champion.version}
        assert not self.process(refused).is_running()
        told = next(e for e in ended.history if e.phase is Phase.ROLLING_BACK)
        return "; ".join(told.reasons)


@contextmanager
def place_in(home: Path, **serving: Any) -> Iterator[Place]:
    """A place of its own home, whose champion serves."""
    settings = settings_under(home, None)
    spec = ModelRolloutSpec.model_validate(
        {
            "name": "live",
            "registered_model": "assistant",
            "port": free_port(),
            "admin_port": free_port(),
            "steps": [{"percent": 50, "hold_seconds": 20}, {"percent": 100, "hold_seconds": 10}],
            "judge": {"golden_set": GOLDEN.as_uri(), "latency_ratio": 9, "answer_tokens": 8},
            "serving": {
                "max_streams": STREAMS_THAT_FIT,
                "max_queued": 1,
                "drain_seconds": 20,
                **serving,
            },
        }
    )  # fmt: skip
    workspace = open_workspace(spec, settings, progress=print, timeout_seconds=1200)
    tools = workspace.tools
    base = settings.environments_home / BASE_MODELS / SHIPPED_BASE
    files = base_weights(
        base,
        weights_python=lambda: tools.python("weights"),
        training_python=lambda: tools.python("training"),
        environment=tools.environment,
        progress=print,
    )
    model = publish_model(tools.models, base, files)
    with tools.registry() as registry:
        number = registry.ensure_version(workspace.name, model.digest, model.url, None, {})
        for alias in (BASE, CHAMPION):
            registry.set_alias(workspace.name, alias, number)
    try:
        run_rollout(workspace)  # there is no candidate: the champion is served
        yield Place(workspace, base, replace(model, version=number), home)
    finally:
        stop_serving(workspace)
