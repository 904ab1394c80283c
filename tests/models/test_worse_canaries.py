"""The kinds of bad canaries that are made of real vLLM's own failures: each is rolled back.

With test_bad_canaries.py all twelve of the fake world's kinds, and a mirror. Nothing is simulated
but the cause: files that are packed wrongly, processes that are stopped, users that stay away.
"""

import json
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from platform_pipelines.core.model_rollout.machine import Phase, Rollout
from platform_pipelines.core.road.served_model import ModelRef
from platform_pipelines.gateways.model_server import LocalVllm
from platform_pipelines.stages.model_rollout.load import constant_load
from platform_pipelines.stages.model_rollout.rollout import read_rollout, run_rollout
from platform_pipelines.stages.model_rollout.world import name_of
from tests.models.canaries import QUESTION, STREAMS_THAT_FIT, Place, place_in

pytestmark = [pytest.mark.models, pytest.mark.long, pytest.mark.timeout(1500)]

START_SECONDS = 300


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with place_in(tmp_path_factory.mktemp("worse"), start_seconds=START_SECONDS) as one:
        yield one


def processes_of(place: Place, model: ModelRef) -> list[int]:
    """Of a model's server: the API, the engine and its worker."""
    process = place.process(model)
    return _with_children(process._pid()) if process.is_running() else []


def _with_children(pid: int) -> list[int]:
    with suppress(FileNotFoundError):
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
        return [pid, *(one for child in text.split() for one in _with_children(int(child)))]
    return []


@contextmanager
def meddling(work: Callable[[threading.Event], None]) -> Iterator[None]:
    """Something that happens to the candidate while it is rolled out."""
    stop = threading.Event()
    thread = threading.Thread(target=work, args=(stop,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def is_routed(place: Place, model: ModelRef) -> bool:
    routes = place.workspace.settings.home / "gateways" / "live" / "routes.json"
    return name_of(model) in routes.read_text()


def spoiled_template(folder: Path) -> None:
    """Its chat template raises for every request: an error burst from the first user on."""
    (folder / "chat_template.jinja").write_text("{{ raise_exception('packed wrongly') }}")


def spoiled_config(folder: Path) -> None:
    """An architecture that nobody knows: it ends while it starts, again and again."""
    path = folder / "config.json"
    record: dict[str, Any] = json.loads(path.read_text())
    path.write_text(json.dumps({**record, "architectures": ["NobodyForCausalLM"],
                                "model_type": "nobody"}))  # fmt: skip


def spoiled_answers(folder: Path) -> None:
    """The last norm's signs are turned: it loads, it is fast, and it says nothing that is right."""
    path = folder / "model.safetensors"
    data = bytearray(path.read_bytes())
    size = int.from_bytes(data[:8], "little")
    place = json.loads(data[8 : 8 + size])["model.norm.weight"]
    assert place["dtype"] == "BF16"
    begin, end = (8 + size + offset for offset in place["data_offsets"])
    for high in range(begin + 1, end, 2):
        data[high] ^= 0x80
    path.write_bytes(data)


def test_an_error_burst(place: Place) -> None:
    """HTTP 400 to everybody of its share, which no counter of failures has: the questions tell."""
    candidate = place.register("error burst", spoiled_template)
    ended, load = place.roll_out(STREAMS_THAT_FIT)
    why = place.must_stand(ended, candidate)
    assert "coverage" in why or "errors" in why
    assert any(name_of(candidate) in failure for failure in load.failures), load.failures[:3]
    assert set(load.by_side) == {name_of(place.champion)}


def test_a_crash_loop(place: Place) -> None:
    """It is not waited for, and no user was ever sent to it."""
    candidate = place.register("crash loop", spoiled_config)
    ended, load = place.roll_out(1)
    assert "ended while it started" in place.must_stand(ended, candidate)
    assert load.failures == []
    assert set(load.by_side) == {name_of(place.champion)}


def test_degraded_answers(place: Place) -> None:
    """Operations are perfect; only the golden questions tell."""
    candidate = place.register("degraded", spoiled_answers)
    ended, load = place.roll_out(STREAMS_THAT_FIT)
    assert "answer_f1" in place.must_stand(ended, candidate)
    assert load.failures == []


def test_a_slow_load(place: Place) -> None:
    """Its processes stand still while it loads: after `start_seconds` it is given up."""
    candidate = place.register("slow load")

    def hold(stop: threading.Event) -> None:
        while not stop.wait(0.2):
            for pid in processes_of(place, candidate)[1:]:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGSTOP)

    with meddling(hold):
        ended, load = place.roll_out(1)
    assert "was not ready after" in place.must_stand(ended, candidate)
    assert load.failures == []


def test_latency_three_times_and_more(place: Place) -> None:
    """It answers everybody, whole, and too late: it stands still most of each second."""
    candidate = place.register("slow")

    def throttle(stop: threading.Event) -> None:
        while not stop.wait(0.05):
            if not is_routed(place, candidate):
                continue
            found = processes_of(place, candidate)[1:]
            for number in (signal.SIGSTOP, signal.SIGCONT):
                for pid in found:
                    with suppress(ProcessLookupError):
                        os.kill(pid, number)
                stop.wait(1.5 if number == signal.SIGSTOP else 0.1)

    strict = place.declared(latency_ratio=3, latency_slack_seconds=0.2, patience_seconds=30)
    with meddling(throttle):
        ended, _ = strict.roll_out(STREAMS_THAT_FIT)
    why = place.must_stand(ended, candidate)
    assert "latency" in why or "undecided" in why


def test_out_of_memory(place: Place) -> None:
    """The kernel ends the worker alone, with SIGKILL; the server follows it."""
    candidate = place.register("out of memory")

    def kill(stop: threading.Event) -> None:
        while not stop.wait(0.5):
            found = processes_of(place, candidate)
            if len(found) > 2 and is_routed(place, candidate):
                stop.wait(2)
                os.kill(found[-1], signal.SIGKILL)
                return

    with meddling(kill):
        ended, _ = place.roll_out(STREAMS_THAT_FIT)
    why = place.must_stand(ended, candidate)
    assert "the candidate's server is gone" in why or "errors" in why or "metrics_lost" in why


def test_a_metrics_gap(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """It serves; its page of metrics is lost on the way. What is not seen never passes."""
    candidate = place.register("metrics gap")
    page = LocalVllm.metrics

    def lost(self: LocalVllm, model: ModelRef) -> str | None:
        is_lost = model.digest == candidate.digest and is_routed(place, candidate)
        return None if is_lost else page(self, model)

    monkeypatch.setattr(LocalVllm, "metrics", lost)
    ended, _ = place.roll_out(STREAMS_THAT_FIT)
    assert "metrics_lost" in place.must_stand(ended, candidate)


def test_no_requests(place: Place) -> None:
    """No errors among no requests is no evidence, however good its answers are."""
    candidate = place.register("no requests")
    ended = run_rollout(place.declared(patience_seconds=10).workspace).rollout
    assert ended is not None
    assert "undecided" in place.must_stand(ended, candidate)


def test_a_rollback_while_it_is_rolled_back(place: Place) -> None:
    """Two controllers at once: one ends what the other began, and both say the same."""
    candidate = place.register("rolled back twice", spoiled_answers)
    results: list[Rollout | None] = []

    def first() -> None:
        results.append(run_rollout(place.workspace).rollout)

    with constant_load(
        "127.0.0.1", place.workspace.spec.port, question=QUESTION, streams=1, max_tokens=8
    ) as load:
        thread = threading.Thread(target=first)
        thread.start()
        waited = threading.Event()
        while thread.is_alive() and not waited.wait(0.1):
            state, _ = read_rollout(place.workspace)
            if state and state.candidate == candidate and state.phase is Phase.ROLLING_BACK:
                break
        run_rollout(place.workspace)
        thread.join()
    (ended,) = results
    assert ended is not None
    place.must_stand(ended, candidate)
    assert load.failures == []


class Killed(BaseException):
    """The controller's process is gone."""


@pytest.mark.parametrize("spoil", [spoiled_answers], ids=["bad"])
def test_a_controller_that_is_killed_in_every_state(
    place: Place, spoil: Callable[[Path], None]
) -> None:
    """Before each entry of the state is written, and once in the middle of the start."""
    candidate = place.register("killed controller", spoil)
    met: set[str] = set()

    def progress(line: str) -> None:
        told = line.partition(" (")[0]
        if told not in met:
            met.add(told)
            raise Killed(told)

    killed = replace(place.workspace, progress=progress)
    ended: Rollout | None = None
    lives = 0
    with constant_load(
        "127.0.0.1", place.workspace.spec.port, question=QUESTION, streams=1, max_tokens=8
    ) as load:
        while ended is None and lives < 30:
            lives += 1
            with suppress(Killed):
                ended = run_rollout(killed).rollout or read_rollout(place.workspace)[0]
    assert ended is not None
    place.must_stand(ended, candidate)
    assert lives >= 4, met
    assert load.failures == []
