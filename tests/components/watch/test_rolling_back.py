"""An alert that fires in a real Prometheus launches the rollback of a component, once."""

import time
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml

from platform_pipelines.components.watch.rolling_back import build_rollback_sensor
from platform_pipelines.core.road.declarations import parse_spec
from platform_pipelines.core.watch.declaration import WatchSpec
from platform_pipelines.errors import ConfigurationError
from tests.declared import definitions
from tests.servers.prometheus_server import PROMETHEUS, prometheus_over

RULE = {"alert": "AgentErrors", "component": "assistant", "labels": {"agent": "assistant"}}
WATCH = (
    Path(__file__).resolve().parents[3]
    / "platform_pipelines" / "samples" / "platform" / "assistant" / "defs.yaml"
)  # fmt: skip


def declared(url: str, **changes: Any) -> WatchSpec:
    values = {"name": "watch", "prometheus": url, "rollbacks": [{**RULE, **changes}]}
    return parse_spec(WatchSpec, values, where="test", noun="watch")


def looked(url: str, cursor: str | None = None, **changes: Any) -> Any:
    spec = declared(url, **changes)
    sensor = build_rollback_sensor(spec, spec.rollbacks[0])
    with dg.DagsterInstance.ephemeral() as instance:
        context = dg.build_sensor_context(instance=instance, cursor=cursor)
        return sensor(context)


@pytest.mark.skipif(PROMETHEUS is None, reason="prometheus is not installed")
def test_one_firing_makes_one_rollback_with_its_reason(tmp_path: Path) -> None:
    """Another agent's alert, a pending one and the time after a rollback make none."""
    page = "\n".join(
        (
            'ALERTS{alertname="AgentErrors",alertstate="firing",agent="assistant"} 1',
            'ALERTS_FOR_STATE{alertname="AgentErrors",agent="assistant"} 1795800000',
            'ALERTS{alertname="AgentSlow",alertstate="pending",agent="assistant"} 1',
            'ALERTS_FOR_STATE{alertname="AgentSlow",agent="assistant"} 1795800000',
        )
    )
    with prometheus_over(tmp_path, [(page, "")]) as url:
        fired = looked(url)
        (request,) = fired.run_requests
        assert request.run_key == "AgentErrors:assistant:1795800000"
        reason = request.run_config["ops"]["assistant_roll_back"]["config"]["reason"]
        assert reason.startswith("alert AgentErrors fires: agent=assistant")
        assert not looked(url, labels={"agent": "other"}).run_requests
        assert not looked(url, alert="AgentSlow").run_requests
        held = looked(url, cursor=fired.cursor)
        assert "held for 30 minutes" in held.skip_reason.skip_message
        later = looked(url, cursor=str(time.time() - 31 * 60))
        assert later.run_requests[0].run_key == request.run_key  # Dagster starts a key once


def test_a_prometheus_that_does_not_answer_rolls_nobody_back() -> None:
    """No word is no alert."""
    assert "gives no answer" in looked("http://127.0.0.1:9").skip_reason.skip_message


def test_it_needs_a_prometheus() -> None:
    """A rule that nobody looks at is believed to hold."""
    with pytest.raises(ConfigurationError, match="`rollbacks` needs `prometheus`, or"):
        parse_spec(WatchSpec, {"name": "w", "rollbacks": [RULE]}, where="test", noun="watch")


def test_the_sensor_stands_beside_the_job_that_it_launches() -> None:
    """In one code location with the agent whose rollback it launches, and off."""
    watch = {
        "type": "platform_pipelines.components.Watch",
        "attributes": {"name": "watch", "prometheus": "http://127.0.0.1:9", "rollbacks": [RULE]},
    }
    with definitions(WATCH.read_text("utf-8"), yaml.safe_dump(watch)) as defs:
        sensor = defs.resolve_sensor_def("watch_rolls_back_assistant_on_AgentErrors")
        assert sensor.job_name == "assistant_rollback"
        assert defs.resolve_job_def(sensor.job_name)
        assert sensor.default_status is dg.DefaultSensorStatus.STOPPED
