"""The asset of a golden set, its check, its page, its job."""

from functools import partial
from typing import Any

import dagster as dg

from platform_pipelines.components.shared.jobs import asset_job
from platform_pipelines.components.shared.pages import bars_table, table, what_happened
from platform_pipelines.components.shared.policy import AssetPolicy, tags_of
from platform_pipelines.components.shared.running import run_stage
from platform_pipelines.core.knowledge_base.golden_declaration import GoldenSetSpec
from platform_pipelines.stages.knowledge_base.golden_set import open_workspace, refresh_golden_set
from platform_pipelines.stages.road.named_golden import STAGE
from platform_pipelines.stages.road.outcome import StageOutcome

CODE_VERSION = "1"
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
    key, seconds = questions_key(spec.name), spec.timeout_minutes * 60
    policy = AssetPolicy(
        owner=spec.owner,
        group=spec.name,
        pool=f"golden_set_{spec.name}",
        code_version=CODE_VERSION,
        timeout_seconds=seconds,
    )

    def questions(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        opened = partial(open_workspace, spec)
        _, outcome = run_stage(
            context, opened, refresh_golden_set, name=spec.name, timeout_seconds=seconds
        )
        context.log.info("questions: %s", what_happened(outcome).replace("*", ""))
        return dg.MaterializeResult(
            metadata=_page(spec, outcome),
            data_version=dg.DataVersion(outcome.snapshot.digest),
            check_results=[_check(key, outcome)],
        )

    return dg.asset(
        key=key,
        description="\n\n".join(filter(None, (spec.description, DESCRIPTION))),
        kinds={"json"},
        metadata={"url": dg.MetadataValue.url(spec.url)},
        check_specs=[
            dg.AssetCheckSpec(CHECK, asset=key, description="Do the documents still hold it all?")
        ],
        **policy.asset_arguments(),
    )(questions)


def golden_set_job(spec: GoldenSetSpec) -> Any:
    """`<name>_golden_set`."""
    return asset_job(
        f"{spec.name}_golden_set",
        dg.AssetSelection.assets(questions_key(spec.name)),
        description=f"Read the golden questions of {spec.name} again.",
        tags=tags_of("golden_set", spec),
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
