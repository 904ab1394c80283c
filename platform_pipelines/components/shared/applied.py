"""Assets, checks, jobs and schedule of every component whose revision is a set of manifests.

`[name, manifests]` is what was rendered and what it would change; `[name, applied]` what a cluster
holds of it. Drift is a check of its own, so that looking for it changes nothing.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import dagster as dg

from platform_pipelines.components.shared import applied_pages as pages
from platform_pipelines.components.shared import policy
from platform_pipelines.components.shared.assets import stage_asset
from platform_pipelines.components.shared.jobs import (
    asset_job,
    build_rollback_job,
    stopped_schedule,
)
from platform_pipelines.components.shared.pages import Page
from platform_pipelines.components.shared.policy import AssetPolicy, run_tags
from platform_pipelines.components.shared.running import run_stage
from platform_pipelines.stages.road.applied import (
    APPLIED,
    MANIFESTS,
    VERSION,
    AppliedWorkspace,
    find_drift,
    refresh_applied,
    refresh_manifests,
    roll_back_applied,
)
from platform_pipelines.stages.road.clusters import Applied, open_applied
from platform_pipelines.stages.road.outcome import StageOutcome

TIMEOUT_SECONDS = 900
RULES, ADMITTED, DRIFT = "rules_hold", "admitted", "no_drift"
ERROR, WARN = dg.AssetCheckSeverity.ERROR, dg.AssetCheckSeverity.WARN


class ApplyConfig(dg.Config):
    """What a person may decide about one application."""

    allow_rolled_back: bool = False  # apply again what was rolled back from


def policy_of(applied: Applied) -> AssetPolicy:
    """One slot a component: its runs never overlap."""
    return policy.policy_of(
        applied.component, applied.spec, code_version=VERSION, seconds=TIMEOUT_SECONDS
    )


def applied_asset(
    applied: Applied,
    noun: str,
    *arguments: Any,
    above: Sequence[dg.AssetKey] = (),
    metadata: dict[str, Any] | None = None,
    **named: Any,
) -> dg.AssetsDefinition:
    """An asset of the component, as `stage_asset` makes it."""
    return stage_asset(
        [applied.spec.name, noun],
        *arguments,
        policy=policy_of(applied),
        opened=partial(open_applied, applied),
        deps=above,
        metadata={"component": applied.component, **(metadata or {})},
        **named,
    )


@dataclass(frozen=True, slots=True)
class Told:
    """What a person reads of such an asset, and how its check went."""

    page: Page
    text: str  # what is wrong, or that nothing is
    is_well: bool
    digest: str = ""  # its data version; the snapshot's by default


def checked_asset(
    applied: Applied,
    noun: str,
    work: Callable[..., StageOutcome],
    told: Callable[[StageOutcome], Told],
    *,
    check: str,
    question: str,
    **named: Any,
) -> dg.AssetsDefinition:
    """An asset between rendering and applying; while its check fails nothing is applied."""
    key = dg.AssetKey([applied.spec.name, noun])
    spec = dg.AssetCheckSpec(check, asset=key, blocking=True, description=question)

    def tell(
        context: dg.AssetExecutionContext, workspace: AppliedWorkspace, outcome: StageOutcome
    ) -> dg.MaterializeResult:
        del context, workspace
        one = told(outcome)
        result = dg.AssetCheckResult(check_name=check, passed=one.is_well, description=one.text)
        return dg.MaterializeResult(
            metadata=one.page,
            data_version=dg.DataVersion(one.digest or outcome.snapshot.digest),
            check_results=[result],
        )

    return applied_asset(applied, noun, work, tell, check_specs=[spec], **named)


def build_applied(
    applied: Applied,
    *,
    between: Sequence[dg.AssetsDefinition] = (),
    above: Sequence[dg.AssetKey] = (),
) -> dg.Definitions:
    """All definitions of the component.

    `between` are assets that applying waits for; `above` those of other components that this one
    names, so that the lineage shows them.
    """
    name = applied.spec.name
    tags = run_tags(applied.component, name, timeout_seconds=TIMEOUT_SECONDS)
    assets = [_manifests(applied, above), *between, _applied(applied, between)]
    check = _drift_check(applied)
    apply_job = asset_job(
        f"{name}_apply",
        dg.AssetSelection.assets(*(key for asset in assets for key in asset.keys))
        - dg.AssetSelection.checks(check),
        description=f"Render {name}, check it, and bring the cluster to it.",
        tags=tags,
    )
    drift_job = asset_job(
        f"{name}_drift",
        dg.AssetSelection.checks(check),
        description=f"Compare what is live with what was applied of {name}; changes nothing.",
        tags=tags,
    )
    schedule = stopped_schedule(
        f"{name}_drift_schedule",
        drift_job,
        cron=applied.spec.apply.drift_cron,
        timezone=applied.spec.apply.timezone,
        description=f"Look for drift of {name}.",
    )
    rollback_job = build_rollback_job(
        name,
        partial(open_applied, applied),
        lambda w, to, why: roll_back_applied(w, to_revision=to, reason=why),
        description=f"Bring the cluster back to an earlier revision of {name}.",
        pool=policy_of(applied).pool,
        tags=tags,
        timeout_seconds=TIMEOUT_SECONDS,
    )
    return dg.Definitions(
        assets=assets,
        asset_checks=[check],
        jobs=[apply_job, drift_job, rollback_job],
        schedules=[schedule],
    )


def _manifests(applied: Applied, above: Sequence[dg.AssetKey]) -> dg.AssetsDefinition:
    key = dg.AssetKey([applied.spec.name, MANIFESTS])
    rules = dg.AssetCheckSpec(
        RULES, asset=key, blocking=True,
        description="Does every rendered object keep the rules, on APIs that exist?",
    )  # fmt: skip

    def tell(
        context: dg.AssetExecutionContext, workspace: AppliedWorkspace, outcome: StageOutcome
    ) -> dg.MaterializeResult:
        del context, workspace
        broken = outcome.facts["violations"]
        told = "; ".join(f"{v.key} {v.field}: {v.message}" for v in broken)
        check = dg.AssetCheckResult(
            check_name=RULES, passed=not broken, description=told or "every rule holds"
        )
        return dg.MaterializeResult(
            metadata=pages.manifests_page(outcome),
            data_version=dg.DataVersion(outcome.snapshot.details["revision"]),
            check_results=[check],
        )

    return applied_asset(
        applied, MANIFESTS, refresh_manifests, tell,
        text="What was rendered of the declaration, as one revision, and what it changes against "
        "what is live.",
        kinds={"yaml", "kubernetes"}, check_specs=[rules], above=above,
    )  # fmt: skip


def _applied(applied: Applied, between: Sequence[dg.AssetsDefinition]) -> dg.AssetsDefinition:
    name = applied.spec.name
    admitted = dg.AssetCheckSpec(
        ADMITTED,
        asset=dg.AssetKey([name, APPLIED]),
        description="Does the API server admit every object, strictly?",
    )

    def tell(
        context: dg.AssetExecutionContext, workspace: AppliedWorkspace, outcome: StageOutcome
    ) -> dg.MaterializeResult:
        details = outcome.snapshot.details
        is_asked = details["mode"] != "render"
        context.log.info("%s: revision %s: %s", name, details["revision"][:8], details["status"])
        check = dg.AssetCheckResult(
            check_name=ADMITTED,
            passed=details["verdict"] == "pass" and is_asked,
            severity=ERROR if is_asked else WARN,
            description="\n".join(details["reasons"])
            or ("every object is admitted" if is_asked else details["status"]),
        )
        return dg.MaterializeResult(
            metadata=pages.applied_page(workspace, outcome),
            data_version=dg.DataVersion(details["revision"]),
            check_results=[check],
        )

    return applied_asset(
        applied, APPLIED, refresh_applied, tell,
        text=f"What the cluster holds of it. {name}_rollback brings an earlier revision back.",
        kinds={"kubernetes"}, check_specs=[admitted], config=ApplyConfig,
        above=[dg.AssetKey([name, MANIFESTS]), *(key for asset in between for key in asset.keys)],
    )  # fmt: skip


def _drift_check(applied: Applied) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        name=DRIFT, asset=dg.AssetKey([applied.spec.name, APPLIED]),
        description="Is what is live what was applied, field by field?",
        **policy_of(applied).step_arguments(),
    )  # fmt: skip
    def no_drift(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
        opened = partial(open_applied, applied)
        _, found = run_stage(context, opened, find_drift, name=applied.spec.name)
        return dg.AssetCheckResult(
            passed=not found,
            severity=WARN,
            description=pages.drift_sentence(found),
            metadata=pages.drift_page(found),
        )

    return no_drift
