"""NetworkPolicies of a tenant's namespace: nothing, then what is named."""

from collections.abc import Iterator
from typing import Any

from platform_pipelines.core.road.manifests import Manifest
from platform_pipelines.core.road.rendering import kube
from platform_pipelines.core.tenant.declaration import TenantSpec
from platform_pipelines.core.tenant.policies import TENANT

_NAME = "kubernetes.io/metadata.name"  # set by the API server itself, so nobody can borrow it
_DNS, _HTTPS = 53, 443


def render_networks(spec: TenantSpec, namespace: str, labels: dict[str, str]) -> Iterator[Manifest]:
    """Default deny both ways; the tenant's own namespaces, DNS, the gateway, scrapes, port 443."""
    network = spec.network
    # Its own namespaces by name: a label may be written on a namespace by who may create one.
    own = [_namespace(spec.namespace(kind)) for kind in spec.spaces]
    gateway = _namespace(network.gateway_namespace)
    rules: dict[str, dict[str, Any]] = {
        "default-deny": {},
        "own": {"ingress": [{"from": own}], "egress": [{"to": own}]},
        "dns": {"egress": [{"to": [_namespace("kube-system")], "ports": _ports(_DNS)}]},
        "gateway": {"ingress": [{"from": [gateway]}], "egress": [{"to": [gateway]}]},
        "monitoring": {"ingress": [{"from": [_namespace(network.monitoring_namespace)]}]},
    }
    if network.internet:
        public = {"ipBlock": {"cidr": "0.0.0.0/0", "except": list(network.private_ranges)}}
        ports = [{"protocol": "TCP", "port": _HTTPS}]
        rules["internet"] = {"egress": [{"to": [public], "ports": ports}]}
    for name, rule in rules.items():
        directions = [d.title() for d in ("ingress", "egress") if d in rule or not rule]
        yield kube(
            "networking.k8s.io/v1", "NetworkPolicy", name, namespace=namespace,
            labels={**labels, TENANT: spec.slug},
            spec={"podSelector": {}, "policyTypes": directions, **rule},
        )  # fmt: skip


def _namespace(name: str) -> dict[str, Any]:
    return {"namespaceSelector": {"matchLabels": {_NAME: name}}}


def _ports(number: int) -> list[dict[str, Any]]:
    return [{"protocol": protocol, "port": number} for protocol in ("UDP", "TCP")]
