"""What an agent's program reads of its declaration: all that changes how it answers, and no more.

Scaling, quotas and names of objects are not here: two agents with equal behaviours answer alike, so
that the digest names what scripted tasks judge.
"""

from typing import Literal

from pydantic import Field

from platform_pipelines.core.agent.declaration import (
    AgentModelSpec,
    AgentSpec,
    MemorySpec,
    RoleSpec,
    SandboxSpec,
    ToolSpec,
)
from platform_pipelines.core.road.declarations import ManifestSpec
from platform_pipelines.core.road.identity import canonical_json, digest_json
from platform_pipelines.errors import ConfigurationError

VARIABLE = "AGENT_DECLARATION"  # of the program's environment
STEPS = 12  # calls of the model, where nothing is declared
ROLES = ("researcher", "coder", "writer")


class AgentBehaviour(ManifestSpec):
    """One revision of an agent, as its program runs it."""

    name: str
    namespace: str
    prompt: str
    language_model: AgentModelSpec
    tools: tuple[ToolSpec, ...] = ()
    shape: Literal["plan", "supervisor"] = "plan"
    roles: dict[str, RoleSpec] = Field(default={})
    memory: MemorySpec | None = None
    sandbox: SandboxSpec | None = None
    maximum_steps: int = Field(default=STEPS, ge=1)

    @property
    def digest(self) -> str:
        """Of all that changes its answers."""
        return digest_json(self.model_dump(mode="json"))

    def to_json(self) -> str:
        """As its program reads it."""
        return canonical_json(self.model_dump(mode="json", exclude_defaults=True))

    def tools_of(self, role: str) -> tuple[ToolSpec, ...]:
        """What a role may use; the empty role is the agent itself, which may use all."""
        if not role:
            return self.tools
        named = self.roles.get(role, RoleSpec()).tools
        if named is not None:
            return tuple(tool for tool in self.tools if tool.name in named)
        if role == "researcher":
            return tuple(tool for tool in self.tools if tool.kind != "code")
        return tuple(tool for tool in self.tools if tool.kind == "code" and role == "coder")


def behaviour_of(spec: AgentSpec) -> AgentBehaviour:
    """What the program of this declaration reads."""
    return AgentBehaviour(
        name=spec.name,
        namespace=spec.namespace,
        prompt=spec.prompt,
        language_model=spec.language_model,
        tools=spec.tools,
        shape=spec.shape,
        roles={str(name): role for name, role in spec.roles.items()},
        memory=spec.memory,
        sandbox=spec.sandbox,
        maximum_steps=spec.maximum_steps or STEPS,
    )


def behaviour_from_json(text: str, *, where: str) -> AgentBehaviour:
    """The inverse of `to_json`.

    Raises:
        ConfigurationError: it is no declaration of an agent.
    """
    try:
        return AgentBehaviour.model_validate_json(text)
    except ValueError as error:
        raise ConfigurationError(
            f"no declaration of an agent: {error}",
            where=where,
            remedy="let the component `Agent` render it",
        ) from error
