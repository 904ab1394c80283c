"""The router's role in a cluster: one HTTPRoute, applied, and believed when its Gateway took it.

Each side's requests are counted by the gateway's own pods. Envoy Gateway names a cluster after the
number of a route's rule; a rule has one side here, so the route that is live says whose they are.
agentgateway names the backend itself, counts a request when it has ended, and none that runs: that
nothing runs on a side is said by its own servers.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from platform_pipelines.core.model_rollout.declaration import ClusterTargetSpec
from platform_pipelines.core.model_rollout.manifests import named_route
from platform_pipelines.core.model_rollout.metrics_page import Series, parse_metrics
from platform_pipelines.core.road.cohort_filter import cohort_policy
from platform_pipelines.core.road.manifests import ObjectKey, key_of
from platform_pipelines.core.road.routes import TOTAL, Endpoint
from platform_pipelines.errors import IntegrityError, UnavailableError
from platform_pipelines.gateways.clock import Clock, SystemClock
from platform_pipelines.gateways.cluster.manifests import Cluster
from platform_pipelines.gateways.cluster.pods import Pods
from platform_pipelines.gateways.router import EndpointStats

GATEWAY_API = "gateway.networking.k8s.io/v1"
_POLL_SECONDS = 0.5
_SECONDS_TO_TAKE = 60.0
_REQUESTS = "envoy_cluster_upstream_rq_total"
_ACTIVE = "envoy_cluster_upstream_rq_active"
_CLASSES = "envoy_cluster_upstream_rq_xx"
_ENDED = "agentgateway_requests_total"


@dataclass(frozen=True, slots=True)
class GatewayPods:
    """Where the gateway's own counters are."""

    namespace: str = "envoy-gateway-system"
    owner_label: str = "gateway.envoyproxy.io/owning-gateway-name"
    port: int = 19001
    path: str = "/stats/prometheus"


def counters_of(spec: ClusterTargetSpec) -> GatewayPods:
    """Of the declared controller: agentgateway's proxies are beside their Gateway."""
    if spec.controller == "envoy":
        return GatewayPods()
    label = "gateway.networking.k8s.io/gateway-name"
    return GatewayPods(spec.namespace, label, port=15020, path="/metrics")


class ClusterRouter:
    """`name` is of the route; its Gateway exists already."""

    def __init__(
        self,
        cluster: Cluster,
        pods: Pods,
        name: str,
        spec: ClusterTargetSpec,
        *,
        clock: Clock | None = None,
        counters: GatewayPods | None = None,
    ) -> None:
        self._cluster = cluster
        self._pods = pods
        self._name = name
        self._spec = spec
        self._clock = clock or SystemClock()
        self._counters = counters or counters_of(spec)

    def start(self) -> None:
        """The Gateway is there, and sets cohorts.

        Raises:
            UnavailableError: there is no such Gateway.
        """
        spec = self._spec
        if self._cluster.get(self._gateway_key) is None:
            raise UnavailableError(
                "there is no such Gateway", where=f"namespace {spec.namespace}",
                expected=spec.gateway, remedy="apply the component that has it, or name another",
            )  # fmt: skip
        if spec.controller == "envoy":
            policy = cohort_policy(
                f"{self._name}-cohorts", spec.namespace, gateway=spec.gateway,
                key_header=spec.cohort_key,
            )  # fmt: skip
            self._cluster.apply(policy, force=True)

    def route(
        self,
        endpoints: Sequence[Endpoint],
        shares: Mapping[str, int],
        *,
        mirror: str | None = None,
        first: str | None = None,
    ) -> None:
        """Apply the route; returns when its Gateway took it. `first` has the lowest cohorts."""
        del endpoints  # a Service has its own
        candidate = first or min(shares)
        champion = next((name for name in shares if name != candidate), candidate)
        percent = shares.get(candidate, 0) if champion != candidate else TOTAL
        wanted = named_route(
            self._name, self._spec.namespace, gateway=self._spec.gateway, candidate=candidate,
            champion=champion, percent=percent, mirror=mirror is not None,
            backends=self._spec.backends,
        )  # fmt: skip
        live = self._cluster.apply(wanted, force=True)
        self._await_taken(key_of(wanted), int(live["metadata"]["generation"]))

    def stats(self, name: str) -> EndpointStats | None:
        """Of the rules whose only side is this one; None where no rule has it."""
        route = self._cluster.get(self._key)
        if route is None:
            return None
        rules = [n for n, rule in enumerate(route["spec"]["rules"]) if _side(rule) == name]
        if not rules:
            return None
        series = self._series()
        if self._spec.controller == "agentgateway":
            return self._ended(series, name)
        place = f"httproute/{self._spec.namespace}/{self._name}/rule"
        names = {f"{place}/{number}" for number in rules}
        return EndpointStats(
            total=_sum(series, _REQUESTS, names),
            errors=_sum(series, _CLASSES, names, envoy_response_code_class="5"),
            active=_sum(series, _ACTIVE, names),
        )

    def _ended(self, series: Series, name: str) -> EndpointStats:
        """Of agentgateway: its label `backend` holds the Service's or pool's name among others."""
        route = f"{self._spec.namespace}/{self._name}"
        mine = [
            (labels.get("status", ""), value)
            for labels, value in series.get(_ENDED, ())
            if labels.get("route") == route
            and name in re.split(r"[/.:]", labels.get("backend", ""))
        ]
        return EndpointStats(
            total=round(sum(value for _, value in mine)),
            errors=round(sum(value for status, value in mine if status.startswith("5"))),
            active=0,
        )

    def stop(self) -> None:
        """Take the route away; the Gateway stays."""
        live = self._cluster.get(self._key)
        if live is not None:
            self._cluster.delete(live)

    @property
    def _key(self) -> ObjectKey:
        return ObjectKey(GATEWAY_API, "HTTPRoute", self._spec.namespace, self._name)

    @property
    def _gateway_key(self) -> ObjectKey:
        return ObjectKey(GATEWAY_API, "Gateway", self._spec.namespace, self._spec.gateway)

    def _series(self) -> Series:
        """Of all pods of the gateway.

        Raises:
            UnavailableError: one of them does not answer: a part of the counts is none.
        """
        there, labels = self._counters, {self._counters.owner_label: self._spec.gateway}
        merged: Series = {}
        for pod in self._pods.named(there.namespace, labels):
            page = self._pods.page(there.namespace, pod.name, there.port, there.path)
            if page is None:
                raise UnavailableError("a gateway's pod does not answer", where=pod.name)
            for name, rows in parse_metrics(page).items():
                merged.setdefault(name, []).extend(rows)
        return merged

    def _await_taken(self, key: ObjectKey, generation: int) -> None:
        ends_at = self._clock.monotonic() + _SECONDS_TO_TAKE
        while True:
            said = _conditions(self._cluster.get(key) or {})
            current = [c for c in said if int(c.get("observedGeneration", 0)) >= generation]
            taken = {c["type"] for c in current if c["status"] == "True"}
            if {"Accepted", "ResolvedRefs"} <= taken:
                return
            if refusal := [c for c in current if c["status"] == "False"]:
                raise IntegrityError(
                    "the gateway refuses the route", where=str(key),
                    stored=f"{refusal[0]['type']}: {refusal[0].get('message', '')}",
                    remedy="every side is a Service (or a pool) of the route's namespace first",
                )  # fmt: skip
            if self._clock.monotonic() > ends_at:
                raise UnavailableError(
                    "the gateway does not take the route", where=str(key), stored=said,
                    remedy="look at the gateway's controller",
                )  # fmt: skip
            self._clock.sleep(_POLL_SECONDS)


def _conditions(route: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What all Gateways said of a route."""
    status: dict[str, Any] = route.get("status") or {}
    parents: list[dict[str, Any]] = status.get("parents") or []
    return [condition for parent in parents for condition in parent["conditions"]]


def _side(rule: Mapping[str, Any]) -> str:
    return str(rule["backendRefs"][0]["name"])


def _sum(series: Series, name: str, clusters: set[str], **labels: str) -> int:
    return round(
        sum(
            value
            for found, value in series.get(name, ())
            if found.get("envoy_cluster_name") in clusters
            and all(found.get(key) == wanted for key, wanted in labels.items())
        )
    )
