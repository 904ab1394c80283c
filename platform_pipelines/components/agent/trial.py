"""The assets `[name, trial]` and `[name, canary]`: what a revision does before it is applied."""

from functools import partial
from typing import Any

import dagster as dg

from platform_pipelines.components.shared.applied import Told, checked_asset
from platform_pipelines.components.shared.pages import Page, table, what_happened
from platform_pipelines.core.agent.declaration import AgentSpec
from platform_pipelines.core.agent.tasks import PASSED, PASSED_K
from platform_pipelines.core.road.evidence import Evidence, SampleRow
from platform_pipelines.core.road.verdicts import Status, Verdict
from platform_pipelines.stages.agent.canary import ROLLED_BACK, refresh_canary
from platform_pipelines.stages.agent.trial import CANARY, TRIAL, refresh_trial
from platform_pipelines.stages.road.applied import MANIFESTS
from platform_pipelines.stages.road.clusters import Applied
from platform_pipelines.stages.road.outcome import StageOutcome

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
    def told(outcome: StageOutcome) -> Told:
        verdict: Verdict = outcome.facts["verdict"]
        text = "; ".join(r.message for r in verdict.reasons) or "all are done"
        is_well = verdict.status is Status.PASS
        return Told(trial_page(outcome), text, is_well, outcome.facts["evidence"].digest)

    return checked_asset(
        applied, TRIAL, partial(refresh_trial, spec=spec), told,
        check="tasks_are_done",
        question="Does the revision do its tasks, and no worse than the live agent?",
        text="Scripted tasks, done by this revision and by the live agent on this machine: which "
        "tools they called, what they answered, and pass^k.",
        kinds={"python", "langgraph"}, above=[dg.AssetKey([spec.name, MANIFESTS])],
    )  # fmt: skip


def _canary(applied: Applied, spec: AgentSpec) -> dg.AssetsDefinition:
    def told(outcome: StageOutcome) -> Told:
        details = outcome.snapshot.details
        text = "; ".join(details["problems"]) or str(details["state"])
        return Told(canary_page(outcome), text, details["state"] != ROLLED_BACK)

    return checked_asset(
        applied, CANARY, partial(refresh_canary, spec=spec), told,
        check="canary_is_well",
        question="Did the revision do as well as the live agent on its share of the requests?",
        text="A share of the requests on this revision, the others on the live agent, behind a "
        "gateway by cohorts. When it goes wrong everybody is sent to the live agent.",
        kinds={"envoy"}, above=[dg.AssetKey([spec.name, TRIAL])],
    )  # fmt: skip


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
