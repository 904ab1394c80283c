"""What an agent declares: its prompt, model, tools, memory, scaling, and what runs it.

`runtime: kagent` is Kagent's declarative agent. What its `v1alpha2` cannot say is refused here by
the field's name, so that nothing declared is silently dropped; `runtime: image` runs an image.
"""

from typing import Literal

from pydantic import Field, model_validator

from platform_pipelines.core.road.declarations import DNS_LABEL, ComponentSpec, ManifestSpec

RUN_CODE = "run_python"  # the tool of kind `code`


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

    kind: Literal["mcp", "knowledge_base", "agent", "code"] = Field(
        description="`mcp`: a server; `knowledge_base`: our own `serve`; `agent`: another agent; "
        "`code`: Python in a pod of its own (`sandbox`)"
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
        if (self.kind in ("agent", "code")) == (self.url is not None):
            raise ValueError("`url` goes with kinds `mcp` and `knowledge_base`, which need it")
        if self.kind == "code" and self.tools not in ((), (RUN_CODE,)):
            raise ValueError(f"kind `code` has one tool, `{RUN_CODE}`")
        unknown = sorted(set(self.approve) - set(self.tools))
        if unknown:
            raise ValueError(f"`approve` names {', '.join(unknown)}, which `tools` does not")
        return self


class MemorySpec(ManifestSpec):
    """What it remembers of a conversation."""

    redis: str = Field(description="host:port of Redis")
    ttl_seconds: int = Field(default=3600, ge=1, description="how long it is kept")
    messages: int = Field(default=50, ge=1, description="how many of them")


class SandboxSpec(ManifestSpec):
    """Where the code that an agent writes runs: one pod a call, which reaches nobody."""

    namespace: str = Field(
        pattern=DNS_LABEL, description="of these pods alone, at the level `restricted`"
    )
    image: str = Field(description="with Python, and with a version or digest")
    seconds: int = Field(default=30, ge=1, le=600, description="of one call, then it is ended")
    cpu: str = Field(default="500m", description="CPU, at most")
    memory: str = Field(default="256Mi", description="memory, at most")
    output_characters: int = Field(
        default=4000, ge=100, le=100_000, description="of what it prints: the last ones"
    )


class RoleSpec(ManifestSpec):
    """One of a supervisor's three: what it is told beside the agent's prompt, and its tools."""

    prompt: str = Field(default="", description="beside the agent's")
    tools: tuple[str, ...] | None = Field(
        default=None,
        description="names of `tools`; none said: the researcher has all but `code`, the coder "
        "`code`, the writer none",
    )


class CanarySpec(ManifestSpec):
    """How a revision is tried on a share of the requests before it gets all."""

    percent: int = Field(default=20, ge=1, le=50, description="of the requests, by `x-cohort`")
    requests: int = Field(default=40, ge=10, description="of both sides together")
    minimum: int = Field(default=5, ge=1, description="of its own before anything is said")
    error_share: float = Field(
        default=0.05, ge=0, lt=1, description="by which its errors may exceed the live agent's"
    )
    slower: float = Field(
        default=1.5, ge=1, description="times the live agent's mean seconds that it may take"
    )


class TrialSpec(ManifestSpec):
    """The scripted tasks that a revision must do before it is applied."""

    tasks: str = Field(description="JSON Lines: a URL, or a path relative to the YAML")
    trials: int = Field(default=3, ge=1, le=50, description="how often each task is done")
    k: int = Field(default=3, ge=1, le=50, description="pass^k: all of k tries are right")
    pass_k_floor: float = Field(
        default=0.8, gt=0, le=1, description="the mean of pass^k at least, of a first agent too"
    )
    minimum_effect: float = Field(
        default=0.05, ge=0, le=1, description="by which pass^k may be below the live agent's"
    )
    minimum_tasks: int = Field(default=5, ge=1, description="fewer prove nothing")
    seconds: int = Field(default=120, ge=1, le=3600, description="of one try")
    gateway_url: str | None = Field(
        default=None, description="instead of `language_model.url`, reached from here"
    )
    tool_urls: dict[str, str] = Field(
        default={}, description="tool -> its URL as it is reached from here"
    )
    canary: CanarySpec | None = Field(default=None, description="then a share of the requests")

    @model_validator(mode="after")
    def _enough(self) -> "TrialSpec":
        if self.k > self.trials:
            raise ValueError(f"k {self.k} is over trials {self.trials}: nobody can say pass^k")
        return self


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
    shape: Literal["plan", "supervisor"] = Field(
        default="plan",
        description="`plan`: plans, executes, evaluates; `supervisor` (`image` only): sends work "
        "to a researcher, a coder and a writer",
    )
    roles: dict[Literal["researcher", "coder", "writer"], RoleSpec] = Field(
        default={}, description="`supervisor` only: what the three are told"
    )
    sandbox: SandboxSpec | None = Field(
        default=None, description="`image` only: where code runs; tools of kind `code` need it"
    )
    trial: TrialSpec | None = Field(
        default=None, description="`image` only: the tasks that a revision must do"
    )
    scaling: AgentScalingSpec = Field(default=AgentScalingSpec(), description="how many run")
    cpu: str = Field(default="250m", description="CPU request")
    memory_request: str = Field(default="512Mi", description="memory")

    @model_validator(mode="after")
    def _consistent(self) -> "AgentSpec":
        if any(tool.kind == "code" for tool in self.tools) != (self.sandbox is not None):
            raise ValueError("tools of kind `code` and `sandbox` go together")
        if self.roles and self.shape != "supervisor":
            raise ValueError("`roles` goes with shape `supervisor`")
        unknown = {t for r in self.roles.values() for t in r.tools or ()} - self.tool_names
        if unknown:
            raise ValueError(f"`roles` names {', '.join(sorted(unknown))}, which `tools` does not")
        return self

    @model_validator(mode="after")
    def _sayable(self) -> "AgentSpec":
        if self.runtime == "image":
            if self.image is None:
                raise ValueError("runtime `image` needs `image`")
            return self
        if self.shape == "supervisor":
            raise ValueError("`shape`: Kagent v1alpha2 has no supervisor; runtime `image` can")
        for name, why in _NOT_KAGENT.items():
            if getattr(self, name) is not None:
                raise ValueError(f"`{name}`: {why}; runtime `image` can")
        return self

    @property
    def tool_names(self) -> set[str]:
        """Of all its servers of tools."""
        return {tool.name for tool in self.tools}


_NOT_KAGENT = {
    "image": "a declarative Kagent agent runs Kagent's own image",
    "memory": "Kagent v1alpha2 remembers by vectors for days (`memory.ttlDays`), not in Redis by "
    "seconds and messages",
    "maximum_steps": "Kagent v1alpha2 has no limit of steps",
    "sandbox": "Kagent runs code in its own container",
    "trial": "Kagent's own program does not run here, so that nothing would be tried",
}
