"""`Cost`: where the money went, every day: tokens, machines, tenants, budgets."""

from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import dagster as dg

from platform_pipelines.components.cost.machines import build_machines
from platform_pipelines.components.cost.pages import alerts_of, ledger_page
from platform_pipelines.components.shared.assets import stage_asset
from platform_pipelines.components.shared.declaring import (
    absolute_url,
    declared,
    declaring,
    folder_of,
)
from platform_pipelines.components.shared.jobs import scheduled
from platform_pipelines.components.shared.policy import timed_policy
from platform_pipelines.core.cost.days import DaySums, differences
from platform_pipelines.core.cost.declaration import CostSpec
from platform_pipelines.stages.cost.ledger import LEDGER, VERSION, refresh_ledger
from platform_pipelines.stages.cost.machines import MACHINES
from platform_pipelines.stages.cost.workspace import FOLDER, Workspace, open_workspace
from platform_pipelines.stages.road.outcome import StageOutcome

ADDS_UP, BUDGETS = "it_adds_up", "budgets_hold"


class Cost(declaring(CostSpec)):
    """What answers and machines cost: a day, a tenant, a model, a run; budgets that warn in time.

    Gives the assets [name, machines] (where `prometheus` is declared) and [name, ledger] with the
    checks machines_are_known, it_adds_up and budgets_hold, the job NAME_sum, and a daily schedule
    (off until switched on).
    """

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """Asset, job and schedule.

        Raises:
            ConfigurationError: names the field, its value and what is allowed.
        """
        spec = declared_spec(self.given, context.path)
        does = f"Sum the costs of {spec.name} up to yesterday."
        assets = [*build_machines(spec), _ledger(spec)]
        return scheduled(FOLDER, spec, assets, job="sum", schedule="daily", does=does)


def declared_spec(attributes: dict[str, Any], path: Path) -> CostSpec:
    """The checked declaration, its relative path made a URL against the declaring folder.

    Raises:
        ConfigurationError: names the field, its value and what is allowed.
    """
    # A float has no cents: the YAML's 0.1 is meant as the text that stands there.
    exact = {k: _texts(v) for k, v in attributes.items()}
    spec = declared(CostSpec, exact, path, noun="a page of costs")
    if spec.nodes is None:
        return spec
    return spec.model_copy(
        update={"nodes": absolute_url(spec.nodes, folder_of(path), field="nodes")}
    )


def _texts(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _texts(one) for key, one in value.items()}
    return str(value) if isinstance(value, float) else value


def _ledger(spec: CostSpec) -> dg.AssetsDefinition:
    key = [spec.name, LEDGER]
    checks = [
        dg.AssetCheckSpec(
            ADDS_UP, asset=key, description="Has every table the same total, exactly?"
        ),
        dg.AssetCheckSpec(
            BUDGETS, asset=key, description="Has every tenant spent less than it was told to?"
        ),
    ]

    def tell(
        context: dg.AssetExecutionContext, workspace: Workspace, outcome: StageOutcome
    ) -> dg.MaterializeResult:
        del context
        days: list[DaySums] = outcome.facts["days"]
        return dg.MaterializeResult(
            metadata=ledger_page(workspace, outcome),
            data_version=dg.DataVersion(outcome.snapshot.digest),
            check_results=[_adds_up(days), _budgets(spec, days)],
        )

    return stage_asset(
        key, refresh_ledger, tell,
        policy=timed_policy(FOLDER, spec, code_version=VERSION),
        opened=partial(open_workspace, spec),
        text="This month up to yesterday: what answers took by the prices of their models, and the "
        "hours of owned machines, busy, warming up and idle.",
        kinds={"json"}, check_specs=checks, metadata={"component": FOLDER},
        deps=[dg.AssetKey([spec.name, MACHINES])] if spec.prometheus else [],
    )  # fmt: skip


def _adds_up(days: list[DaySums]) -> dg.AssetCheckResult:
    wrong = {level: off for level, off in differences(days).items() if off}
    told = "; ".join(f"{level}: {off} $ off" for level, off in wrong.items())
    return dg.AssetCheckResult(
        check_name=ADDS_UP, passed=not wrong, description=told or "every table has one total"
    )


def _budgets(spec: CostSpec, days: list[DaySums]) -> dg.AssetCheckResult:
    alerts = alerts_of(spec, days)
    spent = any(one.share >= Decimal(1) for one in alerts)
    told = "; ".join(
        f"{one.tenant}: {one.spent} of {one.budget} $ ({one.share:.0%})" for one in alerts
    )
    return dg.AssetCheckResult(
        check_name=BUDGETS,
        passed=not alerts,
        severity=dg.AssetCheckSeverity.ERROR if spent else dg.AssetCheckSeverity.WARN,
        description=told or "every budget holds",
    )
