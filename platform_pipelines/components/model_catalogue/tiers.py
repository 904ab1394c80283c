"""The asset `[name, tiers]`: how often a request gets the wrong tier of models."""

from functools import partial

import dagster as dg

from platform_pipelines.components.shared.applied import Told, checked_asset
from platform_pipelines.components.shared.pages import Page, table, what_happened
from platform_pipelines.core.model_catalogue.declaration import ModelCatalogueSpec
from platform_pipelines.core.road.evidence import Evidence
from platform_pipelines.core.road.tiers import TIERS, confusions, errors_of
from platform_pipelines.core.road.verdicts import Status, Verdict
from platform_pipelines.stages.model_catalogue.tiers import STAGE, refresh_tiers
from platform_pipelines.stages.road.applied import MANIFESTS
from platform_pipelines.stages.road.clusters import Applied
from platform_pipelines.stages.road.outcome import StageOutcome


def build_tiers(applied: Applied, spec: ModelCatalogueSpec) -> list[dg.AssetsDefinition]:
    """The asset, between what was rendered and what is applied; none without tiers."""
    if spec.tiers is None:
        return []

    def told(outcome: StageOutcome) -> Told:
        verdict: Verdict = outcome.facts["verdict"]
        text = "; ".join(r.message for r in verdict.reasons) or "no more are wrong than declared"
        is_well = verdict.status is Status.PASS
        return Told(tiers_page(outcome), text, is_well, outcome.facts["evidence"].digest)

    return [
        checked_asset(
            applied, STAGE, partial(refresh_tiers, spec=spec), told,
            check="tiers_are_right",
            question="Do requests get the tier of models that people say they need?",
            text="Labelled requests through the rendered gateway in a real LiteLLM proxy, and as "
            "`serve` decides: how often the tier is wrong.",
            kinds={"litellm"}, above=[dg.AssetKey([spec.name, MANIFESTS])],
            metadata={"by": spec.tiers.by},
        )
    ]  # fmt: skip


def tiers_page(outcome: StageOutcome) -> Page:
    """Error rates, and what was taken for what."""
    evidence: Evidence = outcome.facts["evidence"]
    counted = confusions(evidence)
    decided = [*TIERS, *(["none"] if any(b == "none" for _, b in counted) else [])]
    rows = [
        {"labelled": label, **{one: counted.get((label, one), 0) for one in decided}}
        for label in TIERS
    ]
    rates = [
        {"where": name, "wrong": f"{one.estimate:.1%}", "95 %": f"{one.low:.1%} to {one.high:.1%}"}
        for name, one in errors_of(evidence).items()
    ]
    wrong = [
        {"sample": row.sample_id, **row.candidate.details}
        for row in evidence.rows
        if set(row.candidate.scores.values()) != {1.0}
    ]
    return {
        "what_happened": dg.MetadataValue.md(what_happened(outcome)),
        "error_rates": table(rates, ("where", "wrong", "95 %")),
        "labelled_and_decided": table(rows, ("labelled", *decided)),
        "wrong": table(wrong, ("sample", "label", "gateway", "serve")),
        "samples": evidence.samples,
    }
