"""`Cost`: where the money went, every day: tokens, machines, tenants, budgets."""

from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import dagster as dg
from pydantic import Field

from platform_pipelines.components.cost.pages import alerts_of, ledger_page
from platform_pipelines.components.shared.declaring import (
    Declaring,
    absolute_url,
    declared,
    described,
)
from platform_pipelines.components.shared.jobs import asset_job, stopped_schedule
from platform_pipelines.components.shared.policy import policy_of, tags_of
from platform_pipelines.components.shared.running import run_stage
from platform_pipelines.core.cost.days import DaySums, differences
from platform_pipelines.core.cost.declaration import CostSpec, ModelPriceSpec
from platform_pipelines.stages.cost.ledger import LEDGER, refresh_ledger
from platform_pipelines.stages.cost.workspace import FOLDER, open_workspace

CODE_VERSION = "1"
ADDS_UP, BUDGETS = "it_adds_up", "budgets_hold"


class Cost(Declaring):
    """What answers and machines cost: a day, a tenant, a model, a run; budgets that warn in time.

    Gives the asset [name, ledger] with the checks it_adds_up and budgets_hold, the job NAME_sum,
    and a daily schedule (off until switched on).
    """

    name: str = Field(description="lower-case letters, digits and single underscores")
    models: dict[str, dict[str, Any]] = Field(
        description="model, as its answers name it -> " + ", ".join(ModelPriceSpec.model_fields)
    )
    instances: dict[str, Any] = Field(
        default_factory=dict,
        **described("instance type -> US dollars an hour, where it is not the shipped table's"),
    )
    nodes: str | None = Field(
        default=None,
        **described(
            "a folder of node time by day (`2026-11-27.jsonl`): URL or relative path; none: no "
            "machine is owned"
        ),
    )
    budgets: dict[str, Any] = Field(
        default_factory=dict, **described("tenant -> US dollars a calendar month")
    )
    warn_at: float = Field(default=0.8, **described("share of a budget at which it is told"))
    cron: str = Field(default="15 1 * * *", **described("when; off until switched on"))
    timezone: str = Field(default="UTC", **described("of that cron and of the months, IANA"))
    timeout_minutes: int = Field(default=60, **described("a run older than this is ended"))
    description: str = Field(default="", **described("one sentence for the asset pages"))
    owner: str = Field(default="team:platform", **described("`team:name` or an e-mail address"))

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """Asset, job and schedule.

        Raises:
            ConfigurationError: names the field, its value and what is allowed.
        """
        spec = declared_spec(self.model_dump(exclude_unset=True), context.path)
        asset = _ledger(spec)
        job = asset_job(
            f"{spec.name}_sum",
            dg.AssetSelection.assets(asset.key),
            description=f"Sum the costs of {spec.name} up to yesterday.",
            tags=tags_of(FOLDER, spec),
        )
        schedule = stopped_schedule(
            f"{spec.name}_daily",
            job,
            cron=spec.cron,
            timezone=spec.timezone,
            description=f"Sum the costs of {spec.name} every day.",
        )
        return dg.Definitions(assets=[asset], jobs=[job], schedules=[schedule])


def declared_spec(attributes: dict[str, Any], path: Path) -> CostSpec:
    """The checked declaration, its relative path made a URL against the declaring folder.

    Raises:
        ConfigurationError: names the field, its value and what is allowed.
    """
    folder = path if path.is_dir() else path.parent
    # A float has no cents: the YAML's 0.1 is meant as the text that stands there.
    exact = {k: _texts(v) for k, v in attributes.items()}
    spec = declared(CostSpec, exact, path, noun="a page of costs")
    if spec.nodes is None:
        return spec
    return spec.model_copy(update={"nodes": absolute_url(spec.nodes, folder, field="nodes")})


def _texts(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _texts(one) for key, one in value.items()}
    return str(value) if isinstance(value, float) else value


def _ledger(spec: CostSpec) -> dg.AssetsDefinition:
    key = dg.AssetKey([spec.name, LEDGER])
    policy = policy_of(FOLDER, spec, code_version=CODE_VERSION)
    checks = [
        dg.AssetCheckSpec(
            ADDS_UP, asset=key, description="Has every table the same total, exactly?"
        ),
        dg.AssetCheckSpec(
            BUDGETS, asset=key, description="Has every tenant spent less than it was told to?"
        ),
    ]

    def ledger(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        workspace, outcome = run_stage(
            context, partial(open_workspace, spec), refresh_ledger,
            name=spec.name, timeout_seconds=policy.timeout_seconds,
        )  # fmt: skip
        days: list[DaySums] = outcome.facts["days"]
        return dg.MaterializeResult(
            metadata=ledger_page(workspace, outcome),
            data_version=dg.DataVersion(outcome.snapshot.digest),
            check_results=[_adds_up(days), _budgets(spec, days)],
        )

    text = (
        "This month up to yesterday: what answers took by the prices of their models, and the "
        "hours of owned machines, busy, warming up and idle."
    )
    return dg.asset(
        key=key, check_specs=checks, kinds={"json"},
        description="\n\n".join(filter(None, (spec.description, text))),
        metadata={"component": FOLDER}, **policy.asset_arguments(),
    )(ledger)  # fmt: skip


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
