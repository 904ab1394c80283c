"""The asset of a golden set, its check, its page, its job."""

from functools import partial
from typing import Any

import dagster as dg

from platform_pipelines.components.shared.assets import stage_asset
from platform_pipelines.components.shared.jobs import asset_job
from platform_pipelines.components.shared.pages import bars_table, table, what_happened
from platform_pipelines.components.shared.policy import tags_of, timed_policy
from platform_pipelines.core.knowledge_base.golden_declaration import GoldenSetSpec
from platform_pipelines.stages.knowledge_base.golden_set import (
    VERSION,
    Workspace,
    open_workspace,
    refresh_golden_set,
)
from platform_pipelines.stages.road.named_golden import STAGE
from platform_pipelines.stages.road.outcome import StageOutcome

FOLDER = "golden_set"
CHECK = "references_stand"
DESCRIPTION = (
    "The golden questions: read from their files, checked line by line, versioned by the digest of "
    "their content. What no document holds any more is listed here."
)


def questions_key(name: str) -> dg.AssetKey:
    """The key of a golden set's asset."""
    return dg.AssetKey([name, STAGE])


def golden_set_asset(spec: GoldenSetSpec) -> dg.AssetsDefinition:
    """The asset `[name, questions]`."""
    key = questions_key(spec.name)

    def tell(
        context: dg.AssetExecutionContext, workspace: Workspace, outcome: StageOutcome
    ) -> dg.MaterializeResult:
        del workspace
        context.log.info("questions: %s", what_happened(outcome).replace("*", ""))
        return dg.MaterializeResult(
            metadata=_page(spec, outcome),
            data_version=dg.DataVersion(outcome.snapshot.digest),
            check_results=[_check(key, outcome)],
        )

    check = dg.AssetCheckSpec(CHECK, asset=key, description="Do the documents still hold it all?")
    return stage_asset(
        key.path, refresh_golden_set, tell,
        policy=timed_policy(FOLDER, spec, code_version=VERSION),
        opened=partial(open_workspace, spec),
        text=DESCRIPTION,
        kinds={"json"}, check_specs=[check], metadata={"url": dg.MetadataValue.url(spec.url)},
    )  # fmt: skip


def golden_set_job(spec: GoldenSetSpec) -> Any:
    """`<name>_golden_set`."""
    return asset_job(
        f"{spec.name}_golden_set",
        dg.AssetSelection.assets(questions_key(spec.name)),
        description=f"Read the golden questions of {spec.name} again.",
        tags=tags_of(FOLDER, spec),
    )


def _page(spec: GoldenSetSpec, outcome: StageOutcome) -> dict[str, Any]:
    snapshot = outcome.snapshot
    details, stale = snapshot.details, snapshot.details["stale"]
    page: dict[str, Any] = {
        "what happened": dg.MetadataValue.md(what_happened(outcome)),
        "version": details["digest"],
        "questions": snapshot.counts["questions"],
        "kinds": bars_table(snapshot.counts),
        "languages": bars_table(details["languages"]),
        "use it": dg.MetadataValue.md(f"`gate: {{golden_set: golden_set:{spec.name}}}`"),
    }
    if stale:
        page["stale references"] = table(stale, ["question", "document", "quote", "why"])
    return page


def _check(key: dg.AssetKey, outcome: StageOutcome) -> dg.AssetCheckResult:
    """A warning: the questions are still asked, and their references count as not found."""
    details, counts = outcome.snapshot.details, outcome.snapshot.counts
    told = (
        f"{counts['stale']} references are stale" if counts["stale"] else "every reference stands"
    )
    return dg.AssetCheckResult(
        asset_key=key,
        check_name=CHECK,
        passed=not counts["stale"],
        severity=dg.AssetCheckSeverity.WARN,
        description=told if details["looked_up"] else "not looked up: no knowledge base has chunks",
        metadata={"stale": counts["stale"], "looked up": details["looked_up"]},
    )
