"""Bad canaries with real vLLM, Envoy and MLflow: rolled back, and the champion serves as before.

The fake world's servers have twelve kinds (tests/stages/model_rollout); degraded answers of a real
model are in the first slice, which is the one of these that CI runs.
"""

import os
import shutil
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from platform_pipelines.core.fine_tune.declaration import SHIPPED_BASE
from platform_pipelines.core.model_rollout.declaration import ModelRolloutSpec, StepSpec
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

pytestmark = [pytest.mark.models, pytest.mark.long, pytest.mark.timeout(900)]

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

    def register(self, label: str) -> ModelRef:
        """The base model under another digest, as the candidate."""
        tools, twin = self.workspace.tools, self.folder / label
        shutil.copytree(self.base, twin, ignore=shutil.ignore_patterns("FILES.json"))
        (twin / "NOTE.md").write_text(label)
        files = {p.name: file_digest(p) for p in sorted(twin.iterdir())}
        model = publish_model(tools.models, twin, files)
        with tools.registry() as registry:
            number = registry.ensure_version(
                self.workspace.name, model.digest, model.url, None, {"platform.role": label}
            )
            registry.set_alias(self.workspace.name, CANDIDATE, number)
        return replace(model, version=number)

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
        process = ServerProcess(self.workspace.settings.home / SERVERS / "live" / refused.short)
        assert not process.is_running()
        told = next(e for e in ended.history if e.phase is Phase.ROLLING_BACK)
        return "; ".join(told.reasons)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    home = tmp_path_factory.mktemp("canaries")
    settings = settings_under(home, None)
    spec = ModelRolloutSpec.model_validate(
        {
            "name": "live",
            "registered_model": "assistant",
            "port": free_port(),
            "admin_port": free_port(),
            "steps": [{"percent": 50, "hold_seconds": 20}, {"percent": 100, "hold_seconds": 10}],
            "judge": {"golden_set": GOLDEN.as_uri(), "latency_ratio": 9, "answer_tokens": 8},
            "serving": {"max_streams": STREAMS_THAT_FIT, "max_queued": 1, "drain_seconds": 20},
        }
    )
    workspace = open_workspace(spec, settings, progress=print, timeout_seconds=600)
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


def test_wrong_weights_are_never_served(place: Place) -> None:
    """One bit of the candidate's files on the store is another: its server is not even started."""
    candidate = place.register("wrong weights")
    store = place.workspace.tools.models
    data = bytearray(store.get(f"{candidate.digest}/model.safetensors")[0])
    data[len(data) // 2] ^= 1
    store.put(f"{candidate.digest}/model.safetensors", bytes(data))
    ended, load = place.roll_out(1)
    why = place.must_stand(ended, candidate)
    assert "ended while it started" in why
    assert load.failures == []
    assert set(load.by_side) <= {name_of(place.champion)}


def test_a_server_that_dies_under_its_users_is_left_by_them(
    place: Place, when_it_serves: Callable[[Place, ModelRef], None]
) -> None:
    """SIGKILL, as when memory is out, while it answers half of the users."""
    candidate = place.register("killed")
    when_it_serves(place, candidate)
    ended, load = place.roll_out(STREAMS_THAT_FIT)
    why = place.must_stand(ended, candidate)
    assert "the candidate's server is gone" in why or "errors" in why
    assert load.answered > 0


def test_refusals_inside_streams_are_seen(place: Place) -> None:
    """HTTP 200 each: only its own counter, and whoever looks into the stream, can tell."""
    candidate = place.register("refuses")
    ended, load = place.roll_out(6 * STREAMS_THAT_FIT)
    assert "fail errors" in place.must_stand(ended, candidate)
    inside = [failure for failure in load.failures if "refused inside the stream" in failure]
    assert any(name_of(candidate) in failure for failure in inside), load.failures[:5]


def test_a_mirrored_canary_fails_before_anybody_gets_an_answer_of_it(place: Place) -> None:
    """Copies of more than it takes: its own counter tells, and no user has seen it."""
    candidate = place.register("mirrored")
    mirrored = StepSpec(percent=0, mirror=True, hold_seconds=20)
    workspace = place.workspace
    spec = workspace.spec.model_copy(update={"steps": (mirrored, *workspace.spec.steps)})
    there = replace(place, workspace=replace(workspace, spec=spec))
    ended, load = there.roll_out(6 * STREAMS_THAT_FIT)
    assert "fail errors" in place.must_stand(ended, candidate)
    assert [e.step for e in ended.history if e.phase is Phase.STEPPING] == [0]
    assert set(load.by_side) == {name_of(place.champion)}
    assert not [failure for failure in load.failures if name_of(candidate) in failure]


@pytest.fixture
def when_it_serves() -> Iterator[Callable[[Place, ModelRef], None]]:
    """Kills a model's server, with all its processes, once the gateway has sent it users."""
    stop, threads = threading.Event(), list[threading.Thread]()

    def kill(place: Place, model: ModelRef) -> None:
        home = place.workspace.settings.home
        process = ServerProcess(home / SERVERS / "live" / model.short)

        def watch() -> None:
            routes = home / "gateways" / "live" / "routes.json"
            while not stop.wait(0.5):
                if process.is_running() and name_of(model) in routes.read_text():
                    stop.wait(3)  # until it answers some of them
                    os.killpg(process._pid(), signal.SIGKILL)
                    return

        threads.append(threading.Thread(target=watch, daemon=True))
        threads[-1].start()

    yield kill
    stop.set()
    for thread in threads:
        thread.join()
