"""Assets, checks, jobs and schedule of every component whose revision is a set of manifests.

`[name, manifests]` is what was rendered and what it would change; `[name, applied]` what a cluster
holds of it. Drift is a check of its own, so that looking for it changes nothing.
"""

from collections.abc import Sequence
from functools import partial

import dagster as dg

from platform_pipelines.components.shared import applied_pages as pages
from platform_pipelines.components.shared.jobs import (
    asset_job,
    build_rollback_job,
    stopped_schedule,
)
from platform_pipelines.components.shared.policy import RETRIES, AssetPolicy, as_failure, run_tags
from platform_pipelines.components.shared.resource import PLATFORM, settings_of
from platform_pipelines.components.shared.running import run_stage
from platform_pipelines.errors import PlatformError
from platform_pipelines.stages.road.applied import (
    APPLIED,
    MANIFESTS,
    find_drift,
    refresh_applied,
    refresh_manifests,
    roll_back_applied,
)
from platform_pipelines.stages.road.clusters import Applied, open_applied

TIMEOUT_SECONDS = 900
CODE_VERSION = "1"
DRIFT = "no_drift"
ERROR, WARN = dg.AssetCheckSeverity.ERROR, dg.AssetCheckSeverity.WARN


class ApplyConfig(dg.Config):
    """What a person may decide about one application."""

    allow_rolled_back: bool = False  # apply again what was rolled back from


def policy_of(applied: Applied) -> AssetPolicy:
    """One slot a component: its runs never overlap."""
    return AssetPolicy(
        owner=applied.spec.owner,
        group=applied.spec.name,
        pool=f"{applied.component}_{applied.spec.name}",
        code_version=CODE_VERSION,
        timeout_seconds=TIMEOUT_SECONDS,
    )


def tags_of(applied: Applied) -> dict[str, str]:
    """Of every job of the component."""
    return run_tags(applied.component, applied.spec.name, timeout_seconds=TIMEOUT_SECONDS)


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
    assets = [_manifests(applied, above), *between, _applied(applied, between)]
    check = _drift_check(applied)
    apply_job = asset_job(
        f"{name}_apply",
        dg.AssetSelection.assets(*(key for asset in assets for key in asset.keys))
        - dg.AssetSelection.checks(check),
        description=f"Render {name}, check it, and bring the cluster to it.",
        tags=tags_of(applied),
    )
    drift_job = asset_job(
        f"{name}_drift",
        dg.AssetSelection.checks(check),
        description=f"Compare what is live with what was applied of {name}; changes nothing.",
        tags=tags_of(applied),
    )
    schedule = stopped_schedule(
        f"{name}_drift_schedule",
        drift_job,
        cron=applied.spec.apply.drift_cron,
        timezone=applied.spec.apply.timezone,
        description=f"Look for drift of {name}.",
    )
    return dg.Definitions(
        assets=assets,
        asset_checks=[check],
        jobs=[apply_job, drift_job, _rollback_job(applied)],
        schedules=[schedule],
    )


def _manifests(applied: Applied, above: Sequence[dg.AssetKey]) -> dg.AssetsDefinition:
    key = dg.AssetKey([applied.spec.name, MANIFESTS])
    rules = dg.AssetCheckSpec(
        "rules_hold", asset=key, blocking=True,
        description="Does every rendered object keep the rules, on APIs that exist?",
    )  # fmt: skip

    def manifests(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        opened = partial(open_applied, applied)
        _, outcome = run_stage(
            context, opened, refresh_manifests,
            name=applied.spec.name, timeout_seconds=TIMEOUT_SECONDS,
        )  # fmt: skip
        broken = outcome.facts["violations"]
        return dg.MaterializeResult(
            metadata=pages.manifests_page(outcome),
            data_version=dg.DataVersion(outcome.snapshot.details["revision"]),
            check_results=[
                dg.AssetCheckResult(
                    check_name=rules.name, passed=not broken,
                    description="; ".join(f"{v.key} {v.field}: {v.message}" for v in broken)
                    or "every rule holds",
                )
            ],
        )  # fmt: skip

    return dg.asset(
        key=key, deps=above, check_specs=[rules], kinds={"yaml", "kubernetes"},
        description=_described(applied, "What was rendered of the declaration, as one revision, "
                               "and what it changes against what is live."),
        metadata={"component": applied.component},
        **policy_of(applied).asset_arguments(),
    )(manifests)  # fmt: skip


def _applied(applied: Applied, between: Sequence[dg.AssetsDefinition]) -> dg.AssetsDefinition:
    name = applied.spec.name
    key = dg.AssetKey([name, APPLIED])
    admitted = dg.AssetCheckSpec(
        "admitted", asset=key, description="Does the API server admit every object, strictly?"
    )

    def applied_asset(
        context: dg.AssetExecutionContext, config: ApplyConfig
    ) -> dg.MaterializeResult:
        workspace, outcome = run_stage(
            context, partial(open_applied, applied),
            lambda w: refresh_applied(w, allow_rolled_back=config.allow_rolled_back),
            name=name, timeout_seconds=TIMEOUT_SECONDS,
        )  # fmt: skip
        details = outcome.snapshot.details
        is_asked = details["mode"] != "render"
        context.log.info("%s: revision %s: %s", name, details["revision"][:8], details["status"])
        return dg.MaterializeResult(
            metadata=pages.applied_page(workspace, outcome),
            data_version=dg.DataVersion(details["revision"]),
            check_results=[
                dg.AssetCheckResult(
                    check_name=admitted.name, passed=details["verdict"] == "pass" and is_asked,
                    severity=ERROR if is_asked else WARN,
                    description="\n".join(details["reasons"])
                    or ("every object is admitted" if is_asked else details["status"]),
                )
            ],
        )  # fmt: skip

    above = [dg.AssetKey([name, MANIFESTS]), *(key for asset in between for key in asset.keys)]
    return dg.asset(
        key=key, deps=above, check_specs=[admitted], kinds={"kubernetes"},
        description=_described(applied, f"What the cluster holds of it. {name}_rollback brings "
                               f"an earlier revision back."),
        metadata={"component": applied.component},
        **policy_of(applied).asset_arguments(),
    )(applied_asset)  # fmt: skip


def _drift_check(applied: Applied) -> dg.AssetChecksDefinition:
    key = dg.AssetKey([applied.spec.name, APPLIED])

    @dg.asset_check(
        name=DRIFT, asset=key, pool=policy_of(applied).pool, retry_policy=RETRIES,
        required_resource_keys={PLATFORM},
        description="Is what is live what was applied, field by field?",
    )  # fmt: skip
    def no_drift(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
        try:
            workspace = open_applied(applied, settings_of(context), timeout_seconds=TIMEOUT_SECONDS)
            found = find_drift(workspace)
        except PlatformError as error:
            raise as_failure(error) from error
        return dg.AssetCheckResult(
            passed=not found,
            severity=WARN,
            description=pages.drift_sentence(found),
            metadata=pages.drift_page(found),
        )

    return no_drift


def _rollback_job(applied: Applied) -> dg.JobDefinition:
    name = applied.spec.name
    return build_rollback_job(
        name,
        partial(open_applied, applied),
        lambda w, to, why: roll_back_applied(w, to_revision=to, reason=why),
        description=f"Bring the cluster back to an earlier revision of {name}.",
        pool=policy_of(applied).pool,
        tags=tags_of(applied),
        timeout_seconds=TIMEOUT_SECONDS,
    )


def _described(applied: Applied, text: str) -> str:
    said = applied.spec.description
    return f"{said}\n\n{text}" if said else text
