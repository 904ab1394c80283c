"""An Alertmanager's post reaches `serve`, and the sensor launches the rollback, once."""

import json
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg
import httpx
import pytest
import yaml

from platform_pipelines.components.watch.rolling_back import build_rollback_sensor
from platform_pipelines.core.road.declarations import parse_spec
from platform_pipelines.core.watch.declaration import WatchSpec
from platform_pipelines.core.watch.webhook import parse_webhook
from platform_pipelines.errors import ConfigurationError
from platform_pipelines.settings import ServingSettings, Settings
from tests.declared import resources_of
from tests.knowledge import settings_under
from tests.servers.milvus_server import free_port, wait_until
from tests.serving.running import running

ALERTMANAGER = shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")
POSTED = json.loads((Path(__file__).parent / "alertmanager-0.25-webhook.json").read_text("utf-8"))
RULE = {"alert": "AgentErrors", "component": "assistant", "labels": {"agent": "assistant"}}
TOKEN = "a-token-of-the-alertmanager"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    tokens = tmp_path / "tokens.json"
    tokens.write_text(json.dumps({"alertmanager": [TOKEN], "acme": ["a-token-of-acme-itself"]}))
    return replace(settings_under(tmp_path, None), serving=ServingSettings(tokens_file=tokens))


def looked(settings: Settings, cursor: str | None = None, **changes: Any) -> Any:
    given = {
        "name": "watch", "fired_by": "alertmanager", "rollbacks": [{**RULE, **changes}]
    }  # fmt: skip
    spec = parse_spec(WatchSpec, given, where="test", noun="watch")
    sensor = build_rollback_sensor(spec, spec.rollbacks[0])
    with dg.DagsterInstance.ephemeral() as instance:
        context = dg.build_sensor_context(
            instance=instance, cursor=cursor, resources=resources_of(settings)
        )
        return sensor.evaluate_tick(context)


def test_a_recorded_post_makes_one_rollback_until_it_is_resolved(settings: Settings) -> None:
    """Another agent's rule does nothing; a resolved alert rolls nobody back."""
    assert "does not fire" in looked(settings).skip_message
    resolved = {**POSTED, "alerts": [{**POSTED["alerts"][0], "status": "resolved"}]}
    with running(settings) as server:
        assert server.post("/v1/alerts", TOKEN, **POSTED).json() == {"kept": 1}
        (request,) = looked(settings).run_requests
        other = looked(settings, labels={"agent": "other"})
        server.post("/v1/alerts", TOKEN, **resolved)
        over = looked(settings)
    assert request.run_key == "AgentErrors:assistant:1795809600"
    reason = request.run_config["ops"]["assistant_roll_back"]["config"]["reason"]
    assert reason == (
        "alert AgentErrors fires: agent=assistant, alertname=AgentErrors, severity=critical"
    )
    assert not other.run_requests
    assert not over.run_requests


def test_only_the_alertmanager_may_post(settings: Settings) -> None:
    """Whoever may post alerts may roll everything back."""
    with running(settings) as server:
        assert server.post("/v1/alerts", **POSTED).status_code == 401
        assert server.post("/v1/alerts", "a-token-of-acme-itself", **POSTED).status_code == 403
        assert server.post("/v1/alerts", TOKEN, version="3", alerts=[]).status_code == 400
    assert not looked(settings).run_requests


@pytest.mark.parametrize(
    "change", [{"fingerprint": "../../x"}, {"status": "maybe"}, {"startsAt": "now"}, {"labels": 1}]
)
def test_a_damaged_alert_is_refused(change: dict[str, Any]) -> None:
    """A fingerprint is part of a key in the store."""
    body = {**POSTED, "alerts": [{**POSTED["alerts"][0], **change}]}
    with pytest.raises(ConfigurationError):
        parse_webhook(body, now=0.0)


@contextmanager
def alertmanager_to(url: str, folder: Path) -> Iterator[str]:
    """A real one that posts to a URL; its own address."""
    assert ALERTMANAGER is not None
    hook = {
        "url": url, "send_resolved": True,
        "http_config": {"authorization": {"credentials": TOKEN}},
    }  # fmt: skip
    route = {
        "receiver": "platform", "group_by": ["alertname"], "group_wait": "1s",
        "group_interval": "1s", "repeat_interval": "1h",
    }  # fmt: skip
    config = {"route": route, "receivers": [{"name": "platform", "webhook_configs": [hook]}]}
    (folder / "alertmanager.yml").write_text(yaml.safe_dump(config))
    port = free_port()
    command = [
        ALERTMANAGER, f"--config.file={folder / 'alertmanager.yml'}",
        f"--storage.path={folder / 'data'}", f"--web.listen-address=127.0.0.1:{port}",
        "--cluster.listen-address=",
    ]  # fmt: skip
    log = (folder / "alertmanager.log").open("w")
    with log, subprocess.Popen(command, stderr=log) as process:
        try:
            address = f"http://127.0.0.1:{port}"
            wait_until(lambda: _is_ready(f"{address}/-/ready"), seconds=30)
            yield address
        finally:
            process.terminate()


def _is_ready(url: str) -> bool:
    try:
        return httpx.get(url, trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


@pytest.mark.skipif(ALERTMANAGER is None, reason="prometheus-alertmanager is not installed")
def test_a_real_alertmanager_posts_what_fires_and_what_is_over(
    settings: Settings, tmp_path: Path
) -> None:
    """From its API to a rollback's launch, and to its end."""

    def posts(base: str, **times: str) -> None:
        alert = {"labels": POSTED["alerts"][0]["labels"], **times}
        httpx.post(f"{base}/api/v2/alerts", json=[alert], trust_env=False).raise_for_status()

    def until(seen: Callable[[], bool]) -> None:
        wait_until(seen, seconds=30)

    with running(settings) as server, alertmanager_to(f"{server.url}/v1/alerts", tmp_path) as base:
        posts(base)
        until(lambda: bool(looked(settings).run_requests))
        ended = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 1))
        posts(base, endsAt=ended)
        until(lambda: not looked(settings).run_requests)
