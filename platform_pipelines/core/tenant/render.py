"""All objects of a tenant: namespaces, quotas, networks, rights, identities, keys, queues."""

from collections.abc import Iterator
from typing import Any

from platform_pipelines.core.road import rendering
from platform_pipelines.core.road.manifests import Manifest
from platform_pipelines.core.road.rendering import kube
from platform_pipelines.core.tenant.declaration import SpaceKind, TenantSpec
from platform_pipelines.core.tenant.networks import render_networks
from platform_pipelines.core.tenant.policies import TENANT, render_policies

SPACE = "platform-pipelines.io/space"
_RBAC = "rbac.authorization.k8s.io"
_READ = ["get", "list", "watch"]
_CHANGE = [*_READ, "create", "update", "patch", "delete"]
# What an operator changes. Not: secrets, rights, quotas, limits, networks, namespaces.
_WORKLOADS: tuple[tuple[str, list[str]], ...] = (
    ("", ["pods", "services", "configmaps", "persistentvolumeclaims"]),
    ("apps", ["deployments", "statefulsets", "replicasets"]),
    ("batch", ["jobs", "cronjobs"]),
    ("autoscaling", ["horizontalpodautoscalers"]),
    ("kagent.dev", ["agents", "modelconfigs", "remotemcpservers"]),
    ("keda.sh", ["scaledobjects"]),
)


def render_tenant(spec: TenantSpec) -> tuple[Manifest, ...]:
    """What a cluster should hold of this tenant."""
    labels = rendering.labels("tenant", "tenant", spec.slug)
    found = [*render_policies(spec, labels)]
    for kind in spec.spaces:
        found += _space(spec, kind, labels)
    return tuple(found)


def _space(spec: TenantSpec, kind: SpaceKind, labels: dict[str, str]) -> Iterator[Manifest]:
    namespace = spec.namespace(kind)
    level = spec.level(kind)
    security = "pod-security.kubernetes.io"
    marks = {
        TENANT: spec.slug,
        SPACE: kind,
        f"{security}/enforce": level,
        f"{security}/audit": "restricted",
        f"{security}/warn": "restricted",
    }
    yield kube("v1", "Namespace", namespace, labels={**labels, **marks})
    yield _quota(spec, kind, labels)
    yield _limits(spec, kind, labels)
    yield from render_networks(spec, namespace, labels)
    yield from _rights(spec, namespace, labels)
    yield rendering.service_account("workload", namespace, {**labels, TENANT: spec.slug})
    if spec.secrets is not None:
        yield _keys(spec, namespace, labels)
    if spec.queue is not None:
        yield kube(
            "kueue.x-k8s.io/v1beta2", "LocalQueue", "default", namespace=namespace, labels=labels,
            spec={"clusterQueue": spec.queue},
        )  # fmt: skip
    if kind == "inference":
        yield from _tls(spec, namespace, labels)


def _quota(spec: TenantSpec, kind: SpaceKind, labels: dict[str, str]) -> Manifest:
    quota = spec.quota(kind)
    hard = {
        "requests.nvidia.com/gpu": str(quota.gpus),
        "requests.cpu": quota.cpu,
        "limits.cpu": quota.cpu_limit,
        "requests.memory": quota.memory,
        "limits.memory": quota.memory_limit,
        "pods": str(quota.pods),
        "services": str(quota.services),
        "services.nodeports": "0",
        "services.loadbalancers": "0",
        "persistentvolumeclaims": str(quota.claims),
    }
    return kube(
        "v1", "ResourceQuota", "tenant", namespace=spec.namespace(kind), labels=labels,
        spec={"hard": hard},
    )  # fmt: skip


def _limits(spec: TenantSpec, kind: SpaceKind, labels: dict[str, str]) -> Manifest:
    given = spec.container(kind)
    limit = {
        "type": "Container",
        "default": {"cpu": given.cpu_limit, "memory": given.memory_limit},
        "defaultRequest": {"cpu": given.cpu, "memory": given.memory},
    }
    return kube(
        "v1", "LimitRange", "tenant", namespace=spec.namespace(kind), labels=labels,
        spec={"limits": [limit]},
    )  # fmt: skip


def _rights(spec: TenantSpec, namespace: str, labels: dict[str, str]) -> Iterator[Manifest]:
    roles: dict[str, tuple[list[str], str | None]] = {
        "operator": (_CHANGE, spec.people.operators),
        "viewer": (_READ, spec.people.viewers),
    }
    for role, (verbs, group) in roles.items():
        rules: list[dict[str, Any]] = [
            {"apiGroups": [api], "resources": list(kinds), "verbs": verbs}
            for api, kinds in _WORKLOADS
        ]
        rules.append({"apiGroups": [""], "resources": ["pods/log", "events"], "verbs": _READ})
        name = f"tenant-{role}"
        yield kube(f"{_RBAC}/v1", "Role", name, namespace=namespace, labels=labels, rules=rules)
        if group is None:
            continue
        yield kube(
            f"{_RBAC}/v1", "RoleBinding", name, namespace=namespace, labels=labels,
            roleRef={"apiGroup": _RBAC, "kind": "Role", "name": name},
            subjects=[{"apiGroup": _RBAC, "kind": "Group", "name": group}],
        )  # fmt: skip


def _keys(spec: TenantSpec, namespace: str, labels: dict[str, str]) -> Manifest:
    secrets = spec.secrets
    assert secrets is not None
    place = f"{secrets.prefix}/{spec.slug}"
    data = [
        {"secretKey": key, "remoteRef": {"key": place, "property": key}} for key in secrets.keys
    ]
    return kube(
        "external-secrets.io/v1", "ExternalSecret", "tenant-keys", namespace=namespace,
        labels=labels,
        spec={
            "refreshInterval": "1h",
            "secretStoreRef": {"kind": "ClusterSecretStore", "name": secrets.store},
            "target": {"name": "tenant-keys", "creationPolicy": "Owner"},
            "data": data,
        },
    )  # fmt: skip


def _tls(spec: TenantSpec, namespace: str, labels: dict[str, str]) -> Iterator[Manifest]:
    """The gateway's side of TLS; its own certificate is the gateway's declaration."""
    for service in spec.tls.services:
        yield kube(
            "gateway.networking.k8s.io/v1", "BackendTLSPolicy", service, namespace=namespace,
            labels=labels,
            spec={
                "targetRefs": [{"group": "", "kind": "Service", "name": service}],
                "validation": {
                    "hostname": f"{service}.{namespace}.svc",
                    "caCertificateRefs": [
                        {"group": "", "kind": "ConfigMap", "name": spec.tls.authority}
                    ],
                },
            },
        )  # fmt: skip
