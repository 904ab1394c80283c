"""An assignment that a real Envoy applies: sticky by the key's hash, and taken back on harm."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from platform_pipelines.compute.environments import ensure
from platform_pipelines.core.experiment.verdict import State
from platform_pipelines.core.road.assignments import arm_of, cohort_of
from platform_pipelines.errors import ConfigurationError
from platform_pipelines.gateways.local_program import free_port
from platform_pipelines.gateways.router import LocalEnvoy
from platform_pipelines.stages.experiment.looks import refresh_looks
from platform_pipelines.stages.experiment.verdict import refresh_verdict
from tests.experiments import write_days
from tests.stages.experiment.test_experiment_road import Lab

pytestmark = [pytest.mark.plane, pytest.mark.timeout(120)]
SHARES = {"big": 20, "small": 80}


@contextmanager
def arm_server(name: str) -> Iterator[str]:
    """It says which arm it is."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-length", str(len(name)))
            self.end_headers()
            self.wfile.write(name.encode())

        def log_message(self, *args: Any) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def arms_of(port: int, keys: list[str]) -> dict[str, str]:
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
        return {
            key: client.get("/", headers={"x-cohort": cohort_of("models_ab", key)}).text
            for key in keys
        }


def test_the_gateway_sends_each_key_where_the_analysis_says_and_everybody_back_on_harm(
    tmp_path: Path,
) -> None:
    """Assignment is applied by the verdict itself, and again by the one after it."""
    lab = Lab(tmp_path)
    write_days(lab.observations, 14, slower=0.3, keys_a_day=800)
    keys = [f"user-{number}" for number in range(200)]
    with ExitStack() as stack:
        addresses = {name: stack.enter_context(arm_server(name)) for name in SHARES}
        gateway = {"port": free_port(), "admin_port": free_port(), "addresses": addresses}
        day = lab.workspace(1, gateway={**gateway}, minimum=10_000)
        binary = ensure("proxy", day.settings.environments_home, print).parent / "envoy"
        folder = day.settings.home / "gateways" / "experiment-models_ab"
        router = LocalEnvoy(
            folder, binary=binary, port=gateway["port"], admin_port=gateway["admin_port"]
        )
        stack.callback(router.stop)
        refresh_looks(day)
        refresh_verdict(day)
        seen = arms_of(gateway["port"], keys)
        assert seen == {key: arm_of("models_ab", key, SHARES) for key in keys}
        assert set(seen.values()) == {"big", "small"}
        assert arms_of(gateway["port"], keys[:20]) == {key: seen[key] for key in keys[:20]}
        late = lab.workspace(14, gateway=gateway)
        refresh_looks(late)
        assert refresh_verdict(late).conclusion.state is State.HARM
        assert set(arms_of(gateway["port"], keys).values()) == {"small"}


def test_an_arm_without_an_address_is_told_by_name(tmp_path: Path) -> None:
    """Its share would be lost on its way."""
    lab = Lab(tmp_path)
    write_days(lab.observations, 1)
    gateway = {"port": free_port(), "admin_port": free_port(), "addresses": {"big": "h:1"}}
    day = lab.workspace(1, gateway=gateway)
    refresh_looks(day)
    with pytest.raises(ConfigurationError, match=r"gateway\.addresses\.small"):
        refresh_verdict(day)
