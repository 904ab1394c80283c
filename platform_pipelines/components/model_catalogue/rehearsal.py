"""The asset `[name, rehearsal]`: what the rendered gateway answers, what it costs, its traces."""

from functools import partial

import dagster as dg

from platform_pipelines.components.shared.applied import Told, checked_asset
from platform_pipelines.components.shared.pages import Page, table
from platform_pipelines.core.model_catalogue.declaration import ModelCatalogueSpec
from platform_pipelines.stages.model_catalogue.rehearsal import (
    REHEARSAL,
    Rehearsed,
    refresh_rehearsal,
)
from platform_pipelines.stages.road.applied import MANIFESTS
from platform_pipelines.stages.road.clusters import Applied
from platform_pipelines.stages.road.outcome import StageOutcome

ANSWERS = "every_model_answers"
_COLUMNS = ("model", "answered by", "tokens", "cost $", "gateway $", "trace $", "seconds", "trace")


def build_rehearsal(applied: Applied, spec: ModelCatalogueSpec) -> dg.AssetsDefinition:
    """The asset, between what was rendered and what is applied."""

    def told(outcome: StageOutcome) -> Told:
        seen: list[Rehearsed] = outcome.facts["requests"]
        wrong = [f"{one.model}: {one.problem or _costs(one)}" for one in seen if not one.is_right]
        return Told(rehearsal_page(outcome), "; ".join(wrong) or "every model answers", not wrong)

    return checked_asset(
        applied, REHEARSAL, partial(refresh_rehearsal, spec=spec), told,
        check=ANSWERS,
        question="Does each model answer through the gateway, traced, at the catalogue's price?",
        text="The rendered gateway configuration in a real LiteLLM proxy on this machine: one "
        "request a model, with its trace and its cost, before a cluster sees it.",
        kinds={"litellm", "opentelemetry"}, above=[dg.AssetKey([spec.name, MANIFESTS])],
        metadata={"upstream": spec.rehearsal.upstream},
    )  # fmt: skip


def rehearsal_page(outcome: StageOutcome) -> Page:
    """Requests with their costs and traces."""
    seen: list[Rehearsed] = outcome.facts["requests"]
    total = sum((one.cost_usd for one in seen if one.cost_usd is not None), start=0)
    rows = [
        {
            "model": one.model,
            "answered by": one.answered_by or one.problem,
            "tokens": f"{one.prompt_tokens} + {one.completion_tokens}",
            "cost $": one.cost_usd,
            "gateway $": one.gateway_cost_usd,
            "trace $": one.trace_cost_usd,
            "seconds": f"{one.seconds:.2f}",
            "trace": one.trace_id[:16],
        }
        for one in seen
    ]
    return {
        "requests": table(rows, _COLUMNS),
        "cost_usd": float(total),
        "models": len(seen),
        "right": outcome.snapshot.counts["right"],
    }


def _costs(one: Rehearsed) -> str:
    return f"costs differ: {one.cost_usd}, {one.gateway_cost_usd}, {one.trace_cost_usd}"
