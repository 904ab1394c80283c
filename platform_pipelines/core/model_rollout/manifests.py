"""A rollout in a cluster: one Deployment and Service a side, and the HTTPRoute that shares them.

Pure: `gateways/cluster` applies them. Cohorts are `x-cohort: 00`-`99`,
set by the gateway from a hashed key and matched here, so that a growing share moves nobody back:
weighted backends of an HTTPRoute choose at random, and Gateway API v1 has no session persistence.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from platform_pipelines.core.model_rollout.engines import NOT_RUN, Engine, engine_command
from platform_pipelines.core.model_rollout.sizing import Sizing
from platform_pipelines.core.model_rollout.weights_check import WEIGHTS_CHECK
from platform_pipelines.core.road.cohort_filter import COHORTS, cohort_pattern
from platform_pipelines.core.road.routes import COHORT_HEADER
from platform_pipelines.core.road.served_model import ModelRef

Backends = Literal["service", "inference_pool"]
PORT = 8000


@dataclass(frozen=True, slots=True)
class ServingPlan:
    """How one side runs in a cluster. Values of the fields are those of a 70B model."""

    namespace: str
    image: str  # with a digest or a version, never a moving tag
    sizing: Sizing
    replicas: int = 2
    engine: Engine = "vllm"
    memory_share: float = 0.95
    cpu: tuple[str, str] = ("32", "48")  # request, limit
    memory: tuple[str, str] = ("200Gi", "250Gi")
    shared_memory: str = "64Gi"
    start_seconds: int = 600
    drain_seconds: int = 120
    cache_claim: str = "models"  # a volume with models, each in a folder of its digest
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
                    "annotations": _annotations(model, plan),
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
    backends: Backends = "service",
) -> dict[str, Any]:
    """Cohorts below `percent` go to the candidate, all others to the champion.

    Raises:
        ConfigurationError: not 0 to 100.
    """
    return named_route(
        name, namespace, gateway=gateway, candidate=name_of(candidate), champion=name_of(champion),
        percent=percent, mirror=mirror, backends=backends,
    )  # fmt: skip


def named_route(
    name: str,
    namespace: str,
    *,
    gateway: str,
    candidate: str,
    champion: str,
    percent: int,
    mirror: bool,
    backends: Backends,
) -> dict[str, Any]:
    """As `http_route`, of the sides' names.

    Raises:
        ConfigurationError: not 0 to 100.
    """
    pattern = cohort_pattern(percent)
    rules: list[dict[str, Any]] = []
    if 0 < percent < COHORTS:
        match = {"type": "RegularExpression", "name": COHORT_HEADER, "value": pattern}
        taken = [_backend(candidate, backends)]
        rules.append({"matches": [{"headers": [match]}], "backendRefs": taken})
    rest = _backend(candidate if percent == COHORTS else champion, backends)
    others: dict[str, Any] = {"backendRefs": [rest]}
    if mirror:
        copied = {"backendRef": _backend(candidate, backends)}
        others["filters"] = [{"type": "RequestMirror", "requestMirror": copied}]
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"parentRefs": [{"name": gateway}], "rules": [*rules, others]},
    }


def name_of(model: ModelRef) -> str:
    """Of a side's objects: of the model's content, so it stays through a promotion."""
    return f"model-{model.short}"


def _pod(model: ModelRef, plan: ServingPlan) -> dict[str, Any]:
    volumes: list[dict[str, Any]] = [
        {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": plan.shared_memory}},
        {"name": "models", "persistentVolumeClaim": {"claimName": plan.cache_claim}},
    ]
    return {
        "terminationGracePeriodSeconds": plan.drain_seconds + 60,
        "automountServiceAccountToken": False,
        "nodeSelector": dict(plan.node_selector),
        "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]
        if plan.sizing.gpus
        else [],
        "topologySpreadConstraints": [
            {
                "maxSkew": 1,
                "topologyKey": "topology.kubernetes.io/zone",
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": _labels(model)},
            }
        ],
        "initContainers": [_weights_check(model, plan)],
        "containers": [_container(model, plan)],
        "volumes": volumes,
    }


def _container(model: ModelRef, plan: ServingPlan) -> dict[str, Any]:
    command, *arguments = engine_command(
        plan.engine, f"/models/{model.digest}", plan.sizing, port=PORT,
        memory_share=plan.memory_share, drain_seconds=plan.drain_seconds,
    )  # fmt: skip
    health = {"httpGet": {"path": "/health", "port": "http"}}
    gpus = {"nvidia.com/gpu": str(plan.sizing.gpus)} if plan.sizing.gpus else {}
    return {
        "name": "server",
        "image": plan.image,
        "command": [command],
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
            "requests": {"cpu": plan.cpu[0], "memory": plan.memory[0], **gpus},
            "limits": {"cpu": plan.cpu[1], "memory": plan.memory[1], **gpus},
        },
        "volumeMounts": [
            {"name": "shm", "mountPath": "/dev/shm"},  # noqa: S108 - the pod's own
            {"name": "models", "mountPath": "/models"},
        ],
    }


def _weights_check(model: ModelRef, plan: ServingPlan) -> dict[str, Any]:
    """No server starts over other files than those of its digest."""
    return {
        "name": "weights",
        "image": plan.image,
        "command": ["python3", "-c", WEIGHTS_CHECK, f"/models/{model.digest}", model.digest],
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        "resources": {
            "requests": {"cpu": "1", "memory": "256Mi"},
            "limits": {"cpu": "4", "memory": "1Gi"},
        },
        "volumeMounts": [{"name": "models", "mountPath": "/models", "readOnly": True}],
    }


def worker_set(model: ModelRef, plan: ServingPlan) -> dict[str, Any]:
    """A model that is cut over several nodes: LeaderWorkerSet starts and ends its pods together.

    The leader answers; a worker has its number from the set and serves nobody.
    """
    size = str(plan.sizing.pipeline_parallel)
    place = ["--nnodes", size, "--master-addr", "$(LWS_LEADER_ADDRESS)", "--node-rank"]
    leader, worker = _pod(model, plan), _pod(model, plan)
    leader["containers"][0]["args"] += [*place, "0"]
    worker["containers"][0]["args"] += [*place, "$(LWS_WORKER_INDEX)", "--headless"]
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        del worker["containers"][0][probe]  # without a page there is nothing to ask
    gpus = plan.sizing.tensor_parallel
    for pod in (leader, worker):
        for kind in ("requests", "limits"):
            pod["containers"][0]["resources"][kind]["nvidia.com/gpu"] = str(gpus)
    metadata = {"annotations": _annotations(model, plan)}
    return {
        "apiVersion": "leaderworkerset.x-k8s.io/v1",
        "kind": "LeaderWorkerSet",
        "metadata": _metadata(model, plan),
        "spec": {
            "replicas": plan.replicas,
            "leaderWorkerTemplate": {
                "size": plan.sizing.pipeline_parallel,
                "restartPolicy": "RecreateGroupOnPodRestart",
                "leaderTemplate": {
                    "metadata": {**metadata, "labels": _labels(model)}, "spec": leader
                },
                "workerTemplate": {
                    "metadata": {**metadata, "labels": worker_labels(model)},
                    "spec": worker,
                },
            },
        },
    }  # fmt: skip


def worker_labels(model: ModelRef) -> dict[str, str]:
    """Of the pods that serve nobody: no Service selects them."""
    return {"platform/worker-of": model.short}


def _annotations(model: ModelRef, plan: ServingPlan) -> dict[str, str]:
    found = {"platform/model-digest": model.digest}
    return found if plan.engine == "vllm" else {**found, "platform/engine": NOT_RUN}


def _metadata(model: ModelRef, plan: ServingPlan) -> dict[str, Any]:
    return {"name": name_of(model), "namespace": plan.namespace, "labels": _labels(model)}


def _labels(model: ModelRef) -> dict[str, str]:
    return {"app.kubernetes.io/name": "model-server", "platform/model": model.short}


def _backend(name: str, kind: Backends) -> dict[str, Any]:
    if kind == "inference_pool":
        return {"group": "inference.networking.k8s.io", "kind": "InferencePool", "name": name}
    return {"name": name, "port": PORT}
