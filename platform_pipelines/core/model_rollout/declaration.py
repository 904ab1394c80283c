"""What a person declares of a rollout: steps, holds, what each step must show, and where."""

from typing import Literal

from pydantic import Field, field_validator, model_validator

from platform_pipelines.core.road.declarations import NAME_PATTERN, ManifestSpec, Spec, TimedSpec
from platform_pipelines.core.road.served_model import QuestionsSpec, ServingSpec


class StepSpec(Spec):
    """One step: who gets the candidate's answers, and for how long at least."""

    percent: int = Field(ge=0, le=100, description="of the cohorts, to the candidate")
    hold_seconds: float = Field(default=60, ge=0, description="judged no earlier than this")
    mirror: bool = Field(
        default=False, description="copy all requests to the candidate; nobody gets its answers"
    )

    @model_validator(mode="after")
    def _one_kind(self) -> "StepSpec":
        if self.mirror and self.percent:
            raise ValueError("a mirrored step sends nobody to the candidate: percent is 0")
        return self


class JudgeSpec(QuestionsSpec):
    """What each side's own numbers must say."""

    minimum_requests: int = Field(
        default=10, ge=1, description="of users to the candidate in a step; fewer never pass"
    )
    error_rate: float = Field(default=0.01, ge=0, lt=1, description="of the candidate's requests")
    latency_ratio: float = Field(
        default=1.5, ge=1, description="candidate's p95 over the champion's, per latency"
    )
    latency_slack_seconds: float = Field(
        default=0.2, ge=0, description="a difference that is never a fault"
    )
    kv_cache_share: float = Field(default=0.95, gt=0, le=1, description="most KV cache in use")
    waiting_requests: int = Field(default=50, ge=0, description="most requests in the queue")
    patience_seconds: float = Field(
        default=300, ge=0, description="how long `undecided` may last after the hold"
    )


DEFAULT_STEPS = tuple(StepSpec(percent=share) for share in (5, 20, 50, 100))


class ClusterTargetSpec(ManifestSpec):
    """Where a rollout runs in a cluster: a Deployment and a Service a side, and one HTTPRoute."""

    namespace: str = Field(min_length=1, description="of everything; it exists")
    gateway: str = Field(min_length=1, description="a Gateway of that namespace; it exists")
    image: str = Field(min_length=1, description="of vLLM, with a version or a digest")
    models_claim: str = Field(
        min_length=1, description="a volume with models, each in a folder named by its digest"
    )
    controller: Literal["envoy", "agentgateway"] = Field(
        default="envoy", description="what implements the Gateway; it counts each side's requests"
    )
    backends: Literal["service", "inference_pool"] = Field(
        default="service", description="what routes name; pools (of `models`) need agentgateway"
    )
    tensor_parallel: int = Field(default=1, ge=0, le=8, description="GPUs of a replica; 0: a CPU")
    pipeline_parallel: int = Field(default=1, ge=1, le=16, description="parts, one a node")
    replicas: int = Field(default=2, ge=1, description="of each side")
    memory_share: float = Field(default=0.95, gt=0, le=1, description="of a GPU's memory")
    cpu: tuple[str, str] = Field(default=("32", "48"), description="request, limit")
    memory: tuple[str, str] = Field(default=("200Gi", "250Gi"), description="request, limit")
    shared_memory: str = Field(default="64Gi", description="of a pod, between its GPUs")
    node_selector: dict[str, str] = Field(default_factory=dict, description="labels of nodes")
    cohort_key: str = Field(
        default="x-user-id", description="header whose hash is the cohort (`envoy` only)"
    )
    context: str | None = Field(default=None, description="of the kubeconfig; None: its own")

    @field_validator("image")
    @classmethod
    def _pinned(cls, image: str) -> str:
        name = image.rpartition("/")[2]
        if ":" not in name and "@" not in name:
            raise ValueError(f"{image} has neither a version nor a digest")
        return image

    @model_validator(mode="after")
    def _pools(self) -> "ClusterTargetSpec":
        if self.backends == "inference_pool" and self.controller == "envoy":
            raise ValueError("Envoy Gateway routes to no InferencePool; declare agentgateway")
        return self


class ModelRolloutSpec(TimedSpec):
    """One gateway address, and how a registered model's candidate comes behind it."""

    registered_model: str = Field(pattern=NAME_PATTERN, description="the name of a FineTune")
    judge: JudgeSpec
    steps: tuple[StepSpec, ...] = Field(
        default=DEFAULT_STEPS, min_length=1, description="in order; the last is 100 %"
    )
    serving: ServingSpec = ServingSpec()
    target: Literal["processes", "litellm", "kubernetes"] = Field(
        default="processes",
        description="`processes`: on this machine behind Envoy; `litellm`: the same behind a "
        "LiteLLM proxy, by the weights of its model list; `kubernetes`: see `cluster`",
    )
    cluster: ClusterTargetSpec | None = Field(
        default=None, description="where, for target `kubernetes`"
    )
    port: int = Field(default=8090, ge=1, le=65535, description="of the gateway, on this machine")
    admin_port: int = Field(default=8091, ge=1, le=65535, description="of the gateway's admin page")
    timeout_minutes: int = Field(default=240, ge=1, description="a run older than this is ended")

    @field_validator("steps")
    @classmethod
    def _grow(cls, steps: tuple[StepSpec, ...]) -> tuple[StepSpec, ...]:
        shares = [step.percent for step in steps]
        if shares != sorted(shares) or shares[-1] != 100:
            raise ValueError(f"shares are {shares}; they grow, and the last is 100")
        return steps

    @model_validator(mode="after")
    def _ports(self) -> "ModelRolloutSpec":
        if (self.target == "kubernetes") != (self.cluster is not None):
            raise ValueError("`cluster` and target `kubernetes` go together")
        if self.target == "litellm" and any(step.mirror for step in self.steps):
            raise ValueError("LiteLLM's proxy copies no requests: target `litellm` has no mirror")
        if self.port == self.admin_port:
            raise ValueError("port and admin_port are the same")
        return self
