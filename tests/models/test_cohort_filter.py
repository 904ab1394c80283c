"""The cohort filter in a real Envoy: the same cohorts as here, and nobody chooses his own."""

import http.client
import json
from contextlib import closing
from pathlib import Path

import pytest

from platform_pipelines.core.road.cohort_filter import cohort_of, lua_filter
from platform_pipelines.gateways.local_program import free_port, running
from platform_pipelines.stages.road.models import ModelTools
from tests.knowledge import settings_under

pytestmark = [pytest.mark.models, pytest.mark.timeout(300)]
API = "type.googleapis.com/envoy.extensions.filters"


def configuration(port: int, admin_port: int) -> dict[str, object]:
    """Says the cohort of a request back."""

    def address(number: int) -> dict[str, object]:
        return {"socket_address": {"address": "127.0.0.1", "port_value": number}}

    echo = {"header": {"key": "cohort", "value": "%REQ(x-cohort)%"}}
    route = {"match": {"prefix": "/"}, "direct_response": {"status": 200}}
    host = {
        "name": "all", "domains": ["*"], "routes": [route], "response_headers_to_add": [echo]
    }  # fmt: skip
    lua = {
        "@type": f"{API}.http.lua.v3.Lua",
        "default_source_code": {"inline_string": lua_filter("x-user-id")},
    }
    manager = {
        "@type": f"{API}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "cohorts",
        "route_config": {"name": "all", "virtual_hosts": [host]},
        "http_filters": [
            {"name": "cohorts", "typed_config": lua},
            {"name": "router", "typed_config": {"@type": f"{API}.http.router.v3.Router"}},
        ],
    }
    chain = {"filters": [{"name": "http", "typed_config": manager}]}
    return {
        "admin": {"address": address(admin_port)},
        "static_resources": {
            "listeners": [{"name": "all", "address": address(port), "filter_chains": [chain]}]
        },
    }


def test_envoy_finds_the_cohorts_that_are_found_here(tmp_path: Path) -> None:
    """300 keys, Korean ones too; what a client sends is replaced, or gone without a key."""
    port, admin_port = free_port(), free_port()
    config = tmp_path / "envoy.json"
    config.write_text(json.dumps(configuration(port, admin_port)))
    tools = ModelTools(settings_under(tmp_path, None), lambda _: None)
    command = [str(tools.envoy()), "-c", str(config), "--concurrency", "1", "--base-id", str(port)]
    with running(
        command, environment={}, log=tmp_path / "log", seconds=60,
        ready_url=f"http://127.0.0.1:{admin_port}/ready",
    ), closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as gateway:  # fmt: skip

        def cohort(headers: dict[str, str | bytes]) -> str | None:
            gateway.request("GET", "/", headers={"x-cohort": "07", **headers})
            answer = gateway.getresponse()
            answer.read()
            return answer.getheader("cohort")

        keys = [*(f"user-{n}" for n in range(280)), *(f"사용자-{n}" for n in range(20))]
        for key in keys:
            assert cohort({"x-user-id": key.encode()}) == cohort_of(key)
        assert cohort({}) in (None, "", "-")
