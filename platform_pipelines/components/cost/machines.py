"""The asset `[name, machines]`: what owned GPUs did, day by day, as Prometheus has it."""

from collections.abc import Mapping
from datetime import date
from functools import partial

import dagster as dg

from platform_pipelines.components.shared.assets import stage_asset
from platform_pipelines.components.shared.pages import Page, table, what_happened
from platform_pipelines.components.shared.policy import timed_policy
from platform_pipelines.core.cost.declaration import CostSpec
from platform_pipelines.core.cost.ledger import NodeTime
from platform_pipelines.core.cost.node_time import seconds_by_use
from platform_pipelines.stages.cost.ledger import VERSION
from platform_pipelines.stages.cost.machines import MACHINES, refresh_machines
from platform_pipelines.stages.cost.workspace import FOLDER, Workspace, open_workspace
from platform_pipelines.stages.road.outcome import StageOutcome

KNOWN = "machines_are_known"
_COLUMNS = ("day", "GPUs", "busy h", "warm-up h", "idle h", "held h")


def build_machines(spec: CostSpec) -> list[dg.AssetsDefinition]:
    """The asset; none where no Prometheus is declared."""
    if spec.prometheus is None:
        return []
    key = [spec.name, MACHINES]
    check = dg.AssetCheckSpec(
        KNOWN, asset=key, description="Has Prometheus the nodes of every day of the month?"
    )

    def tell(
        context: dg.AssetExecutionContext, workspace: Workspace, outcome: StageOutcome
    ) -> dg.MaterializeResult:
        del context, workspace
        unknown: list[str] = outcome.facts["unknown"]
        result = dg.AssetCheckResult(
            check_name=KNOWN,
            passed=not unknown,
            severity=dg.AssetCheckSeverity.WARN,
            description=f"no node of {', '.join(unknown)}" if unknown else "every day is known",
        )
        return dg.MaterializeResult(
            metadata=machines_page(outcome),
            data_version=dg.DataVersion(outcome.snapshot.digest),
            check_results=[result],
        )

    return [
        stage_asset(
            key, refresh_machines, tell,
            policy=timed_policy(FOLDER, spec, code_version=VERSION),
            opened=partial(open_workspace, spec),
            text="Seconds of every GPU, busy for a tenant, warming up or idle: OpenCost says which "
            "nodes were held, DCGM what their GPUs did.",
            kinds={"prometheus"}, check_specs=[check],
            metadata={"component": FOLDER, "prometheus": spec.prometheus},
        )
    ]  # fmt: skip


def machines_page(outcome: StageOutcome) -> Page:
    """Hours by day and use."""
    days: Mapping[date, list[NodeTime]] = outcome.facts["days"]
    rows = []
    for day, nodes in sorted(days.items(), reverse=True):
        uses = {use: seconds / 3600 for use, seconds in seconds_by_use(nodes).items()}
        hours = {f"{use} h": f"{one:.1f}" for use, one in uses.items()}
        held = sum(node.seconds for node in nodes) / 3600
        rows.append({"day": day, "GPUs": len(nodes), **hours, "held h": f"{held:.1f}"})
    return {
        "what_happened": dg.MetadataValue.md(what_happened(outcome)),
        "gpu_hours": table(rows, _COLUMNS),
    }
