"""The page of costs: yesterday, the month, who, what, and what idles."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import dagster as dg

from platform_pipelines.components.shared.pages import (
    BLUE,
    GREY,
    ORANGE,
    Page,
    canvas,
    picture,
    table,
    what_happened,
)
from platform_pipelines.core.cost.days import LEVELS, DaySums, month_lines, table_of
from platform_pipelines.core.cost.declaration import CostSpec
from platform_pipelines.core.cost.ledger import BudgetAlert, over_budget
from platform_pipelines.core.road.pricing import CENT
from platform_pipelines.stages.cost.workspace import Workspace, shipped_prices
from platform_pipelines.stages.road.outcome import StageOutcome

_ROWS = 30


def ledger_page(workspace: Workspace, outcome: StageOutcome) -> Page:
    """Yesterday and the month, at every level, each table with one total."""
    days: Sequence[DaySums] = outcome.facts["days"]
    spec, last = workspace.spec, days[-1]
    whole = sum((day.total for day in days), Decimal())
    prices = shipped_prices()
    page: Page = {
        "what_happened": dg.MetadataValue.md(what_happened(outcome)),
        "month": outcome.snapshot.details["month"],
        "month_usd": float(whole.quantize(CENT)),
        "yesterday_usd": float(last.total.quantize(CENT)),
        "answers": outcome.snapshot.counts["answers"],
    }
    for level in LEVELS:
        shares = table_of(days, level)
        page[f"by_{level}"] = table(
            [{level: s.name or "(people)", "$": s.cents, "%": _percent(s.usd, whole)}
             for s in shares[:_ROWS]],
            [level, "$", "%"],
        )  # fmt: skip
    page["dearest_of_yesterday"] = table(
        [{"answer or node": name, "$": f"{usd:.6f}"} for name, usd in last.dearest],
        ["answer or node", "$"],
    )
    if spec.budgets:
        page["budgets"] = table(_budget_rows(spec, days), ["tenant", "spent $", "budget $", "%"])
    held = sum(sum(day.seconds.values()) for day in days)
    if held:
        page["seconds_of_machines"] = table(_second_rows(days, held), ["use", "hours", "%"])
        page["prices_of_machines"] = f"{prices.source}, {prices.date}; declared: " + (
            ", ".join(spec.instances) or "none"
        )
    page["days"] = _days(days)
    return page


def alerts_of(spec: CostSpec, days: Sequence[DaySums]) -> list[BudgetAlert]:
    """Tenants whose month is nearly or wholly spent."""
    return over_budget(month_lines(days), spec.budgets, warn_at=spec.warn_at)


def _budget_rows(spec: CostSpec, days: Sequence[DaySums]) -> list[dict[str, Any]]:
    spent = {share.name: share.usd for share in table_of(days, "tenant")}
    return [
        {
            "tenant": tenant,
            "spent $": spent.get(tenant, Decimal()).quantize(CENT),
            "budget $": budget,
            "%": _percent(spent.get(tenant, Decimal()), budget),
        }
        for tenant, budget in sorted(spec.budgets.items())
    ]


def _second_rows(days: Sequence[DaySums], held: int) -> list[dict[str, Any]]:
    uses = sorted({use for day in days for use in day.seconds})
    sums = {use: sum(day.seconds.get(use, 0) for day in days) for use in uses}
    return [
        {"use": use, "hours": f"{n / 3600:,.2f}", "%": f"{100 * n / held:.1f}"}
        for use, n in sums.items()
    ]


def _percent(part: Decimal, whole: Decimal) -> str:
    return f"{100 * part / whole:.1f}" if whole else "–"


def _days(days: Sequence[DaySums]) -> dg.MetadataValue:
    figure, axes = canvas("Cost by day", "", "US dollars")
    at = [day.day[8:] for day in days]
    bottom = [0.0] * len(days)
    colors = {"tokens": BLUE, "busy": ORANGE, "warm-up": "#facc15", "idle": GREY}
    for source, color in colors.items():
        heights = [float(day.levels["source"].get(source, 0)) for day in days]
        if any(heights):
            axes.bar(at, heights, bottom=bottom, color=color, label=source)
            bottom = [b + h for b, h in zip(bottom, heights, strict=True)]
    if axes.get_legend_handles_labels()[1]:
        axes.legend(fontsize=8)
    return picture(figure, "cost by day")
