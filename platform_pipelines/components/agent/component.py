"""`Agent`: a prompt, a model, tools, and how many of it run."""

from functools import partial
from pathlib import Path
from typing import Any

import dagster as dg

from platform_pipelines.components.agent.trial import build_trial
from platform_pipelines.components.shared.applied import build_applied
from platform_pipelines.components.shared.declaring import (
    absolute_url,
    declared,
    declaring,
    folder_of,
)
from platform_pipelines.core.agent.declaration import AgentSpec
from platform_pipelines.core.agent.render import render_agent
from platform_pipelines.stages.agent.trial import rules_of
from platform_pipelines.stages.road.applied import APPLIED
from platform_pipelines.stages.road.clusters import Applied


class Agent(declaring(AgentSpec)):
    """An agent on Kagent (`v1alpha2`), our LangGraph program behind it, or an image of your own.

    Gives the assets manifests -> [trial -> canary ->] applied, the checks rules_hold,
    tasks_are_done, canary_is_well, admitted and no_drift, the jobs NAME_apply, NAME_drift and
    NAME_rollback, and a schedule (off until switched on).
    """

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """Assets, checks, jobs and schedule of this agent.

        Raises:
            ConfigurationError: names the field, its value and what is allowed.
        """
        spec = declared_spec(self.given, context.path)
        applied = Applied("agent", spec, partial(render_agent, spec), rules=partial(rules_of, spec))
        between = build_trial(applied, spec)
        return build_applied(applied, between=between, above=_used_by(spec))


def declared_spec(attributes: dict[str, Any], path: Path) -> AgentSpec:
    """The checked declaration, the path of its tasks made a URL against the declaring folder.

    Raises:
        ConfigurationError: names the field, its value and what is allowed.
    """
    spec = declared(AgentSpec, attributes, path, noun="an agent")
    if spec.trial is None:
        return spec
    tasks = absolute_url(spec.trial.tasks, folder_of(path), field="trial.tasks")
    return spec.model_copy(update={"trial": spec.trial.model_copy(update={"tasks": tasks})})


def _used_by(spec: AgentSpec) -> list[dg.AssetKey]:
    """Knowledge bases and agents among its tools, as the lineage calls them."""
    last = {"knowledge_base": "release", "agent": APPLIED}
    return [
        dg.AssetKey([tool.name.replace("-", "_"), last[tool.kind]])
        for tool in spec.tools
        if tool.kind in last
    ]
