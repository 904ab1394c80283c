"""The five assets of a fine-tuned model: thin Dagster over `stages`, one page for people each."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import dagster as dg

from platform_pipelines.components.fine_tune import pages
from platform_pipelines.components.fine_tune.policy import job_tags, stage_policy
from platform_pipelines.components.shared.assets import stage_asset
from platform_pipelines.components.shared.jobs import asset_job
from platform_pipelines.core.fine_tune.declaration import FineTuneSpec
from platform_pipelines.stages.fine_tune.evidence import refresh_evidence
from platform_pipelines.stages.fine_tune.model import refresh_model
from platform_pipelines.stages.fine_tune.registration import refresh_registration
from platform_pipelines.stages.fine_tune.training_set import refresh_training_set
from platform_pipelines.stages.fine_tune.trials import STAGE as TRIALS
from platform_pipelines.stages.fine_tune.trials import choose_adapter, refresh_trial
from platform_pipelines.stages.fine_tune.workspace import STAGES, Workspace, open_workspace
from platform_pipelines.stages.road.outcome import StageOutcome


@dataclass(frozen=True, slots=True)
class StageDescription:
    """What people read of a stage, and the function that does it."""

    name: str
    description: str
    kinds: frozenset[str]
    run: Callable[..., StageOutcome]


DESCRIPTIONS = (
    StageDescription(
        "training_set",
        "The chats that the model learns from: without duplicates, without what gives a golden "
        "question away, split by each row's own question.",
        frozenset({"python", "json"}),
        refresh_training_set,
    ),
    StageDescription(
        "adapter",
        "The adapter that NeMo Automodel trained. Loss, learning rate, tokens per second and "
        "memory are observed at every step, here and in MLflow; a killed run goes on.",
        frozenset({"pytorch", "nvidia"}),
        choose_adapter,
    ),
    StageDescription(
        "model",
        "The adapter merged into its base: safetensors under the digest of their content.",
        frozenset({"pytorch"}),
        refresh_model,
    ),
    StageDescription(
        "evidence",
        "Candidate and champion, served by vLLM in the same way, asked the golden questions.",
        frozenset({"vllm"}),
        refresh_evidence,
    ),
    StageDescription(
        "registration",
        "The model as a version of the registry, with the alias `candidate`, if its gate passes.",
        frozenset({"mlflow"}),
        refresh_registration,
    ),
)


TRIAL = StageDescription(
    TRIALS,
    "One recipe of the grid, trained as the adapter is. When all are there, the adapter is the one "
    "with the lowest validation loss.",
    frozenset({"pytorch", "nvidia"}),
    refresh_trial,
)
OBSERVED = ("adapter", TRIALS)


def build_assets(spec: FineTuneSpec) -> Sequence[dg.AssetsDefinition]:
    """All assets of a fine-tuned model, each after the one before; a grid's trials between."""
    stages = [*DESCRIPTIONS[:1], *([TRIAL] if spec.grid else []), *DESCRIPTIONS[1:]]
    above = [None, *(stage.name for stage in stages)]
    pairs = zip(stages, above, strict=False)
    return [_build(spec, stage, before) for stage, before in pairs]


def build_jobs(spec: FineTuneSpec) -> list[Any]:
    """`<name>_fine_tune`, and with a grid `<name>_trials`, one run a combination."""
    if spec.grid is None:
        return [build_job(spec)]
    trials = asset_job(
        f"{spec.name}_trials",
        dg.AssetSelection.assets([spec.name, TRIALS]),
        description=f"Train one recipe of the grid of {spec.name}; launch all as a backfill.",
        tags=job_tags(spec),
    )
    return [build_job(spec), trials]


def build_job(spec: FineTuneSpec) -> Any:
    """`<name>_fine_tune`: all assets, in this order, in one process."""
    return asset_job(
        f"{spec.name}_fine_tune",
        dg.AssetSelection.assets(*([spec.name, stage] for stage in STAGES)),
        description=f"Train {spec.name}, evaluate it, and register it if the gate passes.",
        tags=job_tags(spec),
    )


def _build(spec: FineTuneSpec, stage: StageDescription, above: str | None) -> dg.AssetsDefinition:
    key = dg.AssetKey([spec.name, stage.name])
    gate = dg.AssetCheckSpec("gate", asset=key, description="Does the gate pass?", blocking=True)

    def options(context: dg.AssetExecutionContext) -> Mapping[str, Any]:
        return _options(context, key, stage)

    def tell(
        context: dg.AssetExecutionContext, workspace: Workspace, outcome: StageOutcome
    ) -> dg.MaterializeResult:
        del context
        return dg.MaterializeResult(
            metadata=pages.metadata(workspace, stage.name, outcome),
            data_version=dg.DataVersion(outcome.snapshot.digest),
            check_results=_checks(key, outcome) if stage.name == "evidence" else [],
        )

    partitions = dg.StaticPartitionsDefinition(list(spec.trials)) if stage is TRIAL else None
    return stage_asset(
        key.path, stage.run, tell,
        policy=stage_policy(spec, stage.name),
        opened=partial(open_workspace, spec),
        options=options,
        text=stage.description,
        deps=[dg.AssetKey([spec.name, above])] if above else [],
        kinds=set(stage.kinds), metadata={"base": spec.base}, partitions_def=partitions,
        check_specs=[gate] if stage.name == "evidence" else [],
    )  # fmt: skip


def _options(
    context: dg.AssetExecutionContext, key: dg.AssetKey, stage: StageDescription
) -> Mapping[str, Any]:
    """A training says where it is at every step; a trial is one of the grid."""
    if stage.name not in OBSERVED:
        return {}
    partition = context.partition_key if stage is TRIAL else None

    def observe(event: Mapping[str, Any]) -> None:
        if event["event"] == "step":
            page = pages.step_observation(event)
            context.log_event(dg.AssetObservation(key, metadata=page, partition=partition))

    return {"on_event": observe} if partition is None else {"on_event": observe, "name": partition}


def _checks(key: dg.AssetKey, outcome: StageOutcome) -> list[dg.AssetCheckResult]:
    details = outcome.snapshot.details
    reasons = "\n".join(details["reasons"]) or "every rule holds"
    return [
        dg.AssetCheckResult(
            check_name="gate",
            asset_key=key,
            passed=details["verdict"] == "pass",
            description=f"{details['verdict']}: {reasons}",
            metadata={"verdict": details["verdict"], "reasons": reasons},
        )
    ]
