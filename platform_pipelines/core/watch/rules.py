"""What is alerted on, rendered from the names that the code and its servers use.

Series: `vllm:*` of vLLM (V1), `agent_*` of our agents, `litellm_*` of LiteLLM's proxy, `DCGM_FI_*`
of NVIDIA's exporter. Each rule says what it looks at: a dashboard and a test read the same
expression. Thresholds are the seed values of the declaration.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from platform_pipelines.core.road import rendering
from platform_pipelines.core.road.manifests import Manifest

AGENT_DURATION, AGENT_ERRORS = "agent_request_duration_seconds", "agent_request_errors_total"
CLUSTER = "cluster"  # the label that tells several clusters apart


@dataclass(frozen=True, slots=True)
class Rule:
    """One alert: when `expression` `comparison` `threshold` for a time."""

    name: str
    expression: str
    comparison: str
    threshold: float
    for_: str
    severity: str
    says: str

    @property
    def condition(self) -> str:
        """What Prometheus evaluates."""
        return f"{self.expression} {self.comparison} {self.threshold:g}"


RULES: tuple[Rule, ...] = (
    Rule(
        "AgentSlow",
        f"histogram_quantile(0.99, sum by ({CLUSTER}, agent, le) "
        f"(rate({AGENT_DURATION}_bucket[5m])))",
        ">", 10, "5m", "warning", "p99 of {{ $labels.agent }} is {{ $value | humanize }} s",
    ),
    Rule(
        "AgentErrors",
        f"sum by ({CLUSTER}, agent) (rate({AGENT_ERRORS}[5m])) "
        f"/ sum by ({CLUSTER}, agent) (rate({AGENT_DURATION}_count[5m]))",
        ">", 0.05, "5m", "critical",
        "{{ $value | humanizePercentage }} of {{ $labels.agent }}'s requests fail",
    ),
    Rule(
        "ModelSlow",
        f"histogram_quantile(0.99, sum by ({CLUSTER}, model_name, le) "
        "(rate(vllm:e2e_request_latency_seconds_bucket[5m])))",
        ">", 10, "5m", "warning", "p99 of {{ $labels.model_name }} is {{ $value | humanize }} s",
    ),
    Rule(
        "ModelQueue",
        f"sum by ({CLUSTER}, model_name) (vllm:num_requests_waiting)",
        ">", 10, "5m", "warning", "{{ $value }} requests wait for {{ $labels.model_name }}",
    ),
    Rule(
        "KvCacheFull",
        f"max by ({CLUSTER}, model_name) (vllm:kv_cache_usage_perc)",
        ">", 0.9, "5m", "warning", "the KV cache of {{ $labels.model_name }} is nearly full",
    ),
    Rule(
        "GatewayErrors",
        f"sum by ({CLUSTER}) (rate(litellm_proxy_failed_requests_metric_total[5m])) "
        f"/ sum by ({CLUSTER}) (rate(litellm_proxy_total_requests_metric_total[5m]))",
        ">", 0.05, "5m", "critical", "{{ $value | humanizePercentage }} of all requests fail",
    ),
    Rule(
        "GpuBusy", f"avg by ({CLUSTER}, Hostname, gpu) (DCGM_FI_DEV_GPU_UTIL)",
        ">", 80, "15m", "info", "GPU {{ $labels.gpu }} of {{ $labels.Hostname }} is busy",
    ),
    Rule(
        "GpuCopying", f"avg by ({CLUSTER}, Hostname, gpu) (DCGM_FI_DEV_MEM_COPY_UTIL)",
        ">", 70, "15m", "info", "memory copies of GPU {{ $labels.gpu }} take {{ $value }} %",
    ),
    Rule(
        "GpuMemoryFull",
        f"100 * avg by ({CLUSTER}, Hostname, gpu) (DCGM_FI_DEV_FB_USED "
        "/ (DCGM_FI_DEV_FB_USED + DCGM_FI_DEV_FB_FREE))",
        ">=", 95, "5m", "warning", "the memory of GPU {{ $labels.gpu }} is full",
    ),
    Rule(
        "GpuHot", f"max by ({CLUSTER}, Hostname, gpu) (DCGM_FI_DEV_GPU_TEMP)",
        ">=", 85, "5m", "warning", "GPU {{ $labels.gpu }} has {{ $value }} degrees Celsius",
    ),
    Rule(
        "GpuPower",
        f"100 * max by ({CLUSTER}, Hostname, gpu) (DCGM_FI_DEV_POWER_USAGE "
        "/ DCGM_FI_DEV_POWER_MGMT_LIMIT)",
        ">=", 90, "5m", "warning", "GPU {{ $labels.gpu }} takes {{ $value }} % of its power",
    ),
    Rule(
        "GpuThrottled",
        f"avg by ({CLUSTER}, Hostname, gpu) (DCGM_FI_DEV_SM_CLOCK)",
        "<", 600, "10m", "info", "the clock of GPU {{ $labels.gpu }} is {{ $value }} MHz",
    ),
)  # fmt: skip


def render_rules(
    name: str,
    namespace: str,
    *,
    thresholds: Mapping[str, float],
    selector: Mapping[str, str] | None = None,
) -> Manifest:
    """A PrometheusRule of all alerts; `thresholds` are those that differ from the seed, `selector`
    the labels by which the operator picks rules.
    """
    labels = {**rendering.labels("watch", "alerts", name), **(selector or {})}
    spec = rule_file(thresholds)
    return rendering.kube(
        "monitoring.coreos.com/v1", "PrometheusRule", name,
        namespace=namespace, labels=labels, spec=spec,
    )  # fmt: skip


def rule_file(thresholds: Mapping[str, float]) -> dict[str, Any]:
    """The same as Prometheus' own file of rules, which promtool reads."""
    return {"groups": [{"name": "platform", "rules": list(_rules(thresholds))}]}


def _rules(thresholds: Mapping[str, float]) -> Iterator[dict[str, Any]]:
    for rule in RULES:
        limit = thresholds.get(rule.name, rule.threshold)
        yield {
            "alert": rule.name,
            "expr": f"{rule.expression} {rule.comparison} {limit:g}",
            "for": rule.for_,
            "labels": {"severity": rule.severity},
            "annotations": {"summary": rule.says},
        }
