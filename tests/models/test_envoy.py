"""The router held to its promises by a real Envoy, with two small servers behind it."""

import http.client
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from platform_pipelines.compute.environments import ensure
from platform_pipelines.core.road.assignments import arm_of, cohort_of
from platform_pipelines.core.road.routes import Endpoint, weights
from platform_pipelines.errors import IntegrityError
from platform_pipelines.gateways.local_http import local_get
from platform_pipelines.gateways.model_server import free_port
from platform_pipelines.gateways.router import LocalEnvoy
from platform_pipelines.gateways.server_process import ServerProcess
from tests.knowledge import ENVIRONMENTS
from tests.servers.milvus_server import wait_until

pytestmark = [pytest.mark.models, pytest.mark.timeout(300)]


def server(name: str, status: int = 200) -> tuple[ThreadingHTTPServer, Endpoint]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # headers and body are two writes: 40 ms otherwise

        def do_GET(self) -> None:
            body = json.dumps(name).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    one = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=one.serve_forever, daemon=True).start()
    return one, Endpoint(name, "127.0.0.1", one.server_port)


@pytest.fixture(scope="module")
def binary() -> Path:
    return ensure("proxy", ENVIRONMENTS, print).parent / "envoy"


@pytest.fixture
def sides() -> Iterator[list[Endpoint]]:
    pairs = [server("new"), server("old")]
    yield [endpoint for _, endpoint in pairs]
    for one, _ in pairs:
        one.shutdown()
        one.server_close()


class Gateway:
    """A running Envoy, and its users."""

    def __init__(self, folder: Path, binary: Path) -> None:
        self.port = free_port()
        self.router = LocalEnvoy(folder, binary=binary, port=self.port, admin_port=free_port())
        self.router.start()

    def ask(self, cohort: str) -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request("GET", "/", headers={"x-cohort": cohort})
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def cohorts_of(self, name: str) -> set[int]:
        return {n for n in range(200) if self.ask(f"user-{n}") == (200, json.dumps(name))}


@pytest.fixture
def gateway(tmp_path: Path, binary: Path) -> Iterator[Gateway]:
    one = Gateway(tmp_path / "gateway", binary)
    yield one
    one.router.stop()


def test_growing_moves_nobody_back_and_every_side_is_counted_by_itself(
    gateway: Gateway, sides: list[Endpoint]
) -> None:
    """5 -> 20 -> 50 -> 100 %: each cohort's set holds the one before."""
    before: set[int] = set()
    for percent in (5, 20, 50, 100):
        gateway.router.route(sides, weights("new", "old", percent))
        now = gateway.cohorts_of("new")
        assert before <= now
        assert abs(len(now) - 2 * percent) <= 40
        before = now
    new, old = gateway.router.stats("new"), gateway.router.stats("old")
    assert new is not None
    assert old is not None
    assert (new.total + old.total, new.errors + old.errors) == (800, 0)
    assert gateway.router.stats("nobody") is None


def test_an_experiment_knows_where_the_gateway_sends_a_cohort(
    gateway: Gateway, sides: list[Endpoint]
) -> None:
    """One hash: who was sent where is said from the key alone, and a broken route is found."""
    for shares in ({"new": 20, "old": 80}, {"new": 50, "old": 50}):
        gateway.router.route(sides, shares)
        for number in range(300):
            key = f"사용자-{number}" if number % 3 else f"user-{number}" * 4
            cohort = cohort_of("models_ab", key).encode().decode("latin-1")
            assert gateway.ask(cohort) == (200, json.dumps(arm_of("models_ab", key, shares)))


def test_no_request_fails_while_routes_change_and_a_side_goes(
    gateway: Gateway, sides: list[Endpoint]
) -> None:
    """Clusters before routes where they come, after them where they go."""
    gateway.router.route(sides[1:], {"old": 100})
    statuses: list[int] = []
    stop = threading.Event()

    def load() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            statuses.append(gateway.ask(f"user-{number}")[0])

    threads = [threading.Thread(target=load) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        for percent in (0, 5, 20, 50, 100, 0, 100):
            gateway.router.route(sides, weights("new", "old", percent))
            answered = len(statuses)
            wait_until(lambda seen=answered: len(statuses) > seen + 20, seconds=30)
        gateway.router.route(sides[:1], {"new": 100})
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert len(statuses) > 140
    assert set(statuses) == {200}


def test_copies_are_counted_by_the_side_that_gets_them_and_nobody_sees_them(
    gateway: Gateway, sides: list[Endpoint]
) -> None:
    """A mirrored step is judged by the candidate's own numbers."""
    gateway.router.route(sides, {"old": 100}, mirror="new")
    assert {gateway.ask(f"user-{n}") for n in range(50)} == {(200, '"old"')}
    new, old = gateway.router.stats("new"), gateway.router.stats("old")
    assert new is not None
    assert old is not None
    assert (new.total, new.errors, old.total) == (50, 0, 50)
    gateway.router.route(sides, {"old": 100})
    gateway.ask("user")
    assert gateway.router.stats("new") == new


def test_routes_to_nobody_are_refused_and_the_ones_before_stay(
    gateway: Gateway, sides: list[Endpoint]
) -> None:
    """A typing error is no outage."""
    gateway.router.route(sides, {"old": 100})
    with pytest.raises(IntegrityError, match="refuses the routes"):
        gateway.router.route(sides, {"nobody": 100})
    assert gateway.ask("user")[0] == 200


def test_another_controller_takes_over_what_runs(
    gateway: Gateway, sides: list[Endpoint], binary: Path
) -> None:
    """The gateway outlives its controller; the next one changes it."""
    gateway.router.route(sides, {"old": 100})
    router = gateway.router
    later = LocalEnvoy(
        router._folder, binary=binary, port=router._ports[0], admin_port=router._ports[1]
    )
    later.start()
    later.route(sides, {"new": 100})
    assert gateway.ask("user") == (200, '"new"')


def test_it_outlives_the_process_that_started_it(tmp_path: Path, binary: Path) -> None:
    """Envoy is ended with its parent, unless the parent is gone before it starts."""
    port, admin_port = free_port(), free_port()
    program = (
        "from pathlib import Path; from platform_pipelines.gateways.router import LocalEnvoy;"
        f"LocalEnvoy(Path({str(tmp_path / 'gateway')!r}), binary=Path({str(binary)!r}),"
        f"port={port}, admin_port={admin_port}).start()"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)
    process = ServerProcess(tmp_path / "gateway")
    try:
        assert local_get("127.0.0.1", admin_port, "/ready")[1].strip() == "LIVE"
        assert process.is_running()
        assert "caught ENVOY_SIGTERM" not in process.log_tail()
    finally:
        process.stop(grace_seconds=20)
