"""Every PromQL query that stands in manifests: of alerts, of scalers, of dashboards."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from platform_pipelines.core.road.manifests import Manifest, key_of


@dataclass(frozen=True, slots=True)
class Query:
    """One expression and where it stands."""

    where: str  # the object, and the alert, trigger or panel in it
    expression: str


def queries_of(manifests: Iterable[Manifest]) -> list[Query]:
    """All queries of these objects; a rule's is without its comparison (`looked_at`)."""
    readers = {"PrometheusRule": _of_rule, "ScaledObject": _of_scaler, "ConfigMap": _of_map}
    return [
        Query(f"{key_of(one)}: {name}", expression)
        for one in manifests
        if one.get("kind") in readers
        for name, expression in readers[one["kind"]](one)
    ]


def looked_at(expression: str) -> str:
    """What an alert looks at: the expression without the comparison at its end.

    The comparison filters: an alert that is quiet has no series, as one has that is misspelt.
    """
    head, _, last = expression.rpartition(" ")
    body, _, comparison = head.rpartition(" ")
    try:
        float(last)
    except ValueError:
        return expression
    return body if comparison in (">", ">=", "<", "<=", "==", "!=") else expression


def _of_rule(manifest: Manifest) -> Iterator[tuple[str, str]]:
    for group in manifest.get("spec", {}).get("groups", ()):
        for rule in group.get("rules", ()):
            yield rule.get("alert") or rule["record"], looked_at(rule["expr"])


def _of_scaler(manifest: Manifest) -> Iterator[tuple[str, str]]:
    for trigger in manifest.get("spec", {}).get("triggers", ()):
        if trigger.get("type") == "prometheus":
            yield trigger.get("name", "trigger"), trigger["metadata"]["query"]


def _of_map(manifest: Manifest) -> Iterator[tuple[str, str]]:
    labels: Mapping[str, Any] = manifest["metadata"].get("labels", {})
    if "grafana_dashboard" not in labels:
        return
    for text in manifest.get("data", {}).values():
        panels = cast("Sequence[Mapping[str, Any]]", json.loads(text)["panels"])
        for panel in panels:
            for target in panel["targets"]:
                yield str(panel["title"]), str(target["expr"])
