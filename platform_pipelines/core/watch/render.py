"""The objects of what is watched: one PrometheusRule, one ConfigMap a dashboard."""

import json

from platform_pipelines.core.road import rendering
from platform_pipelines.core.road.manifests import Manifest
from platform_pipelines.core.watch.dashboards import dashboard
from platform_pipelines.core.watch.declaration import WatchSpec
from platform_pipelines.core.watch.rules import render_rules

SIDECAR = {"grafana_dashboard": "1"}  # by which Grafana's sidecar finds dashboards


def render_watch(spec: WatchSpec) -> tuple[Manifest, ...]:
    """Everything of a declaration."""
    rules = render_rules(
        spec.slug, spec.namespace, thresholds=spec.thresholds, selector=spec.selector
    )
    labels = {**rendering.labels("watch", "dashboards", spec.slug), **SIDECAR}
    maps = [
        rendering.kube(
            "v1", "ConfigMap", f"{spec.slug}-{name}", namespace=spec.namespace, labels=labels,
            data={f"{name}.json": json.dumps(dashboard(name, f"{spec.slug}-{name}"), indent=1)},
        )
        for name in spec.dashboards
    ]  # fmt: skip
    return (rules, *maps)
