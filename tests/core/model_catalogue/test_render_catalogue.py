"""What a catalogue renders: LiteLLM's file, routes, pools, servers, scaling and limits."""

from collections.abc import Mapping
from typing import Any

import pytest

from platform_pipelines.core.model_catalogue import names
from platform_pipelines.core.model_catalogue.gateway import model_route
from platform_pipelines.core.model_catalogue.litellm import keys_needed, proxy_config
from platform_pipelines.core.model_catalogue.render import render_catalogue
from platform_pipelines.core.road.manifest_policies import violations
from platform_pipelines.core.road.manifests import Manifest, revision_of
from platform_pipelines.errors import ConfigurationError
from platform_pipelines.stages.road.api_replacements import known_replacements
from tests.platform_sample import attributes, catalogue, everything


def one(manifests: tuple[Manifest, ...], kind: str, name: str) -> Mapping[str, Any]:
    (found,) = [m for m in manifests if m["kind"] == kind and m["metadata"]["name"] == name]
    return found


def changed(**small: Any) -> dict[str, Any]:
    models = attributes("models")["models"]
    return {**models, "small": {**models["small"], **small}}


@pytest.mark.parametrize("name", everything())
def test_everything_rendered_keeps_the_rules(name: str) -> None:
    """Our own objects are the first that the rules are for."""
    revision = revision_of("sample", "test", everything()[name])
    assert violations(revision, known_replacements()) == ()


def test_the_proxy_gets_the_values_that_were_declared() -> None:
    """Weights, fallbacks, 3 retries, 300 s, a cache of an hour, traces to Langfuse."""
    config = proxy_config(catalogue())
    assert config["router_settings"] == {
        "routing_strategy": "simple-shuffle", "num_retries": 3, "timeout": 300,
        "fallbacks": [{"small": ["large"]}, {"medium": ["large"]}],
        "redis_host": "redis.data.svc", "redis_port": 6379,
    }  # fmt: skip
    settings = config["litellm_settings"]
    assert settings["callbacks"] == ["langfuse_otel"]
    assert settings["cache_params"]["ttl"] == 3600
    small = [m["litellm_params"] for m in config["model_list"] if m["model_name"] == "small"]
    assert [m["weight"] for m in small] == [80, 20]
    assert small[0]["input_cost_per_token"] == 1e-7
    assert small[0]["api_base"] == "http://models-small.inference.svc:8000/v1"


def test_no_key_is_in_a_manifest_and_each_is_asked_of_the_secret() -> None:
    """A key in a ConfigMap is read by whoever reads ConfigMaps."""
    spec = catalogue()
    assert set(keys_needed(spec)) == {
        "LITELLM_MASTER_KEY", "OPENAI_API_KEY", "LANGFUSE_PUBLIC_KEY", "LANGFUSE_SECRET_KEY",
    }  # fmt: skip
    proxy = one(render_catalogue(spec), "Deployment", "models-litellm")
    (container,) = proxy["spec"]["template"]["spec"]["containers"]
    secret = {e["name"] for e in container["env"] if "valueFrom" in e}
    assert secret == set(keys_needed(spec))
    large = [m for m in proxy_config(spec)["model_list"] if m["model_name"] == "large"]
    assert large[0]["litellm_params"]["api_key"] == "os.environ/OPENAI_API_KEY"


def test_another_configuration_rolls_the_proxies() -> None:
    """A pod reads its file once: the same name with other content would change nothing."""

    def volume(**gateway: Any) -> str:
        spec = catalogue(gateway=gateway)
        pod = one(render_catalogue(spec), "Deployment", "models-litellm")["spec"]["template"]
        return pod["spec"]["volumes"][-1]["configMap"]["name"]

    assert volume() == volume()
    assert volume() != volume(retries=2)


def test_scaling_is_by_queue_sessions_and_cache_as_declared() -> None:
    """Poll 15 s, cool down 300 s, 2 to 20; the proxies by CPU 70 and memory 80 percent, 2 to 10."""
    rendered = render_catalogue(catalogue())
    scaler = one(rendered, "ScaledObject", "models-small")["spec"]
    limits = ("pollingInterval", "cooldownPeriod", "minReplicaCount", "maxReplicaCount")
    assert [scaler[name] for name in limits] == [15, 300, 2, 20]
    assert {t["name"]: t["metadata"]["threshold"] for t in scaler["triggers"]} == {
        "queue": "10", "sessions": "50", "kv-cache": "0.8",
    }  # fmt: skip
    served = one(rendered, "Deployment", "models-small")["spec"]
    assert "replicas" not in served  # or each apply would undo the scaler
    proxies = one(rendered, "HorizontalPodAutoscaler", "models-litellm")["spec"]
    targets = [m["resource"]["target"]["averageUtilization"] for m in proxies["metrics"]]
    assert (targets, proxies["minReplicas"], proxies["maxReplicas"]) == ([70, 80], 2, 10)


def test_a_split_model_has_two_roles_with_their_gpus() -> None:
    """2 servers of 4 GPUs read prompts, 4 of 2 write answers."""
    rendered = render_catalogue(catalogue())
    for role, replicas, gpus in (("prefill", 2, "4"), ("decode", 4, "2")):
        served = one(rendered, "Deployment", f"models-medium-{role}")["spec"]
        (container,) = served["template"]["spec"]["containers"]
        assert served["replicas"] == replicas
        assert container["resources"]["limits"]["nvidia.com/gpu"] == gpus
        assert served["template"]["metadata"]["labels"][names.ROLE_LABEL] == role


def test_a_canary_route_has_weights_and_a_cohort_before_them() -> None:
    """Callers of the cohort see the candidate whatever its share."""
    weights = (("models-small", 90), ("models-next", 10))
    route = model_route(catalogue(), "small", weights=weights, cohort=("testers", "models-next"))
    cohort, shares = route["spec"]["rules"]
    assert [h["name"] for h in cohort["matches"][0]["headers"]] == ["x-model-id", "x-cohort"]
    assert [b["name"] for b in cohort["backendRefs"]] == ["models-next"]
    assert [(b["name"], b["weight"]) for b in shares["backendRefs"]] == list(weights)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"models": changed(fallbacks=["none"])}, r"no model 'none'; allowed: large, medium"),
        ({"gateway": {"routing": "latency"}}, "ignores weights under routing `latency`"),
        ({"gateway": {"callbacks": ["langfuse"]}}, "use `langfuse_otel`"),
        ({"gateway": {"controler": "envoy"}}, "no such field"),
        ({"models": changed(price={"input_per_million": -1})}, "input_per_million = -1"),
        ({"models": changed(deployments=[])}, "at least 1 item"),
    ],
)
def test_what_could_not_mean_what_it_says_is_refused(change: dict[str, Any], told: str) -> None:
    """LiteLLM ignores most of these without a word."""
    with pytest.raises(ConfigurationError, match=told):
        catalogue(**change)


# All flags of llm-d-router's picker that are no metric's and no logging's, from its options.go.
PICKER_FLAGS = {
    "grpc-port", "ha-enable-leader-election", "drain-timeout", "grpc-max-recv-msg-size",
    "grpc-max-send-msg-size", "pool-group", "pool-namespace", "pool-name", "endpoint-selector",
    "endpoint-target-ports", "disable-endpoint-subset-filter", "refresh-metrics-interval",
    "refresh-prometheus-metrics-interval", "metrics-staleness-threshold", "tracing",
    "health-checking", "metrics-port", "grpc-health-port", "enable-pprof", "cert-path",
    "enable-cert-reload", "enable-grpc-stream-metrics", "secure-serving", "metrics-endpoint-auth",
    "metrics-client-ca-file", "metrics-cert-dir", "config-file", "config-text",
    "allow-experimental-plugins",
}  # fmt: skip


def test_the_picker_is_given_flags_that_it_has() -> None:
    """It ends at a flag that it does not know, and its pool answers without it, unnoticed."""
    picker = one(render_catalogue(catalogue()), "Deployment", "models-small-picker")
    (container,) = picker["spec"]["template"]["spec"]["containers"]
    given = {word.removeprefix("--") for word in container["args"] if word.startswith("--")}
    assert given <= PICKER_FLAGS
    assert {"pool-name", "pool-namespace", "config-file"} <= given
