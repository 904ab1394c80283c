"""Self-hosted models: vLLM's servers, their pool with its endpoint picker, and their scaling.

Flags are those of vLLM 0.33 (V1), metric names `vllm:*`; the split of prompts and answers is
llm-d's: pods of one pool with a role each, the picker chooses a pair for every request.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from platform_pipelines.core.model_catalogue import names
from platform_pipelines.core.model_catalogue.declaration import (
    DeploymentSpec,
    ModelCatalogueSpec,
    ServingSpec,
)
from platform_pipelines.core.model_catalogue.gateway import labels
from platform_pipelines.core.road import rendering
from platform_pipelines.core.road.manifests import Manifest

_START_ATTEMPTS = 120  # of 10 s: loading a large model takes minutes
_KV_TRANSFER = '{"kv_connector":"NixlConnector","kv_role":"kv_both"}'


def render_serving(spec: ModelCatalogueSpec) -> Iterator[Manifest]:
    """Everything in the inference namespace, but the pools' pickers."""
    for model, one in spec.self_hosted().items():
        serving = one.serving
        assert serving is not None
        yield from _model(spec, model, one, serving)


def _model(
    spec: ModelCatalogueSpec, model: str, one: DeploymentSpec, serving: ServingSpec
) -> Iterator[Manifest]:
    namespace, name = spec.gateway.inference_namespace, names.server(spec, model)
    tags, pods = labels(spec, "model"), names.selector(spec, model)
    yield rendering.service_account(name, namespace, tags)
    reached = {**pods, names.ROLE_LABEL: "decode"} if serving.split else pods
    yield rendering.service(
        name, namespace, reached, [("http", names.VLLM_PORT)], labels={**tags, **pods}
    )
    yield rendering.disruption_budget(name, namespace, pods, labels=tags)
    yield rendering.service_monitor(
        name, namespace, pods, labels=tags, port="http",
        interval_seconds=spec.watch.interval_seconds,
    )  # fmt: skip
    if serving.split is not None:
        split = serving.split
        sizes = {
            "prefill": (split.prefill_replicas, split.prefill_gpus),
            "decode": (split.decode_replicas, split.decode_gpus),
        }
        for role, (replicas, gpus) in sizes.items():
            yield _deployment(spec, model, one, serving, role=role, gpus=gpus, replicas=replicas)
        return
    if serving.nodes > 1:
        yield _worker_set(spec, model, one, serving)
        return
    yield _deployment(spec, model, one, serving, role="", gpus=serving.gpus, replicas=None)
    yield queue_scaler(spec, model, serving)


def queue_scaler(spec: ModelCatalogueSpec, model: str, serving: ServingSpec) -> Manifest:
    """KEDA's ScaledObject on waiting requests, running requests and the used KV cache.

    A threshold is of one server: KEDA divides the sum by the number of servers.
    """
    scaling, name = serving.scaling, names.server(spec, model)
    queries = {
        "queue": (f"sum({_series(spec, model, 'num_requests_waiting')})", scaling.queue),
        "sessions": (f"sum({_series(spec, model, 'num_requests_running')})", scaling.sessions),
        "kv-cache": (f"sum({_series(spec, model, 'kv_cache_usage_perc')})", scaling.kv_cache),
    }
    triggers = [
        {
            "type": "prometheus",
            "name": trigger,
            "metricType": "AverageValue",
            "metadata": {
                "serverAddress": spec.watch.prometheus,
                "query": query,
                "threshold": str(threshold),
                "ignoreNullValues": "false",  # no series is a fault, not an empty queue
            },
        }
        for trigger, (query, threshold) in queries.items()
    ]
    return rendering.kube(
        "keda.sh/v1alpha1", "ScaledObject", name,
        namespace=spec.gateway.inference_namespace, labels=labels(spec, "scaling"),
        spec={
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
            "pollingInterval": scaling.poll_seconds,
            "cooldownPeriod": scaling.cooldown_seconds,
            "minReplicaCount": scaling.minimum,
            "maxReplicaCount": scaling.maximum,
            "fallback": {"failureThreshold": 3, "replicas": max(scaling.minimum, 1)},
            "triggers": triggers,
        },
    )  # fmt: skip


def vllm_arguments(
    model: str, one: DeploymentSpec, serving: ServingSpec, *, gpus: int, role: str = ""
) -> list[str]:
    """What `vllm serve` is told; its own parser is asked in the tests."""
    arguments = [
        "--model", serving.weights,
        "--served-model-name", *dict.fromkeys([model, one.model]),
        "--port", str(names.VLLM_PORT),
        "--shutdown-timeout", "30",
    ]  # fmt: skip
    if gpus > 1:
        arguments += ["--tensor-parallel-size", str(gpus)]
    if serving.nodes > 1:
        arguments += ["--pipeline-parallel-size", str(serving.nodes)]
        arguments += ["--distributed-executor-backend", "ray"]
    if role:
        arguments += ["--kv-transfer-config", _KV_TRANSFER]
    return [*arguments, *serving.arguments]


def _series(spec: ModelCatalogueSpec, model: str, metric: str) -> str:
    place = f'namespace="{spec.gateway.inference_namespace}"'
    return f'vllm:{metric}{{{place},service="{names.server(spec, model)}"}}'


def _deployment(
    spec: ModelCatalogueSpec,
    model: str,
    one: DeploymentSpec,
    serving: ServingSpec,
    *,
    role: str,
    gpus: int,
    replicas: int | None,
) -> Manifest:
    name = names.server(spec, model) + (f"-{role}" if role else "")
    pods = names.selector(spec, model) | ({names.ROLE_LABEL: role} if role else {})
    template = _template(spec, model, serving, pods, vllm_arguments(
        model, one, serving, gpus=gpus, role=role), gpus=gpus)  # fmt: skip
    body: dict[str, Any] = {"selector": {"matchLabels": pods}, "template": template}
    if replicas is not None:
        body["replicas"] = replicas  # else its scaler's business, and never ours
    return rendering.kube(
        "apps/v1", "Deployment", name, namespace=spec.gateway.inference_namespace,
        labels=labels(spec, "model"), spec=body,
    )  # fmt: skip


def _worker_set(
    spec: ModelCatalogueSpec, model: str, one: DeploymentSpec, serving: ServingSpec
) -> Manifest:
    """One server over several nodes: LeaderWorkerSet starts and ends them together."""
    pods = names.selector(spec, model)
    arguments = vllm_arguments(model, one, serving, gpus=serving.gpus)
    template = _template(spec, model, serving, pods, arguments, gpus=serving.gpus)
    return rendering.kube(
        "leaderworkerset.x-k8s.io/v1", "LeaderWorkerSet", names.server(spec, model),
        namespace=spec.gateway.inference_namespace, labels=labels(spec, "model"),
        spec={
            "replicas": serving.scaling.minimum,
            "leaderWorkerTemplate": {
                "size": serving.nodes,
                "restartPolicy": "RecreateGroupOnPodRestart",
                "workerTemplate": template,
            },
        },
    )  # fmt: skip


def _template(
    spec: ModelCatalogueSpec,
    model: str,
    serving: ServingSpec,
    pods: Mapping[str, str],
    arguments: list[str],
    *,
    gpus: int,
) -> dict[str, Any]:
    volumes, mounts = rendering.writable("/tmp", "/.cache")  # noqa: S108 - in its own container
    memory = {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": "2Gi"}}
    probe = {"httpGet": {"path": "/health", "port": "http"}}
    container = {
        "name": "vllm",
        "image": serving.image,
        "args": arguments,
        "ports": [{"name": "http", "containerPort": names.VLLM_PORT}],
        "env": [
            {"name": "HOME", "value": "/tmp"},  # noqa: S108
            {"name": "VLLM_NO_USAGE_STATS", "value": "1"},
        ],
        "resources": rendering.resources(serving.cpu, serving.memory, gpus=gpus),
        "securityContext": rendering.locked_container(),
        "startupProbe": {**probe, "periodSeconds": 10, "failureThreshold": _START_ATTEMPTS},
        "readinessProbe": {**probe, "periodSeconds": 5},
        "livenessProbe": {**probe, "periodSeconds": 15, "failureThreshold": 4},
        "volumeMounts": [*mounts, {"name": "shm", "mountPath": "/dev/shm"}],  # noqa: S108
    }
    pod: dict[str, Any] = {
        "serviceAccountName": names.server(spec, model),
        "automountServiceAccountToken": False,
        "securityContext": rendering.locked_pod(),
        "terminationGracePeriodSeconds": 60,
        "nodeSelector": {"karpenter.sh/nodepool": serving.node_pool},
        "containers": [container],
        "volumes": [*volumes, memory],
    }
    if gpus:
        pod["tolerations"] = [
            {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}
        ]
    return {"metadata": {"labels": dict(pods)}, "spec": pod}
