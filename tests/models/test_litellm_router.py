"""The router of target `litellm`, held to its promises by a real LiteLLM proxy behind a real Envoy.

Behind it are small servers that stream as vLLM does.
"""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path

import pytest

from platform_pipelines.compute.environments import ensure
from platform_pipelines.core.road.routes import Endpoint, weights
from platform_pipelines.core.road.served_model import SERVED_NAME
from platform_pipelines.errors import CapabilityError
from platform_pipelines.gateways.chat import ChatReply, chat
from platform_pipelines.gateways.litellm_router import LocalLiteLLM
from platform_pipelines.gateways.model_server import free_port
from platform_pipelines.gateways.router import LocalEnvoy
from platform_pipelines.stages.model_rollout.load import constant_load
from tests.knowledge import ENVIRONMENTS, settings_under
from tests.servers.milvus_server import wait_until

pytestmark = [pytest.mark.models, pytest.mark.timeout(900)]

NEW, OLD = "model-new", "model-old"
COHORTS = 60


class Side:
    """A server of one model; `status` may be changed while it serves."""

    def __init__(self, name: str) -> None:
        side, self.status = self, 200

        class Handler(BaseHTTPRequestHandler):
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["content-length"]))
                self.send_response(side.status)
                self.send_header("content-type", "text/event-stream")
                self.end_headers()
                if side.status != 200:
                    return
                for delta, reason in (({"role": "assistant", "content": name}, None), ({}, "stop")):
                    choice = {"index": 0, "delta": delta, "finish_reason": reason}
                    chunk = {"id": "1", "object": "chat.completion.chunk", "created": 1,
                             "model": SERVED_NAME, "choices": [choice]}  # fmt: skip
                    self.wfile.write(f"data: {json.dumps(chunk)}\n\n".encode())
                self.wfile.write(b"data: [DONE]\n\n")

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.endpoint = Endpoint(name, "127.0.0.1", self.server.server_port)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


class Gateway:
    """The router, and its users."""

    def __init__(self, home: Path) -> None:
        self.port, settings = free_port(), settings_under(home, None)
        front = LocalEnvoy(
            home / "front", binary=ensure("proxy", ENVIRONMENTS, print).parent / "envoy",
            port=self.port, admin_port=free_port(),
        )  # fmt: skip
        self.router = LocalLiteLLM(
            home / "litellm", front=front, environment=settings.worker_environment,
            python=lambda: ensure("litellm", ENVIRONMENTS, print), progress=print,
        )  # fmt: skip
        self.router.start()
        self.sides = {name: Side(name) for name in (NEW, OLD)}

    def route(self, percent: int, *names: str) -> None:
        endpoints = [self.sides[name].endpoint for name in names]
        self.router.route(endpoints, weights(NEW, OLD, percent), first=NEW)

    def counted(self, name: str) -> tuple[int, int, int]:
        stats = self.router.stats(name)
        return (stats.total, stats.errors, stats.active) if stats else (0, 0, 0)

    def ask(self, cohort: str | None) -> ChatReply:
        return chat("127.0.0.1", self.port, "?", model=SERVED_NAME, max_tokens=4, cohort=cohort)

    def cohorts_of_the_new(self) -> set[int]:
        """Each is asked twice: nobody is split."""
        found: set[int] = set()
        for number in range(COHORTS):
            replies = [self.ask(f"user-{number}") for _ in range(2)]
            assert [one.error for one in replies] == ["", ""]
            (side,) = {one.text for one in replies}
            assert {one.side for one in replies} == {side}
            found |= {number} if side == NEW else set()
        return found


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    one = Gateway(tmp_path_factory.mktemp("litellm"))
    try:
        one.route(0, OLD)
        yield one
    finally:
        one.router.stop()
        for side in one.sides.values():
            side.server.shutdown()
            side.server.server_close()


def test_shares_and_servers_change_under_load_without_a_failed_request(gateway: Gateway) -> None:
    """A new server is another proxy, a new share is a file; a growing share moves nobody back."""
    with constant_load("127.0.0.1", gateway.port, question="?", streams=3, max_tokens=4) as load:
        gateway.route(0, NEW, OLD)
        sets = [gateway.cohorts_of_the_new()]
        for percent in (20, 50, 100):
            gateway.route(percent, NEW, OLD)
            sets.append(gateway.cohorts_of_the_new())
        gateway.route(100, NEW)
        answered = load.answered
        wait_until(lambda: load.answered > answered + 20, seconds=60)
    assert load.failures == []
    assert set(load.by_side) == {NEW, OLD}
    assert sets[0] == set()
    assert sets[-1] == set(range(COHORTS))
    assert all(before < after for before, after in pairwise(sets))
    sizes = [len(one) / COHORTS for one in sets[1:3]]
    assert 0.05 <= sizes[0] <= 0.4
    assert 0.3 <= sizes[1] <= 0.7


def test_each_side_is_counted_by_itself_through_every_proxy(gateway: Gateway) -> None:
    """A failure of one is nobody else's, and is not tried again elsewhere."""
    gateway.route(50, NEW, OLD)
    before = {name: gateway.counted(name) for name in (NEW, OLD)}
    gateway.sides[NEW].status = 500
    replies = [gateway.ask(f"user-{number}") for number in range(COHORTS)]
    gateway.sides[NEW].status = 200
    failed = sum(bool(one.error) for one in replies)
    assert 0 < failed < COHORTS
    wanted = {NEW: (failed, failed, 0), OLD: (COHORTS - failed, 0, 0)}

    def is_counted() -> bool:
        return all(
            tuple(after - was for after, was in zip(gateway.counted(n), before[n], strict=True))
            == wanted[n]
            for n in (NEW, OLD)
        )

    wait_until(is_counted, seconds=60)


def test_without_a_cohort_it_is_chance(gateway: Gateway) -> None:
    """By the same shares."""
    gateway.route(50, NEW, OLD)
    assert {gateway.ask(None).text for _ in range(40)} == {NEW, OLD}


def test_a_mirror_is_refused_by_name(gateway: Gateway) -> None:
    """Silence would be a step that judged nothing."""
    with pytest.raises(CapabilityError) as told:
        gateway.router.route([], {OLD: 100}, mirror=NEW)
    assert "copies no requests" in str(told.value)
