"""What is live, evaluated again on a schedule: the asset, its check, its job."""

from functools import partial
from typing import Any

import dagster as dg

from platform_pipelines.components.knowledge_base.policy import job_tags, stage_policy
from platform_pipelines.components.shared.assets import stage_asset
from platform_pipelines.components.shared.jobs import asset_job, stopped_schedule
from platform_pipelines.components.shared.pages import table
from platform_pipelines.core.knowledge_base.declaration import KnowledgeBaseSpec
from platform_pipelines.core.road.verdicts import Status
from platform_pipelines.stages.knowledge_base.live_evaluation import LiveEvaluation, evaluate_live
from platform_pipelines.stages.knowledge_base.workspace import Workspace, open_workspace
from platform_pipelines.stages.road.reporting import metric_rows

NAME = "evaluation"
CHECK = "live_is_good"
DESCRIPTION = (
    "What is live, asked the golden questions again: judges, models and questions change while "
    "nothing is released. Compared with what it was when it was released. Each run asks anew."
)


def evaluation_asset(spec: KnowledgeBaseSpec) -> dg.AssetsDefinition:
    """The asset `[name, evaluation]`; its numbers over time are Dagster's plots."""
    key = dg.AssetKey([spec.name, NAME])

    def tell(
        context: dg.AssetExecutionContext, workspace: Workspace, found: LiveEvaluation
    ) -> dg.MaterializeResult:
        del workspace
        if found.rolled_back_to:
            context.log.warning("rolled back to revision %s", found.rolled_back_to)
        return dg.MaterializeResult(metadata=_page(found), check_results=[_check(key, found)])

    check = dg.AssetCheckSpec(
        CHECK, asset=key, description="Does what is live still keep the gate's floors?"
    )
    return stage_asset(
        key.path, evaluate_live, tell,
        policy=stage_policy(spec, "evidence"),
        opened=partial(open_workspace, spec),
        text=DESCRIPTION,
        deps=[dg.AssetKey([spec.name, "release"])],
        kinds={"ragas"}, metadata={"knowledge_base": spec.name}, check_specs=[check],
    )  # fmt: skip


def _page(found: LiveEvaluation) -> dict[str, Any]:
    means = {n: m.mean for n, m in found.evidence.means.items() if m.mean is not None}
    page: dict[str, Any] = {
        "verdict": dg.MetadataValue.md(found.markdown),
        "revision": found.evidence.revision,
        "evidence": found.evidence.digest,
        "questions": found.evidence.samples,
        **{name: dg.MetadataValue.float(mean) for name, mean in means.items()},
        **_drift(found),
    }
    if found.cost:
        page["judging"] = dg.MetadataValue.json(found.cost)
    if found.rolled_back_to:
        page["rolled_back_to"] = found.rolled_back_to
    if found.told:
        rows = [{"who": who, "what came of it": what} for who, what in found.told.items()]
        page["people_told"] = table(rows, ["who", "what came of it"])
    return page


def _drift(found: LiveEvaluation) -> dict[str, Any]:
    """How far each metric is from what it was at the release: Dagster plots it over time."""
    if found.evidence.baseline is None:
        return {}
    return {
        f"{row['metric']}_since_release": dg.MetadataValue.float(row["gain"][0])
        for row in metric_rows(found.evidence)
        if row["gain"]
    }


def _check(key: dg.AssetKey, found: LiveEvaluation) -> dg.AssetCheckResult:
    """Undecided is a warning: something could not be measured."""
    status = found.verdict.status
    reasons = [f"{r.status} {r.code}: {r.message}" for r in found.verdict.reasons]
    return dg.AssetCheckResult(
        asset_key=key,
        check_name=CHECK,
        passed=status is Status.PASS,
        severity=(
            dg.AssetCheckSeverity.ERROR if status is Status.FAIL else dg.AssetCheckSeverity.WARN
        ),
        description="; ".join(reasons) or "all floors are kept",
    )


def build_evaluation_job(spec: KnowledgeBaseSpec) -> Any:
    """`<name>_evaluation`."""
    return asset_job(
        f"{spec.name}_evaluation",
        dg.AssetSelection.assets([spec.name, NAME]),
        description=f"Ask what is live of {spec.name} the golden questions again.",
        tags=job_tags(spec),
    )


def build_evaluation_schedule(spec: KnowledgeBaseSpec, job: Any) -> dg.ScheduleDefinition:
    """`<name>_evaluation_schedule`: the declared times; off until switched on."""
    declared = spec.evaluation
    assert declared is not None
    return stopped_schedule(
        f"{spec.name}_evaluation_schedule",
        job,
        cron=declared.cron,
        timezone=declared.timezone,
        description=f"Evaluate {spec.name}: `{'`, `'.join(declared.cron)}` {declared.timezone}.",
        tags=job_tags(spec),
    )
