"""`Agent`: a prompt, a model, tools, and how many of it run."""

from typing import Any

import dagster as dg
from pydantic import Field

from platform_pipelines.components.shared.applied import build_applied
from platform_pipelines.components.shared.declaring import (
    Declaring,
    declared,
    described,
    nested,
)
from platform_pipelines.core.agent.declaration import (
    AgentModelSpec,
    AgentScalingSpec,
    AgentSpec,
    MemorySpec,
    ToolSpec,
)
from platform_pipelines.core.agent.render import render_agent
from platform_pipelines.core.road.declarations import ApplySpec
from platform_pipelines.stages.road.applied import APPLIED
from platform_pipelines.stages.road.clusters import Applied


class Agent(Declaring):
    """An agent on Kagent (`v1alpha2`), or an image of your own behind it.

    Gives the assets manifests -> applied, the checks rules_hold, admitted and no_drift, the jobs
    NAME_apply, NAME_drift and NAME_rollback, and a schedule (off until switched on).
    """

    name: str = Field(description="lower-case letters, digits and single underscores")
    namespace: str = Field(description="a Tenant's space for agents, e.g. `acme-agents`")
    prompt: str = Field(description="its system prompt")
    # Not `model`: that name is Dagster's, for the schema of a component.
    language_model: dict[str, Any] = Field(
        **nested(AgentModelSpec, "The model that thinks for it.")
    )
    description: str = Field(default="", **described("one sentence for the asset pages"))
    owner: str = Field(default="team:platform", **described("`team:name` or an e-mail address"))
    tools: list[dict[str, Any]] = Field(
        default_factory=list,
        **described("What it may use, each with " + ", ".join(ToolSpec.model_fields)),
    )
    runtime: str = Field(default="kagent", **described("`kagent`, or `image` with `image`"))
    image: str | None = Field(default=None, **described("`image` only: with a version or digest"))
    memory: dict[str, Any] | None = Field(
        default=None, **nested(MemorySpec, "`image` only: what it remembers.")
    )
    maximum_steps: int | None = Field(default=None, **described("`image` only: of its loop"))
    scaling: dict[str, Any] = Field(
        default_factory=dict, **nested(AgentScalingSpec, "How many of it run.")
    )
    cpu: str = Field(default="250m", **described("CPU request"))
    memory_request: str = Field(default="512Mi", **described("memory"))
    apply: dict[str, Any] = Field(
        default_factory=dict, **nested(ApplySpec, "How it reaches the cluster.")
    )

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """Assets, checks, jobs and schedule of this agent.

        Raises:
            ConfigurationError: names the field, its value and what is allowed.
        """
        attributes = self.model_dump(exclude_unset=True)
        spec = declared(AgentSpec, attributes, context.path, noun="an agent")
        applied = Applied("agent", spec, lambda: render_agent(spec))
        return build_applied(applied, above=_used_by(spec))


def _used_by(spec: AgentSpec) -> list[dg.AssetKey]:
    """Knowledge bases and agents among its tools, as the lineage calls them."""
    last = {"knowledge_base": "release", "agent": APPLIED}
    return [
        dg.AssetKey([tool.name.replace("-", "_"), last[tool.kind]])
        for tool in spec.tools
        if tool.kind in last
    ]
