"""A rollout in a cluster: one Deployment and Service a side, and the HTTPRoute that shares them.

Rendered, not applied: server-side apply is the cluster's matter. Cohorts are `x-cohort: 00`-`99`,
set by the gateway from a hashed key and matched here, so that a growing share moves nobody back:
weighted backends of an HTTPRoute choose at random, and Gateway API v1 has no session persistence.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from platform_pipelines.core.model_rollout.sizing import Sizing
from platform_pipelines.core.road.routes import COHORT_HEADER
from platform_pipelines.core.road.served_model import SERVED_NAME, ModelRef
from platform_pipelines.errors import ConfigurationError

PORT = 8000
COHORTS = 100


@dataclass(frozen=True, slots=True)
class ServingPlan:
    """How one side runs in a cluster. Values of the fields are those of a 70B model."""

    namespace: str
    image: str  # with a digest or a version, never a moving tag
    sizing: Sizing
    replicas: int = 2
    engine: Literal["vllm"] = "vllm"
    memory_share: float = 0.95
    cpu: tuple[str, str] = ("32", "48")  # request, limit
    memory: tuple[str, str] = ("200Gi", "250Gi")
    shared_memory: str = "64Gi"
    start_seconds: int = 600
    drain_seconds: int = 120
    cache_claim: str | None = None  # a volume of models; None: fetched to an empty directory
    node_selector: Mapping[str, str] = field(default_factory=dict[str, str])


def deployment(model: ModelRef, plan: ServingPlan) -> dict[str, Any]:
    """Pods of one side: they become ready when the model answers, and drain before they end."""
    labels = _labels(model)
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name_of(model), "namespace": plan.namespace, "labels": labels},
        "spec": {
            "replicas": plan.replicas,
            "selector": {"matchLabels": labels},
            "strategy": {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
            "template": {
                "metadata": {
                    "labels": labels,
                    "annotations": {"platform/model-digest": model.digest},
                },
                "spec": _pod(model, plan),
            },
        },
    }


def service(model: ModelRef, plan: ServingPlan) -> dict[str, Any]:
    """One side's address, the nearest zone first."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": _metadata(model, plan),
        "spec": {
            "selector": _labels(model),
            "ports": [{"name": "http", "port": PORT, "targetPort": "http"}],
            "trafficDistribution": "PreferSameZone",
        },
    }


def disruption_budget(model: ModelRef, plan: ServingPlan) -> dict[str, Any]:
    """A drained node takes one replica at a time."""
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": _metadata(model, plan),
        "spec": {"maxUnavailable": 1, "selector": {"matchLabels": _labels(model)}},
    }


def http_route(
    name: str,
    namespace: str,
    *,
    gateway: str,
    candidate: ModelRef,
    champion: ModelRef,
    percent: int,
    mirror: bool = False,
) -> dict[str, Any]:
    """Cohorts below `percent` go to the candidate, all others to the champion.

    Raises:
        ConfigurationError: not 0 to 100.
    """
    rules: list[dict[str, Any]] = []
    if 0 < percent < COHORTS:
        match = {
            "type": "RegularExpression", "name": COHORT_HEADER, "value": cohort_pattern(percent)
        }  # fmt: skip
        rules.append({"matches": [{"headers": [match]}], "backendRefs": [_backend(candidate)]})
    rest: dict[str, Any] = {
        "backendRefs": [_backend(candidate if percent == COHORTS else champion)]
    }
    if mirror:
        copied = {"type": "RequestMirror", "requestMirror": {"backendRef": _backend(candidate)}}
        rest["filters"] = [copied]
    cohort_pattern(percent)  # refuses what is no share
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"parentRefs": [{"name": gateway}], "rules": [*rules, rest]},
    }


def cohort_pattern(percent: int) -> str:
    """A regular expression of the cohorts below a share, in RE2's and Python's words.

    Raises:
        ConfigurationError: not 0 to 100.
    """
    if not 0 <= percent <= COHORTS:
        raise ConfigurationError("no share of 100", stored=percent, expected="0 to 100")
    tens, ones = divmod(percent, 10)
    parts = [f"[0-{tens - 1}][0-9]"] if tens else []
    parts += [f"{tens}[0-{ones - 1}]"] if ones else []
    return f"^({'|'.join(parts)})$" if parts else "^$"


def name_of(model: ModelRef) -> str:
    """Of a side's objects: of the model's content, so it stays through a promotion."""
    return f"model-{model.short}"


def _pod(model: ModelRef, plan: ServingPlan) -> dict[str, Any]:
    volumes: list[dict[str, Any]] = [
        {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": plan.shared_memory}},
        {"name": "models", "persistentVolumeClaim": {"claimName": plan.cache_claim}}
        if plan.cache_claim
        else {"name": "models", "emptyDir": {}},
    ]
    return {
        "terminationGracePeriodSeconds": plan.drain_seconds + 60,
        "automountServiceAccountToken": False,
        "nodeSelector": dict(plan.node_selector),
        "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
        "topologySpreadConstraints": [
            {
                "maxSkew": 1,
                "topologyKey": "topology.kubernetes.io/zone",
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": _labels(model)},
            }
        ],
        "containers": [_container(model, plan)],
        "volumes": volumes,
    }


def _container(model: ModelRef, plan: ServingPlan) -> dict[str, Any]:
    arguments = [
        "serve", f"/models/{model.digest}", "--served-model-name", SERVED_NAME,
        "--port", str(PORT), "--load-format", "safetensors", *plan.sizing.arguments,
        "--gpu-memory-utilization", str(plan.memory_share), "--enable-prefix-caching",
        "--shutdown-timeout", str(plan.drain_seconds),
    ]  # fmt: skip
    health = {"httpGet": {"path": "/health", "port": "http"}}
    gpus = str(plan.sizing.gpus)
    return {
        "name": "server",
        "image": plan.image,
        "command": [plan.engine],
        "args": arguments,
        "ports": [{"name": "http", "containerPort": PORT}],
        "env": [{"name": "HF_HUB_OFFLINE", "value": "1"}],
        "startupProbe": {
            **health,
            "periodSeconds": 10,
            "failureThreshold": plan.start_seconds // 10,
        },
        "readinessProbe": {**health, "periodSeconds": 5, "timeoutSeconds": 5},
        "livenessProbe": {**health, "periodSeconds": 30, "timeoutSeconds": 10},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        },
        "resources": {
            "requests": {"cpu": plan.cpu[0], "memory": plan.memory[0], "nvidia.com/gpu": gpus},
            "limits": {"cpu": plan.cpu[1], "memory": plan.memory[1], "nvidia.com/gpu": gpus},
        },
        "volumeMounts": [
            {"name": "shm", "mountPath": "/dev/shm"},  # noqa: S108 - the pod's own
            {"name": "models", "mountPath": "/models"},
        ],
    }


def _metadata(model: ModelRef, plan: ServingPlan) -> dict[str, Any]:
    return {"name": name_of(model), "namespace": plan.namespace, "labels": _labels(model)}


def _labels(model: ModelRef) -> dict[str, str]:
    return {"app.kubernetes.io/name": "model-server", "platform/model": model.short}


def _backend(model: ModelRef) -> dict[str, Any]:
    return {"name": name_of(model), "port": PORT}
