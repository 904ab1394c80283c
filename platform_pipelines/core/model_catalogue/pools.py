"""InferencePools with their endpoint pickers (llm-d): which server answers a request.

The picker's flags and plugins are those of llm-d-router 0.10 (`pkg/epp/server/options.go`); its
configuration file is read at its start and is no custom resource. A later router calls it
`llm-d.ai/v1` and takes `v1alpha1` with a warning.
"""

from collections.abc import Iterator
from typing import Any

from platform_pipelines.core.model_catalogue import names
from platform_pipelines.core.model_catalogue.declaration import ModelCatalogueSpec
from platform_pipelines.core.model_catalogue.gateway import labels
from platform_pipelines.core.road import rendering
from platform_pipelines.core.road.identity import canonical_json
from platform_pipelines.core.road.manifests import Manifest

PICKER_IMAGE = "ghcr.io/llm-d/llm-d-router-endpoint-picker:v0.10.0"
POOL_API = "inference.networking.k8s.io/v1"
_SCORERS = {"queue-scorer": 2, "kv-cache-utilization-scorer": 2, "prefix-cache-scorer": 3}
_GRPC_HEALTH = 9003


def render_pools(spec: ModelCatalogueSpec) -> Iterator[Manifest]:
    """A pool, its picker and the objective of each self-hosted model (agentgateway only)."""
    if spec.gateway.controller != "agentgateway":
        return
    for model, one in spec.self_hosted().items():
        assert one.serving is not None
        yield from _pool(spec, model, split=one.serving.split is not None)


def picker_config(*, split: bool) -> dict[str, Any]:
    """The picker's configuration file, as data."""
    scorers = [{"type": name} for name in _SCORERS]
    weighed = [{"pluginRef": name, "weight": weight} for name, weight in _SCORERS.items()]
    chosen = [*weighed, {"pluginRef": "max-score-picker"}]
    plugins: list[dict[str, Any]] = [*scorers, {"type": "max-score-picker"}]
    profiles: list[dict[str, Any]] = [{"name": "default", "plugins": chosen}]
    if split:
        handler = {"type": "disagg-profile-handler"}
        plugins += [{"type": "prefill-filter"}, {"type": "decode-filter"}, handler]
        profiles = [
            {"name": role, "plugins": [{"pluginRef": f"{role}-filter"}, *chosen]}
            for role in ("prefill", "decode")
        ]
    return {
        "apiVersion": "llm-d.ai/v1alpha1",
        "kind": "EndpointPickerConfig",
        "plugins": plugins,
        "schedulingProfiles": profiles,
    }


def _pool(spec: ModelCatalogueSpec, model: str, *, split: bool) -> Iterator[Manifest]:
    namespace, pool = spec.gateway.inference_namespace, names.server(spec, model)
    picker, tags = f"{pool}-picker", labels(spec, "picker")
    pods = {rendering.NAME: "endpoint-picker", rendering.INSTANCE: pool}
    yield rendering.kube(
        POOL_API, "InferencePool", pool, namespace=namespace, labels=tags,
        spec={
            "selector": {"matchLabels": names.selector(spec, model)},
            "targetPorts": [{"number": names.VLLM_PORT}],
            "endpointPickerRef": {
                "name": picker,
                "port": {"number": names.PICKER_PORT},
                "failureMode": "FailOpen",  # without its picker a pool still answers
            },
        },
    )  # fmt: skip
    yield rendering.kube(
        "llm-d.ai/v1alpha2", "InferenceObjective", pool, namespace=namespace, labels=tags,
        spec={"poolRef": {"group": "inference.networking.k8s.io", "name": pool}, "priority": 0},
    )  # fmt: skip
    yield rendering.kube(
        "v1", "ConfigMap", picker, namespace=namespace, labels=tags,
        data={"config.yaml": canonical_json(picker_config(split=split))},
    )  # fmt: skip
    yield from _rights(picker, namespace, tags)
    yield rendering.service(
        picker, namespace, pods, [("grpc", names.PICKER_PORT)], labels={**tags, **pods}
    )
    yield _deployment(picker, namespace, pool, tags, pods)


def _rights(name: str, namespace: str, tags: dict[str, str]) -> Iterator[Manifest]:
    """The picker watches its pool, its objectives and the pods of its namespace; no more."""
    read = ["get", "list", "watch"]
    rules = [
        {"apiGroups": [""], "resources": ["pods"], "verbs": read},
        {
            "apiGroups": ["inference.networking.k8s.io"],
            "resources": ["inferencepools"],
            "verbs": read,
        },
        {
            "apiGroups": ["llm-d.ai"],
            "resources": ["inferenceobjectives", "inferencemodelrewrites"],
            "verbs": read,
        },
    ]
    rbac = "rbac.authorization.k8s.io/v1"
    yield rendering.service_account(name, namespace, tags)
    yield rendering.kube(rbac, "Role", name, namespace=namespace, labels=tags, rules=rules)
    yield rendering.kube(
        rbac, "RoleBinding", name, namespace=namespace, labels=tags,
        roleRef={"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
        subjects=[{"kind": "ServiceAccount", "name": name, "namespace": namespace}],
    )  # fmt: skip


def _deployment(
    name: str, namespace: str, pool: str, tags: dict[str, str], pods: dict[str, str]
) -> Manifest:
    health = {"grpc": {"port": _GRPC_HEALTH}}
    container = {
        "name": "picker",
        "image": PICKER_IMAGE,
        "args": [
            "--pool-name", pool,
            "--pool-namespace", namespace,
            "--grpc-port", str(names.PICKER_PORT),
            "--grpc-health-port", str(_GRPC_HEALTH),
            "--metrics-port", str(names.PICKER_METRICS_PORT),
            "--config-file", "/etc/picker/config.yaml",
        ],
        "ports": [
            {"name": "grpc", "containerPort": names.PICKER_PORT},
            {"name": "metrics", "containerPort": names.PICKER_METRICS_PORT},
        ],
        "resources": rendering.resources("250m", "512Mi"),
        "securityContext": rendering.locked_container(),
        "readinessProbe": {**health, "periodSeconds": 5},
        "livenessProbe": {**health, "periodSeconds": 15},
        "volumeMounts": [{"name": "config", "mountPath": "/etc/picker"}],
    }  # fmt: skip
    pod = {
        "serviceAccountName": name,
        "automountServiceAccountToken": True,  # it watches its pool
        "securityContext": rendering.locked_pod(),
        "containers": [container],
        "volumes": [{"name": "config", "configMap": {"name": name}}],
    }
    template = {"metadata": {"labels": pods}, "spec": pod}
    return rendering.kube(
        "apps/v1", "Deployment", name, namespace=namespace, labels=tags,
        spec={"replicas": 1, "selector": {"matchLabels": pods}, "template": template},
    )  # fmt: skip
