"""What a model catalogue declares: models, where they are served, prices, limits, the gateway."""

from decimal import Decimal
from typing import Literal

from pydantic import Field, field_validator, model_validator

from platform_pipelines.core.road.declarations import DNS_LABEL, ComponentSpec, ManifestSpec
from platform_pipelines.core.road.tiers import TIERS, Tier, TiersSpec

MODEL_NAME = r"^[a-z0-9](?:[-a-z0-9.]{0,50}[a-z0-9])?$"
PROVIDERS = ("openai", "anthropic", "bedrock", "azure", "vertex_ai", "openai_compatible")


class PriceSpec(ManifestSpec):
    """US dollars for a million tokens."""

    input_per_million: Decimal = Field(ge=0, description="US dollars for 1,000,000 prompt tokens")
    output_per_million: Decimal = Field(ge=0, description="US dollars for 1,000,000 answer tokens")


class SplitSpec(ManifestSpec):
    """Prompts and answers on different GPUs (llm-d): `replicas` groups of `gpus` each."""

    prefill_replicas: int = Field(default=2, ge=1, description="servers that read prompts")
    prefill_gpus: int = Field(default=4, ge=1, le=8, description="GPUs of one of them")
    decode_replicas: int = Field(default=4, ge=1, description="servers that write answers")
    decode_gpus: int = Field(default=2, ge=1, le=8, description="GPUs of one of them")


class ScalingSpec(ManifestSpec):
    """When more servers of a model start (KEDA), and when fewer remain."""

    queue: int = Field(default=10, ge=1, description="waiting requests a server")
    sessions: int = Field(default=50, ge=1, description="running requests a server")
    kv_cache: float = Field(default=0.8, gt=0, le=1, description="used share of the KV cache")
    poll_seconds: int = Field(default=15, ge=5, description="how often the queries are asked")
    cooldown_seconds: int = Field(default=300, ge=0, description="quiet before a server goes")
    minimum: int = Field(default=2, ge=0, description="servers at least")
    maximum: int = Field(default=20, ge=1, description="servers at most")

    @model_validator(mode="after")
    def _ordered(self) -> "ScalingSpec":
        if self.minimum > self.maximum:
            raise ValueError(f"minimum {self.minimum} is over maximum {self.maximum}")
        return self


class ServingSpec(ManifestSpec):
    """A model that this platform serves itself, with vLLM."""

    image: str = Field(description="with a version or a digest, e.g. `vllm/vllm-openai:v0.33.0`")
    weights: str = Field(description="what vLLM loads: a path in the image or volume, or a name")
    gpus: int = Field(default=1, ge=0, le=8, description="of one server; 0: a CPU server")
    nodes: int = Field(default=1, ge=1, le=16, description="nodes of one server (LeaderWorkerSet)")
    split: SplitSpec | None = Field(default=None, description="prefill and decode apart (llm-d)")
    arguments: tuple[str, ...] = Field(default=(), description="more arguments of `vllm serve`")
    node_pool: str = Field(default="gpu-inference", description="the Karpenter NodePool")
    cpu: str = Field(default="4", description="CPU request of one server")
    memory: str = Field(default="32Gi", description="memory of one server")
    scaling: ScalingSpec = Field(default=ScalingSpec(), description="how many servers")

    @model_validator(mode="after")
    def _one_shape(self) -> "ServingSpec":
        if self.split is not None and self.nodes > 1:
            raise ValueError("`split` and `nodes` do not go together: declare one of them")
        return self


class DeploymentSpec(ManifestSpec):
    """One place where a model is served. Several behind one name share its requests."""

    provider: Literal[
        "self_hosted", "openai", "anthropic", "bedrock", "azure", "vertex_ai", "openai_compatible"
    ] = Field(description=f"self_hosted, or one of {', '.join(PROVIDERS)}")
    model: str = Field(min_length=1, description="the model's name there")
    url: str | None = Field(default=None, description="`openai_compatible`, `azure`: up to `/v1`")
    key: str | None = Field(
        default=None,
        pattern=r"^[A-Z][A-Z0-9_]*$",
        description="the variable that holds its API key in the gateway, e.g. OPENAI_API_KEY",
    )
    weight: int = Field(default=1, ge=0, le=1000, description="share of requests, `shuffle` only")
    requests_per_minute: int | None = Field(default=None, ge=1, description="its own limit")
    tokens_per_minute: int | None = Field(default=None, ge=1, description="its own limit")
    price: PriceSpec | None = Field(default=None, description="where it is not the model's")
    serving: ServingSpec | None = Field(default=None, description="`self_hosted` only: how")

    @model_validator(mode="after")
    def _complete(self) -> "DeploymentSpec":
        if (self.provider == "self_hosted") != (self.serving is not None):
            raise ValueError("`serving` goes with provider `self_hosted`, and it needs `serving`")
        if self.provider in ("openai_compatible", "azure") and not self.url:
            raise ValueError(f"provider `{self.provider}` needs `url`")
        if self.provider == "self_hosted" and self.url:
            raise ValueError("`url` of a self-hosted model is its Service, and not declared")
        return self


class ModelSpec(ManifestSpec):
    """A model as callers know it."""

    tier: Tier = Field(default="moderate", description=", ".join(TIERS))
    price: PriceSpec = Field(description="US dollars for a million tokens")
    deployments: tuple[DeploymentSpec, ...] = Field(min_length=1, description="where it is served")
    fallbacks: tuple[str, ...] = Field(default=(), description="models asked when it fails")


class CacheSpec(ManifestSpec):
    """Answers to equal prompts, kept in Redis."""

    host: str = Field(description="of the Redis server, e.g. `redis.data.svc`")
    port: int = Field(default=6379, ge=1, le=65535, description="of the Redis server")
    ttl_seconds: int = Field(default=3600, ge=1, description="how long an answer is kept")


class LimitSpec(ManifestSpec):
    """What the gateway lets through."""

    requests: int = Field(default=600, ge=1, description="requests in a unit of time, each proxy")
    tokens: int | None = Field(default=None, ge=1, description="tokens, agentgateway only")
    unit: Literal["Seconds", "Minutes", "Hours"] = Field(default="Minutes", description="of time")


class GatewaySpec(ManifestSpec):
    """The way in: Gateway API in front, LiteLLM's proxy behind."""

    namespace: str = Field(default="gateway", pattern=DNS_LABEL, description="where it runs")
    inference_namespace: str = Field(
        default="inference", pattern=DNS_LABEL, description="where self-hosted models run"
    )
    controller: Literal["agentgateway", "envoy"] = Field(
        default="agentgateway", description="the GatewayClass: agentgateway or Envoy Gateway"
    )
    hostname: str | None = Field(default=None, description="of the listener; none: any host")
    tls_secret: str | None = Field(default=None, description="certificate of the listener")
    image: str = Field(
        default="ghcr.io/berriai/litellm:v1.108.7-stable", description="LiteLLM's proxy"
    )
    secret: str = Field(default="litellm-keys", description="the Secret with the API keys")
    routing: Literal["usage", "latency", "least_busy", "shuffle"] = Field(
        default="shuffle", description="how a deployment is chosen; weights go with `shuffle`"
    )
    retries: int = Field(default=3, ge=0, le=10, description="of a failed request")
    timeout_seconds: int = Field(default=300, ge=1, le=3600, description="of one request")
    cache: CacheSpec | None = Field(default=None, description="a prompt cache")
    callbacks: tuple[str, ...] = Field(
        default=("langfuse_otel",), description="where traces go, as LiteLLM names it"
    )
    limit: LimitSpec = Field(default=LimitSpec(), description="rate limit at the gateway")
    minimum: int = Field(default=2, ge=1, description="proxies at least")
    maximum: int = Field(default=10, ge=1, description="proxies at most")
    cpu_percent: int = Field(default=70, ge=1, le=100, description="of its request: scale above")
    memory_percent: int = Field(default=80, ge=1, le=100, description="of its request: scale above")

    @field_validator("callbacks")
    @classmethod
    def _speaks_otel(cls, callbacks: tuple[str, ...]) -> tuple[str, ...]:
        if "langfuse" in callbacks:
            raise ValueError("callback `langfuse` is of Langfuse 2; use `langfuse_otel`")
        return callbacks


class RehearsalSpec(ManifestSpec):
    """A real LiteLLM proxy with the rendered configuration, before it reaches a cluster."""

    upstream: Literal["small_model", "declared"] = Field(
        default="small_model",
        description="`small_model`: a small real model on this machine answers for all of them; "
        "`declared`: the deployments themselves, which must be reachable",
    )
    prompt: str = Field(default="Say hello.", min_length=1, description="what each model is asked")
    maximum_tokens: int = Field(default=16, ge=1, le=512, description="of one answer")


class ScrapeSpec(ManifestSpec):
    """How Prometheus finds what is served."""

    prometheus: str = Field(
        default="http://prometheus-operated.monitoring.svc:9090", description="what scalers ask"
    )
    interval_seconds: int = Field(default=15, ge=1, description="between scrapes")


class ModelCatalogueSpec(ComponentSpec):
    """One catalogue of models and the gateway in front of them."""

    models: dict[str, ModelSpec] = Field(min_length=1, description="name -> model")
    tiers: TiersSpec | None = Field(
        default=None, description="how a request that names no model gets one; none: each names it"
    )
    gateway: GatewaySpec = Field(default=GatewaySpec(), description="the way in")
    watch: ScrapeSpec = Field(default=ScrapeSpec(), description="metrics")
    rehearsal: RehearsalSpec = Field(default=RehearsalSpec(), description="tried before applied")

    @model_validator(mode="after")
    def _consistent(self) -> "ModelCatalogueSpec":
        for name, model in self.models.items():
            _check_model(self, name, model)
        if self.tiers is not None:
            _check_tiers(self, self.tiers)
        return self

    def self_hosted(self) -> dict[str, DeploymentSpec]:
        """Model name -> its self-hosted deployment, where it has one."""
        return {
            name: one
            for name, model in self.models.items()
            for one in model.deployments
            if one.serving is not None
        }


def _check_model(spec: ModelCatalogueSpec, name: str, model: ModelSpec) -> None:
    import_name = name.replace(".", "-")
    if not name or name != name.lower() or len(import_name) > 52:
        raise ValueError(f"models.{name}: a name is lower-case, at most 52 characters")
    for other in model.fallbacks:
        if other not in spec.models or other == name:
            known = ", ".join(sorted(set(spec.models) - {name})) or "no other model"
            raise ValueError(f"models.{name}.fallbacks: no model {other!r}; allowed: {known}")
    hosted = [one for one in model.deployments if one.serving is not None]
    if len(hosted) > 1:
        raise ValueError(f"models.{name}.deployments: one self-hosted deployment at most")
    weights = {one.weight for one in model.deployments}
    if spec.gateway.routing != "shuffle" and len(weights) > 1:
        raise ValueError(
            f"models.{name}.deployments: LiteLLM ignores weights under routing "
            f"`{spec.gateway.routing}`; allowed: equal weights, or routing `shuffle`"
        )


def _check_tiers(spec: ModelCatalogueSpec, tiers: TiersSpec) -> None:
    if {tiers.name, tiers.classifier_name} & set(spec.models):
        raise ValueError(f"tiers.name: {tiers.name!r} is a model, or its classifier is one")
    if tiers.classifier is not None and tiers.classifier not in spec.models:
        known = ", ".join(sorted(spec.models))
        raise ValueError(f"tiers.classifier: no model {tiers.classifier!r}; allowed: {known}")
