"""`Agent`: a prompt, a model, tools, and how many of it run."""

from functools import partial
from pathlib import Path
from typing import Any

import dagster as dg
from pydantic import Field

from platform_pipelines.components.agent.trial import build_trial
from platform_pipelines.components.shared.applied import build_applied
from platform_pipelines.components.shared.declaring import (
    Declaring,
    absolute_url,
    declared,
    described,
    nested,
)
from platform_pipelines.core.agent.declaration import (
    AgentModelSpec,
    AgentScalingSpec,
    AgentSpec,
    MemorySpec,
    RoleSpec,
    SandboxSpec,
    ToolSpec,
    TrialSpec,
)
from platform_pipelines.core.agent.render import render_agent
from platform_pipelines.core.road.declarations import ApplySpec
from platform_pipelines.stages.agent.trial import rules_of
from platform_pipelines.stages.road.clusters import Applied


class Agent(Declaring):
    """An agent on Kagent (`v1alpha2`), our LangGraph program behind it, or an image of your own.

    Gives the assets manifests -> [trial -> canary ->] applied, the checks rules_hold,
    tasks_are_done, canary_is_well, admitted and no_drift, the jobs NAME_apply, NAME_drift and
    NAME_rollback, and a schedule (off until switched on).
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
    shape: str = Field(
        default="plan", **described("`plan`, or `supervisor` of a researcher, a coder, a writer")
    )
    roles: dict[str, dict[str, Any]] = Field(
        default_factory=dict,
        **described("`supervisor` only: role -> " + ", ".join(RoleSpec.model_fields)),
    )
    sandbox: dict[str, Any] | None = Field(
        default=None, **nested(SandboxSpec, "`image` only: where code runs.")
    )
    trial: dict[str, Any] | None = Field(
        default=None, **nested(TrialSpec, "`image` only: the tasks that a revision must do.")
    )
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
        spec = declared_spec(self.model_dump(exclude_unset=True), context.path)
        applied = Applied("agent", spec, lambda: render_agent(spec), rules=partial(rules_of, spec))
        return build_applied(applied, between=build_trial(applied, spec))


def declared_spec(attributes: dict[str, Any], path: Path) -> AgentSpec:
    """The checked declaration, the path of its tasks made a URL against the declaring folder.

    Raises:
        ConfigurationError: names the field, its value and what is allowed.
    """
    spec = declared(AgentSpec, attributes, path, noun="an agent")
    if spec.trial is None:
        return spec
    folder = path if path.is_dir() else path.parent
    tasks = absolute_url(spec.trial.tasks, folder, field="trial.tasks")
    return spec.model_copy(update={"trial": spec.trial.model_copy(update={"tasks": tasks})})
