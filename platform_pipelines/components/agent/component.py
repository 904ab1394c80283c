"""`Agent`: a prompt, a model, tools, and how many of it run."""

from functools import partial

import dagster as dg

from platform_pipelines.components.shared.applied import build_applied
from platform_pipelines.components.shared.declaring import declared, declaring
from platform_pipelines.core.agent.declaration import AgentSpec
from platform_pipelines.core.agent.render import render_agent
from platform_pipelines.stages.road.applied import APPLIED
from platform_pipelines.stages.road.clusters import Applied


class Agent(declaring(AgentSpec)):
    """An agent on Kagent (`v1alpha2`), or an image of your own behind it.

    Gives the assets manifests -> applied, the checks rules_hold, admitted and no_drift, the jobs
    NAME_apply, NAME_drift and NAME_rollback, and a schedule (off until switched on).
    """

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """Assets, checks, jobs and schedule of this agent.

        Raises:
            ConfigurationError: names the field, its value and what is allowed.
        """
        spec = declared(AgentSpec, self.given, context.path, noun="an agent")
        applied = Applied("agent", spec, partial(render_agent, spec))
        return build_applied(applied, above=_used_by(spec))


def _used_by(spec: AgentSpec) -> list[dg.AssetKey]:
    """Knowledge bases and agents among its tools, as the lineage calls them."""
    last = {"knowledge_base": "release", "agent": APPLIED}
    return [
        dg.AssetKey([tool.name.replace("-", "_"), last[tool.kind]])
        for tool in spec.tools
        if tool.kind in last
    ]
