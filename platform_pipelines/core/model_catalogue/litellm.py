"""The configuration of LiteLLM's proxy: models, weights, fallbacks, retries, cache, callbacks.

Field names are those of LiteLLM 1.108 (`litellm/types/router.py`, `litellm/proxy/_types.py`); its
own loader is asked in the tests. Virtual keys and budgets need its database and are not run here.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from platform_pipelines.core.model_catalogue import names
from platform_pipelines.core.model_catalogue.declaration import (
    DeploymentSpec,
    ModelCatalogueSpec,
    ModelSpec,
    PriceSpec,
)
from platform_pipelines.core.model_catalogue.tiering import ROUTER, tier_deployments

STRATEGIES = {
    "usage": "usage-based-routing-v2",
    "latency": "latency-based-routing",
    "least_busy": "least-busy",
    "shuffle": "simple-shuffle",
}
_PREFIXES = {
    "self_hosted": "hosted_vllm", "openai": "openai", "anthropic": "anthropic",
    "bedrock": "bedrock", "azure": "azure", "vertex_ai": "vertex_ai",
    "openai_compatible": "openai",
}  # fmt: skip
_MILLION = Decimal(1_000_000)
MASTER_KEY = "LITELLM_MASTER_KEY"
TIER_FIELD = "platform_tier"  # `tier` is LiteLLM's own: with another value it drops the deployment
NO_KEY = "none"  # for servers that ask for none: OpenAI's client insists on a value


def proxy_config(spec: ModelCatalogueSpec) -> dict[str, Any]:
    """The proxy's configuration file, as data."""
    gateway = spec.gateway
    fallbacks = [
        {name: list(model.fallbacks)} for name, model in spec.models.items() if model.fallbacks
    ]
    router: dict[str, Any] = {
        "routing_strategy": STRATEGIES[gateway.routing],
        "num_retries": gateway.retries,
        "timeout": gateway.timeout_seconds,
        "fallbacks": fallbacks,
    }
    settings: dict[str, Any] = {
        "callbacks": list(gateway.callbacks),
        "request_timeout": gateway.timeout_seconds,
        "num_retries": gateway.retries,
        "drop_params": True,
        "telemetry": False,
    }
    if gateway.cache is not None:
        host, port = gateway.cache.host, gateway.cache.port
        cache = {"type": "redis", "host": host, "port": port, "ttl": gateway.cache.ttl_seconds}
        settings |= {"cache": True, "cache_params": cache}
        router |= {"redis_host": host, "redis_port": port}  # proxies share what they count
    deployments = [
        _deployment(spec, name, model, one, number)
        for name, model in spec.models.items()
        for number, one in enumerate(model.deployments)
    ]
    return {
        "model_list": [*deployments, *tier_deployments(spec, deployments)],
        "router_settings": router,
        "litellm_settings": settings,
        "general_settings": {"master_key": f"os.environ/{MASTER_KEY}"},
    }


def rehearsal_config(
    config: Mapping[str, Any], *, url: str | None, model: str = "small"
) -> dict[str, Any]:
    """The same for a proxy on this machine: no Redis, and one server for every deployment.

    Names, weights, prices, fallbacks, retries and callbacks are what was rendered. `url` is None
    when the declared deployments themselves are asked.
    """
    settings = {k: v for k, v in config["litellm_settings"].items() if k != "cache_params"}
    if settings.get("cache"):
        ttl = config["litellm_settings"]["cache_params"]["ttl"]
        settings["cache_params"] = {"type": "local", "ttl": ttl}
    router = {
        k: v for k, v in config["router_settings"].items() if k not in ("redis_host", "redis_port")
    }
    models = [dict(one) for one in config["model_list"]]
    if url is not None:
        place = {"model": f"openai/{model}", "api_base": url, "api_key": NO_KEY}
        for one in models:
            if one["litellm_params"]["model"] != ROUTER:
                one["litellm_params"] = {**one["litellm_params"], **place}
    return {**config, "model_list": models, "router_settings": router, "litellm_settings": settings}


def keys_needed(spec: ModelCatalogueSpec) -> tuple[str, ...]:
    """Variables that the gateway's Secret must hold."""
    declared = {one.key for m in spec.models.values() for one in m.deployments if one.key}
    langfuse = {"LANGFUSE_PUBLIC_KEY", "LANGFUSE_SECRET_KEY"}
    traced = langfuse if "langfuse_otel" in spec.gateway.callbacks else set[str]()
    return (MASTER_KEY, *sorted(declared | traced))


def price_of(model: ModelSpec, deployment: DeploymentSpec) -> PriceSpec:
    """What tokens cost at one deployment."""
    return deployment.price or model.price


def deployment_id(name: str, number: int) -> str:
    """What LiteLLM and its metrics call one deployment: stable as long as the order is."""
    return f"{name}-{number}"


def _deployment(
    spec: ModelCatalogueSpec, name: str, model: ModelSpec, one: DeploymentSpec, number: int
) -> dict[str, Any]:
    price = price_of(model, one)
    parameters: dict[str, Any] = {
        "model": f"{_PREFIXES[one.provider]}/{one.model}",
        "weight": one.weight,
        "input_cost_per_token": _per_token(price.input_per_million),
        "output_cost_per_token": _per_token(price.output_per_million),
    }
    url = names.server_url(spec, name) if one.provider == "self_hosted" else one.url
    if url:
        parameters["api_base"] = url
    if one.key:
        parameters["api_key"] = f"os.environ/{one.key}"
    elif one.provider in ("self_hosted", "openai_compatible"):
        parameters["api_key"] = NO_KEY
    if one.requests_per_minute:
        parameters["rpm"] = one.requests_per_minute
    if one.tokens_per_minute:
        parameters["tpm"] = one.tokens_per_minute
    return {
        "model_name": name,
        "litellm_params": parameters,
        "model_info": {"id": deployment_id(name, number), TIER_FIELD: model.tier},
    }


def _per_token(per_million: Decimal) -> float:
    """A float, because LiteLLM's field is one; our own cost is computed in decimals."""
    return float(per_million / _MILLION)
