"""The assets `[name, trial]` and `[name, canary]`: what a revision does before it is applied."""

from functools import partial
from typing import Any

import dagster as dg

from platform_pipelines.components.shared.applied import policy_of
from platform_pipelines.components.shared.pages import Page, table, what_happened
from platform_pipelines.components.shared.running import run_stage
from platform_pipelines.core.agent.declaration import AgentSpec
from platform_pipelines.core.agent.tasks import PASSED, PASSED_K
from platform_pipelines.core.road.evidence import Evidence, SampleRow
from platform_pipelines.core.road.gate import Status, Verdict
from platform_pipelines.stages.agent.canary import ROLLED_BACK, refresh_canary
from platform_pipelines.stages.agent.trial import CANARY, TRIAL, refresh_trial
from platform_pipelines.stages.road.applied import MANIFESTS
from platform_pipelines.stages.road.clusters import Applied, open_applied
from platform_pipelines.stages.road.outcome import StageOutcome

TIMEOUT_SECONDS = 3600
_COLUMNS = ("task", "right", "pass^k", "live pass^k", "calls", "problems")


def build_trial(applied: Applied, spec: AgentSpec) -> list[dg.AssetsDefinition]:
    """The assets between what was rendered and what is applied; none where none is declared."""
    if spec.trial is None:
        return []
    found = [_trial(applied, spec)]
    if spec.trial.canary is not None:
        found.append(_canary(applied, spec))
    return found


def _trial(applied: Applied, spec: AgentSpec) -> dg.AssetsDefinition:
    key = dg.AssetKey([spec.name, TRIAL])
    check = dg.AssetCheckSpec(
        "tasks_are_done", asset=key, blocking=True,
        description="Does the revision do its tasks, and no worse than the live agent?",
    )  # fmt: skip

    def trial(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        _, outcome = run_stage(
            context, partial(open_applied, applied), lambda w: refresh_trial(w, spec),
            name=spec.name, timeout_seconds=TIMEOUT_SECONDS,
        )  # fmt: skip
        verdict: Verdict = outcome.facts["verdict"]
        return dg.MaterializeResult(
            metadata=trial_page(outcome),
            data_version=dg.DataVersion(outcome.facts["evidence"].digest),
            check_results=[
                dg.AssetCheckResult(
                    check_name=check.name, passed=verdict.status is Status.PASS,
                    description="; ".join(r.message for r in verdict.reasons) or "all are done",
                )
            ],
        )  # fmt: skip

    return dg.asset(
        key=key, deps=[dg.AssetKey([spec.name, MANIFESTS])], check_specs=[check],
        kinds={"python", "langgraph"},
        description="Scripted tasks, done by this revision and by the live agent on this machine: "
        "which tools they called, what they answered, and pass^k.",
        metadata={"component": applied.component},
        **policy_of(applied).asset_arguments(),
    )(trial)  # fmt: skip


def _canary(applied: Applied, spec: AgentSpec) -> dg.AssetsDefinition:
    key = dg.AssetKey([spec.name, CANARY])
    check = dg.AssetCheckSpec(
        "canary_is_well", asset=key, blocking=True,
        description="Did the revision do as well as the live agent on its share of the requests?",
    )  # fmt: skip

    def canary(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        _, outcome = run_stage(
            context, partial(open_applied, applied), lambda w: refresh_canary(w, spec),
            name=spec.name, timeout_seconds=TIMEOUT_SECONDS,
        )  # fmt: skip
        details = outcome.snapshot.details
        return dg.MaterializeResult(
            metadata=canary_page(outcome),
            data_version=dg.DataVersion(outcome.snapshot.digest),
            check_results=[
                dg.AssetCheckResult(
                    check_name=check.name, passed=details["state"] != ROLLED_BACK,
                    description="; ".join(details["problems"]) or str(details["state"]),
                )
            ],
        )  # fmt: skip

    return dg.asset(
        key=key, deps=[dg.AssetKey([spec.name, TRIAL])], check_specs=[check], kinds={"envoy"},
        description="A share of the requests on this revision, the others on the live agent, "
        "behind a gateway by cohorts. When it goes wrong everybody is sent to the live agent.",
        metadata={"component": applied.component},
        **policy_of(applied).asset_arguments(),
    )(canary)  # fmt: skip


def trial_page(outcome: StageOutcome) -> Page:
    """Task by task."""
    evidence: Evidence = outcome.facts["evidence"]
    verdict: Verdict = outcome.facts["verdict"]
    means = evidence.means
    page: Page = {
        "what_happened": dg.MetadataValue.md(what_happened(outcome)),
        "verdict": str(verdict.status),
        "tasks": table([_row(one) for one in evidence.rows], _COLUMNS),
        "pass_1": float(means[PASSED].mean or 0.0),
        "pass_k": float(means[PASSED_K].mean or 0.0),
        "k": int(evidence.conditions["k"]),
    }
    if evidence.baseline is not None:
        page["live_pass_k"] = float(evidence.baseline_means[PASSED_K].mean or 0.0)
    return page


def canary_page(outcome: StageOutcome) -> Page:
    """Side by side."""
    details = outcome.snapshot.details
    rows: list[dict[str, Any]] = [
        {"side": side, **seen} for side, seen in sorted(details["seen"].items())
    ]
    return {
        "what_happened": dg.MetadataValue.md(what_happened(outcome)),
        "state": str(details["state"]),
        "sides": table(rows, ("side", "requests", "errors", "wrong", "seconds")),
        "problems": "; ".join(details["problems"]) or "none",
    }


def _row(row: SampleRow) -> dict[str, Any]:
    details = row.candidate.details
    before = row.baseline.scores[PASSED_K] if row.baseline else None
    return {
        "task": row.sample_id,
        "right": f"{details['right']} of {details['tries']}",
        "pass^k": row.candidate.scores[PASSED_K],
        "live pass^k": "" if before is None else before,
        "calls": " | ".join(",".join(one) for one in details["calls"]),
        "problems": "; ".join(details["problems"]),
    }
