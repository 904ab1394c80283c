"""Small pieces that all renderers of manifests use."""

from collections.abc import Mapping, Sequence
from typing import Any

from platform_pipelines.core.road.manifests import Manifest

NAME = "app.kubernetes.io/name"
INSTANCE = "app.kubernetes.io/instance"
COMPONENT = "app.kubernetes.io/component"


def labels(name: str, component: str, instance: str) -> dict[str, str]:
    """Kubernetes' recommended labels: what it is, its part in the whole, whose it is."""
    return {NAME: name, COMPONENT: component, INSTANCE: instance}


def kube(
    api_version: str,
    kind: str,
    name: str,
    *,
    namespace: str = "",
    labels: Mapping[str, str] | None = None,
    annotations: Mapping[str, str] | None = None,
    **rest: Any,
) -> Manifest:
    """One object. `rest` is what stands beside its metadata: `spec`, `data`, `rules`."""
    metadata: dict[str, Any] = {"name": name}
    if namespace:
        metadata["namespace"] = namespace
    if labels:
        metadata["labels"] = dict(labels)
    if annotations:
        metadata["annotations"] = dict(annotations)
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **rest}


def locked_container() -> dict[str, Any]:
    """A security context that the level `restricted` admits; the file system is read-only."""
    return {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def locked_pod() -> dict[str, Any]:
    """The pod's part of the level `restricted`."""
    return {"runAsNonRoot": True, "runAsUser": 10001, "seccompProfile": {"type": "RuntimeDefault"}}


def resources(cpu: str, memory: str, *, gpus: int = 0) -> dict[str, Any]:
    """Requests and limits. CPU has no limit: an idle core is nobody's gain."""
    claims: dict[str, Any] = {"nvidia.com/gpu": str(gpus)} if gpus else {}
    return {
        "requests": {"cpu": cpu, "memory": memory, **claims},
        "limits": {"memory": memory, **claims},
    }


def writable(*paths: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """(volumes, mounts) of empty folders, for programs that write beside a read-only image."""
    names = [path.strip("/").replace("/", "-").replace(".", "") for path in paths]
    volumes: list[dict[str, Any]] = [{"name": name, "emptyDir": {}} for name in names]
    mounts: list[dict[str, Any]] = [
        {"name": name, "mountPath": path} for name, path in zip(names, paths, strict=True)
    ]
    return volumes, mounts


def service(
    name: str,
    namespace: str,
    selector: Mapping[str, str],
    ports: Sequence[tuple[str, int]],
    *,
    labels: Mapping[str, str],
) -> Manifest:
    """A Service whose traffic stays in its zone where it can."""
    spec = {
        "selector": dict(selector),
        "trafficDistribution": "PreferSameZone",
        "ports": [{"name": n, "port": p, "targetPort": n} for n, p in ports],
    }
    return kube("v1", "Service", name, namespace=namespace, labels=labels, spec=spec)


def service_account(name: str, namespace: str, labels: Mapping[str, str]) -> Manifest:
    """An identity whose token is in no pod that does not ask for it."""
    return kube(
        "v1", "ServiceAccount", name, namespace=namespace, labels=labels,
        automountServiceAccountToken=False,
    )  # fmt: skip


def disruption_budget(
    name: str, namespace: str, selector: Mapping[str, str], *, labels: Mapping[str, str]
) -> Manifest:
    """Nodes are drained one pod at a time."""
    spec = {"maxUnavailable": 1, "selector": {"matchLabels": dict(selector)}}
    return kube(
        "policy/v1", "PodDisruptionBudget", name, namespace=namespace, labels=labels, spec=spec
    )


def service_monitor(
    name: str,
    namespace: str,
    selector: Mapping[str, str],
    *,
    labels: Mapping[str, str],
    port: str,
    interval_seconds: int,
    path: str = "/metrics",
) -> Manifest:
    """What Prometheus scrapes."""
    endpoint = {"port": port, "path": path, "interval": f"{interval_seconds}s"}
    spec = {"selector": {"matchLabels": dict(selector)}, "endpoints": [endpoint]}
    return kube(
        "monitoring.coreos.com/v1", "ServiceMonitor", name,
        namespace=namespace, labels=labels, spec=spec,
    )  # fmt: skip


def utilisation_scaler(
    name: str,
    namespace: str,
    target: str,
    *,
    labels: Mapping[str, str],
    replicas: tuple[int, int],
    percents: Mapping[str, int],
) -> Manifest:
    """A HorizontalPodAutoscaler of a Deployment on CPU and memory, in percent of their requests."""
    minimum, maximum = replicas
    metrics = [
        {
            "type": "Resource",
            "resource": {
                "name": name_,
                "target": {"type": "Utilization", "averageUtilization": percent},
            },
        }
        for name_, percent in percents.items()
    ]
    spec = {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": target},
        "minReplicas": minimum,
        "maxReplicas": maximum,
        "metrics": metrics,
    }
    return kube(
        "autoscaling/v2", "HorizontalPodAutoscaler", name,
        namespace=namespace, labels=labels, spec=spec,
    )  # fmt: skip
