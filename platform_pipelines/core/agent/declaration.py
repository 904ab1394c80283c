"""What an agent declares: its prompt, model, tools, memory, scaling, and what runs it.

`runtime: kagent` is Kagent's declarative agent. What its `v1alpha2` cannot say is refused here by
the field's name, so that nothing declared is silently dropped; `runtime: image` runs an image.
"""

from typing import Literal

from pydantic import Field, model_validator

from platform_pipelines.core.road.declarations import DNS_LABEL, ComponentSpec, ManifestSpec


class AgentModelSpec(ManifestSpec):
    """The model that thinks for it, behind the gateway."""

    name: str = Field(min_length=1, description="as the model catalogue calls it")
    url: str = Field(
        default="http://models-litellm.gateway.svc:4000/v1",
        pattern=r"^https?://[^\s@]+$",
        description="the gateway, up to `/v1`",
    )
    secret: str = Field(default="tenant-keys", description="the Secret with its key")
    key: str = Field(default="GATEWAY_KEY", description="of that Secret")
    temperature: float | None = Field(default=None, ge=0, le=2, description="of its answers")
    maximum_tokens: int | None = Field(default=None, ge=1, description="of one answer")


class ToolSpec(ManifestSpec):
    """A server of tools, or another agent."""

    kind: Literal["mcp", "knowledge_base", "agent"] = Field(
        description="`mcp`: a server; `knowledge_base`: our own `serve`; `agent`: another agent"
    )
    name: str = Field(pattern=DNS_LABEL, description="of the server's or the agent's object")
    url: str | None = Field(
        default=None, pattern=r"^https?://[^\s@]+$", description="`mcp`, `knowledge_base`: where"
    )
    tools: tuple[str, ...] = Field(default=(), description="which of its tools; none: all")
    approve: tuple[str, ...] = Field(default=(), description="tools that a person must allow")
    seconds: int = Field(default=30, ge=1, le=600, description="of one call")

    @model_validator(mode="after")
    def _complete(self) -> "ToolSpec":
        if (self.kind == "agent") == (self.url is not None):
            raise ValueError("`url` goes with kinds `mcp` and `knowledge_base`, which need it")
        unknown = sorted(set(self.approve) - set(self.tools))
        if unknown:
            raise ValueError(f"`approve` names {', '.join(unknown)}, which `tools` does not")
        return self


class MemorySpec(ManifestSpec):
    """What it remembers of a conversation."""

    redis: str = Field(description="host:port of Redis")
    ttl_seconds: int = Field(default=3600, ge=1, description="how long it is kept")
    messages: int = Field(default=50, ge=1, description="how many of them")


class AgentScalingSpec(ManifestSpec):
    """How many of it run."""

    by: Literal["sessions", "utilisation"] = Field(
        default="sessions",
        description="`sessions`: KEDA on agent_active_sessions; `utilisation`: HPA",
    )
    sessions: int = Field(default=50, ge=1, description="of one replica")
    cpu_percent: int = Field(default=70, ge=1, le=100, description="of its request")
    memory_percent: int = Field(default=80, ge=1, le=100, description="of its request")
    poll_seconds: int = Field(default=15, ge=5, description="how often the query is asked")
    cooldown_seconds: int = Field(default=300, ge=0, description="quiet before a replica goes")
    minimum: int = Field(default=2, ge=1, description="replicas at least")
    maximum: int = Field(default=20, ge=1, description="replicas at most")
    prometheus: str = Field(
        default="http://prometheus-operated.monitoring.svc:9090", description="what KEDA asks"
    )

    @model_validator(mode="after")
    def _ordered(self) -> "AgentScalingSpec":
        if self.minimum > self.maximum:
            raise ValueError(f"minimum {self.minimum} is over maximum {self.maximum}")
        return self


class AgentSpec(ComponentSpec):
    """One agent."""

    namespace: str = Field(pattern=DNS_LABEL, description="a Tenant's space for agents")
    prompt: str = Field(min_length=1, description="its system prompt")
    language_model: AgentModelSpec = Field(description="what thinks for it")
    tools: tuple[ToolSpec, ...] = Field(default=(), max_length=20, description="what it may use")
    runtime: Literal["kagent", "image"] = Field(
        default="kagent", description="`kagent`: Kagent's declarative agent; `image`: `image` runs"
    )
    image: str | None = Field(default=None, description="`image` only: with a version or digest")
    memory: MemorySpec | None = Field(default=None, description="`image` only: kept in Redis")
    maximum_steps: int | None = Field(
        default=None, ge=1, le=100, description="`image` only: of its plan, execute, evaluate loop"
    )
    scaling: AgentScalingSpec = Field(default=AgentScalingSpec(), description="how many run")
    cpu: str = Field(default="250m", description="CPU request")
    memory_request: str = Field(default="512Mi", description="memory")

    @model_validator(mode="after")
    def _sayable(self) -> "AgentSpec":
        if self.runtime == "image":
            if self.image is None:
                raise ValueError("runtime `image` needs `image`")
            return self
        for name, why in _NOT_KAGENT.items():
            if getattr(self, name) is not None:
                raise ValueError(f"`{name}`: {why}; runtime `image` can")
        return self


_NOT_KAGENT = {
    "image": "a declarative Kagent agent runs Kagent's own image",
    "memory": "Kagent v1alpha2 remembers by vectors for days (`memory.ttlDays`), not in Redis by "
    "seconds and messages",
    "maximum_steps": "Kagent v1alpha2 has no limit of steps",
}
