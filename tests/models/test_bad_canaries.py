"""Bad canaries with real vLLM, Envoy and MLflow: rolled back, and the champion serves as before.

The fake world's servers have twelve kinds (tests/stages/model_rollout); degraded answers of a real
model are in the first slice, which is the one of these that CI runs.
"""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from platform_pipelines.core.model_rollout.declaration import StepSpec
from platform_pipelines.core.model_rollout.machine import Phase
from platform_pipelines.core.road.served_model import ModelRef
from platform_pipelines.stages.model_rollout.world import name_of
from tests.models.canaries import STREAMS_THAT_FIT, Place, place_in

pytestmark = [pytest.mark.models, pytest.mark.long, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with place_in(tmp_path_factory.mktemp("canaries")) as one:
        yield one


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
        home, process = place.workspace.settings.home, place.process(model)

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
