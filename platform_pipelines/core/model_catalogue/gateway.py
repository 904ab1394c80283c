"""The way in: Gateway, HTTPRoutes, rate limits, and LiteLLM's proxy behind them."""

from collections.abc import Iterator, Sequence
from typing import Any

from platform_pipelines.core.model_catalogue import names
from platform_pipelines.core.model_catalogue.declaration import ModelCatalogueSpec
from platform_pipelines.core.model_catalogue.litellm import keys_needed, proxy_config
from platform_pipelines.core.model_catalogue.tiering import tier_files
from platform_pipelines.core.road import rendering
from platform_pipelines.core.road.identity import canonical_json, digest_json
from platform_pipelines.core.road.manifests import Manifest
from platform_pipelines.core.road.routes import COHORT_HEADER

GATEWAY_API = "gateway.networking.k8s.io/v1"
POOL_API = "inference.networking.k8s.io"
_CLASSES = {"agentgateway": "agentgateway", "envoy": "envoy"}
_HTTP, _HTTPS = 80, 443


def render_gateway(spec: ModelCatalogueSpec) -> Iterator[Manifest]:
    """Everything in the gateway's namespace."""
    yield _gateway(spec)
    yield _proxy_route(spec)
    for model in spec.self_hosted():
        yield model_route(spec, model)
        yield _grant(spec, model)
    yield _limit(spec)
    yield from _proxy(spec)


def labels(spec: ModelCatalogueSpec, component: str) -> dict[str, str]:
    """Of an object of this catalogue."""
    return rendering.labels("model-catalogue", component, spec.slug)


def model_route(
    spec: ModelCatalogueSpec,
    model: str,
    *,
    weights: Sequence[tuple[str, int]] = (),
    cohort: tuple[str, str] | None = None,
) -> Manifest:
    """Requests with the header `x-model-id` go straight to the model's pool, past LiteLLM.

    Args:
        spec: the catalogue.
        model: a self-hosted model.
        weights: (pool, share) of a canary; none: the model's own pool takes all.
        cohort: (value of `x-cohort`, pool): those callers go there whatever the weights.
    """
    own = names.server(spec, model)
    header = {"type": "Exact", "name": names.MODEL_HEADER, "value": model}
    rules: list[dict[str, Any]] = []
    if cohort is not None:
        value, pool = cohort
        both = [header, {"type": "Exact", "name": COHORT_HEADER, "value": value}]
        rules.append(_rule(spec, [{"headers": both}], [_pool(spec, pool, 1)]))
    shares = [_pool(spec, pool, weight) for pool, weight in weights or ((own, 1),)]
    rules.append(_rule(spec, [{"headers": [header]}], shares))
    route: dict[str, Any] = {"parentRefs": [{"name": names.gateway(spec)}], "rules": rules}
    if spec.gateway.hostname:
        route["hostnames"] = [spec.gateway.hostname]
    return rendering.kube(
        GATEWAY_API, "HTTPRoute", own, namespace=spec.gateway.namespace,
        labels=labels(spec, "route"), spec=route,
    )  # fmt: skip


def _gateway(spec: ModelCatalogueSpec) -> Manifest:
    listener: dict[str, Any] = {
        "name": "http",
        "port": _HTTP,
        "protocol": "HTTP",
        "allowedRoutes": {"namespaces": {"from": "Same"}},
    }
    if spec.gateway.tls_secret:
        tls = {"mode": "Terminate", "certificateRefs": [{"name": spec.gateway.tls_secret}]}
        listener |= {"name": "https", "port": _HTTPS, "protocol": "HTTPS", "tls": tls}
    if spec.gateway.hostname:
        listener["hostname"] = spec.gateway.hostname
    return rendering.kube(
        GATEWAY_API, "Gateway", names.gateway(spec), namespace=spec.gateway.namespace,
        labels=labels(spec, "gateway"),
        spec={"gatewayClassName": _CLASSES[spec.gateway.controller], "listeners": [listener]},
    )  # fmt: skip


def _proxy_route(spec: ModelCatalogueSpec) -> Manifest:
    backend = {"name": names.proxy(spec), "port": names.LITELLM_PORT}
    match = {"path": {"type": "PathPrefix", "value": "/v1"}}
    route: dict[str, Any] = {
        "parentRefs": [{"name": names.gateway(spec)}],
        "rules": [_rule(spec, [match], [backend])],
    }
    if spec.gateway.hostname:
        route["hostnames"] = [spec.gateway.hostname]
    return rendering.kube(
        GATEWAY_API, "HTTPRoute", names.proxy(spec), namespace=spec.gateway.namespace,
        labels=labels(spec, "route"), spec=route,
    )  # fmt: skip


def _rule(
    spec: ModelCatalogueSpec, matches: list[dict[str, Any]], backends: list[dict[str, Any]]
) -> dict[str, Any]:
    timeouts = {"request": f"{spec.gateway.timeout_seconds}s"}
    return {"matches": matches, "backendRefs": backends, "timeouts": timeouts}


def _pool(spec: ModelCatalogueSpec, name: str, weight: int) -> dict[str, Any]:
    """A backend: an InferencePool; Envoy Gateway, which has none, reaches the Service."""
    namespace = spec.gateway.inference_namespace
    if spec.gateway.controller == "envoy":
        port = names.VLLM_PORT
        return {"name": name, "namespace": namespace, "port": port, "weight": weight}
    kind = {"group": POOL_API, "kind": "InferencePool"}
    return {**kind, "name": name, "namespace": namespace, "weight": weight}


def _grant(spec: ModelCatalogueSpec, model: str) -> Manifest:
    """The inference namespace lets the gateway's routes point into it."""
    pool = {"group": POOL_API, "kind": "InferencePool", "name": names.server(spec, model)}
    service = {"group": "", "kind": "Service", "name": names.server(spec, model)}
    route = {
        "group": "gateway.networking.k8s.io",
        "kind": "HTTPRoute",
        "namespace": spec.gateway.namespace,
    }
    return rendering.kube(
        GATEWAY_API, "ReferenceGrant", names.server(spec, model),
        namespace=spec.gateway.inference_namespace, labels=labels(spec, "route"),
        spec={"from": [route], "to": [pool, service]},
    )  # fmt: skip


def _limit(spec: ModelCatalogueSpec) -> Manifest:
    limit, name = spec.gateway.limit, names.gateway(spec)
    target = {"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": name}
    if spec.gateway.controller == "envoy":
        rule = {"limit": {"requests": limit.requests, "unit": limit.unit.removesuffix("s")}}
        local = {"type": "Local", "local": {"rules": [rule]}}
        return rendering.kube(
            "gateway.envoyproxy.io/v1alpha1", "BackendTrafficPolicy", name,
            namespace=spec.gateway.namespace, labels=labels(spec, "limit"),
            spec={"targetRefs": [target], "rateLimit": local},
        )  # fmt: skip
    limits: list[dict[str, Any]] = [{"requests": limit.requests, "unit": limit.unit}]
    if limit.tokens:
        limits.append({"tokens": limit.tokens, "unit": limit.unit})
    return rendering.kube(
        "agentgateway.dev/v1alpha1", "AgentgatewayPolicy", name,
        namespace=spec.gateway.namespace, labels=labels(spec, "limit"),
        spec={"targetRefs": [target], "traffic": {"rateLimit": {"local": limits}}},
    )  # fmt: skip


def _proxy(spec: ModelCatalogueSpec) -> Iterator[Manifest]:
    gateway, name = spec.gateway, names.proxy(spec)
    tags = labels(spec, "litellm")
    pods = {rendering.NAME: "litellm", rendering.INSTANCE: spec.slug}
    config = proxy_config(spec)
    # Named by its content: another configuration rolls the pods, and an old one stays readable.
    files = {"config.yaml": canonical_json(config), **tier_files(spec)}  # JSON is YAML
    file = f"{name}-{digest_json(files if spec.tiers else config)[:10]}"
    yield rendering.kube(
        "v1", "ConfigMap", file, namespace=gateway.namespace, labels=tags,
        data=files,
    )  # fmt: skip
    yield rendering.service_account(name, gateway.namespace, tags)
    yield _proxy_deployment(spec, name, tags, pods, file)
    yield rendering.service(
        name, gateway.namespace, pods, [("http", names.LITELLM_PORT)], labels={**tags, **pods}
    )
    yield rendering.utilisation_scaler(
        name, gateway.namespace, name, labels=tags, replicas=(gateway.minimum, gateway.maximum),
        percents={"cpu": gateway.cpu_percent, "memory": gateway.memory_percent},
    )  # fmt: skip
    yield rendering.disruption_budget(name, gateway.namespace, pods, labels=tags)
    yield rendering.service_monitor(
        name, gateway.namespace, pods, labels=tags, port="http",
        interval_seconds=spec.watch.interval_seconds, path="/metrics/",
    )  # fmt: skip


def _proxy_deployment(
    spec: ModelCatalogueSpec, name: str, tags: dict[str, str], pods: dict[str, str], file: str
) -> Manifest:
    volumes, mounts = rendering.writable("/tmp", "/.cache")  # noqa: S108 - in its own container
    environment = [
        {"name": key, "valueFrom": {"secretKeyRef": {"name": spec.gateway.secret, "key": key}}}
        for key in keys_needed(spec)
    ]
    health = {"port": "http", "scheme": "HTTP"}
    container = {
        "name": "litellm",
        "image": spec.gateway.image,
        "args": ["--config", "/etc/litellm/config.yaml", "--port", str(names.LITELLM_PORT)],
        "ports": [{"name": "http", "containerPort": names.LITELLM_PORT}],
        "env": [*environment, {"name": "HOME", "value": "/tmp"}],  # noqa: S108
        "resources": rendering.resources("500m", "2Gi"),
        "securityContext": rendering.locked_container(),
        "readinessProbe": {"httpGet": {**health, "path": "/health/readiness"}, "periodSeconds": 5},
        "livenessProbe": {"httpGet": {**health, "path": "/health/liveliness"}, "periodSeconds": 15},
        "startupProbe": {
            "httpGet": {**health, "path": "/health/readiness"},
            "periodSeconds": 5,
            "failureThreshold": 36,
        },
        "volumeMounts": [*mounts, {"name": "config", "mountPath": "/etc/litellm"}],
    }
    pod = {
        "serviceAccountName": name,
        "automountServiceAccountToken": False,
        "securityContext": rendering.locked_pod(),
        "containers": [container],
        "volumes": [*volumes, {"name": "config", "configMap": {"name": file}}],
    }
    template = {"metadata": {"labels": pods}, "spec": pod}
    return rendering.kube(
        "apps/v1", "Deployment", name, namespace=spec.gateway.namespace, labels=tags,
        spec={"selector": {"matchLabels": pods}, "template": template},
    )  # fmt: skip
