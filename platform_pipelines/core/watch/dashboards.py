"""Grafana dashboards, from the same names as the alerts: agents, models, resources, cost."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from platform_pipelines.core.watch.rules import AGENT_DURATION, AGENT_ERRORS, CLUSTER, RULES, Rule

SCHEMA_VERSION = 41


@dataclass(frozen=True, slots=True)
class Panel:
    """One curve: what it shows, Grafana's unit, and the alert's threshold where there is one."""

    title: str
    expression: str
    unit: str = "short"
    threshold: float | None = None
    above: bool = True  # whether what is over the threshold is bad


def _of(name: str, unit: str) -> Panel:
    rule: Rule = next(one for one in RULES if one.name == name)
    return Panel(rule.name, rule.expression, unit, rule.threshold, "<" not in rule.comparison)


def _rate(series: str, *by: str) -> str:
    return f"sum by ({', '.join((CLUSTER, *by))}) (rate({series}[5m]))"


def _p99(series: str, *by: str) -> str:
    return f"histogram_quantile(0.99, {_rate(f'{series}_bucket', *by, 'le')})"


DASHBOARDS: dict[str, tuple[Panel, ...]] = {
    "agents": (
        _of("AgentSlow", "s"),
        _of("AgentErrors", "percentunit"),
        Panel("Agent requests", _rate(f"{AGENT_DURATION}_count", "agent"), "reqps"),
        Panel("Agent failures", _rate(AGENT_ERRORS, "agent"), "reqps"),
        Panel("Sessions", f"sum by ({CLUSTER}, agent) (agent_active_sessions)"),
    ),
    "models": (
        _of("ModelSlow", "s"),
        _of("ModelQueue", "short"),
        _of("KvCacheFull", "percentunit"),
        _of("GatewayErrors", "percentunit"),
        Panel("First token, p99", _p99("vllm:time_to_first_token_seconds", "model_name"), "s"),
        Panel("Requests", _rate("vllm:request_success_total", "model_name"), "reqps"),
        Panel("Running", f"sum by ({CLUSTER}, model_name) (vllm:num_requests_running)"),
        Panel("Knowledge bases, p99", _p99("platform_request_seconds", "knowledge_base"), "s"),
        Panel(
            "Knowledge bases, requests",
            _rate("platform_requests_total", "knowledge_base", "outcome"), "reqps",
        ),
        Panel("Answers not known", _rate("platform_answers_unknown_total", "knowledge_base")),
    ),
    "resources": tuple(
        _of(name, unit)
        for name, unit in (
            ("GpuBusy", "percent"), ("GpuCopying", "percent"), ("GpuMemoryFull", "percent"),
            ("GpuHot", "celsius"), ("GpuPower", "percent"), ("GpuThrottled", "rotmhz"),
        )
    ),
    "cost": (
        Panel(
            "Nodes, an hour",
            f"sum by ({CLUSTER}, instance_type) (node_total_hourly_cost)", "currencyUSD",
        ),
        Panel(
            "GPUs by namespace, an hour",
            f"sum by ({CLUSTER}, namespace) (container_gpu_allocation * on ({CLUSTER}, node) "
            "group_left () node_gpu_hourly_cost)",
            "currencyUSD",
        ),
        Panel(
            "Idle GPUs", f"1 - avg by ({CLUSTER}) (DCGM_FI_DEV_GPU_UTIL) / 100", "percentunit"
        ),
        Panel("Tokens", _rate("platform_tokens_total", "knowledge_base", "direction")),
    ),
}  # fmt: skip


def dashboard(name: str, uid: str) -> dict[str, Any]:
    """One dashboard as Grafana imports it; its data source is a variable."""
    variable = {"name": "datasource", "type": "datasource", "query": "prometheus"}
    return {
        "title": name,
        "uid": uid,
        "schemaVersion": SCHEMA_VERSION,
        "time": {"from": "now-6h", "to": "now"},
        "templating": {"list": [variable]},
        "panels": list(_panels(DASHBOARDS[name])),
    }


def _panels(panels: Sequence[Panel]) -> Iterator[dict[str, Any]]:
    for number, panel in enumerate(panels):
        yield {
            "id": number + 1,
            "title": panel.title,
            "type": "timeseries",
            "datasource": {"type": "prometheus", "uid": "${datasource}"},
            "gridPos": {"h": 8, "w": 12, "x": 12 * (number % 2), "y": 8 * (number // 2)},
            "targets": [{"refId": "A", "expr": panel.expression}],
            "fieldConfig": {"defaults": _defaults(panel), "overrides": list[Any]()},
        }


def _defaults(panel: Panel) -> dict[str, Any]:
    if panel.threshold is None:
        return {"unit": panel.unit}
    colors = ("green", "red") if panel.above else ("red", "green")
    steps = [
        {"color": colors[0], "value": None}, {"color": colors[1], "value": panel.threshold},
    ]  # fmt: skip
    return {"unit": panel.unit, "thresholds": {"mode": "absolute", "steps": steps}}
