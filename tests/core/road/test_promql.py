"""Queries are found wherever they stand in manifests; series that have gone are named in them."""

import json
from typing import Any

import pytest

from platform_pipelines.core.road.manifest_policies import violations
from platform_pipelines.core.road.manifests import revision_of
from platform_pipelines.core.road.promql import queries_of
from platform_pipelines.stages.road.api_replacements import known_replacements


def manifests(query: str) -> list[dict[str, Any]]:
    """One alert, one scaler, one dashboard with the query."""
    panel = {"title": "p", "targets": [{"expr": query}]}
    rule = {"alert": "a", "expr": f"{query} > 1"}
    trigger = {"type": "prometheus", "name": "t", "metadata": {"query": query}}
    meta = {"name": "x", "namespace": "n"}
    return [
        {"apiVersion": "monitoring.coreos.com/v1", "kind": "PrometheusRule", "metadata": meta,
         "spec": {"groups": [{"name": "g", "rules": [rule]}]}},
        {"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "metadata": meta,
         "spec": {"triggers": [trigger, {"type": "cpu", "metadata": {}}]}},
        {"apiVersion": "v1", "kind": "ConfigMap",
         "metadata": {**meta, "labels": {"grafana_dashboard": "1"}},
         "data": {"d.json": json.dumps({"panels": [panel]})}},
    ]  # fmt: skip


@pytest.mark.parametrize(
    "query",
    [
        "max(vllm:gpu_cache_usage_perc)",
        "sum(rate(vllm:time_in_queue_requests_bucket[5m]))",
        'vllm:num_requests_swapped{model_name="small"}',
    ],
)
def test_a_series_that_has_gone_is_found_in_alerts_scalers_and_dashboards(query: str) -> None:
    """With what stands in its place."""
    found = violations(revision_of("o", "i", manifests(query)), known_replacements())
    assert {one.key.kind for one in found} == {"PrometheusRule", "ScaledObject", "ConfigMap"}
    assert all(one.rule == "outdated" and ": use vllm:" in one.message for one in found)


@pytest.mark.parametrize(
    "query", ["max(vllm:kv_cache_usage_perc)", "sum(my_vllm:gpu_cache_usage_percent)"]
)
def test_a_series_that_is_there_or_is_called_alike_is_left_alone(query: str) -> None:
    """A rule that fires on others' names is switched off soon."""
    assert violations(revision_of("o", "i", manifests(query)), known_replacements()) == ()
    assert [one.expression for one in queries_of(manifests(query))] == [query] * 3
