"""The five assets of a fine-tuned model: thin Dagster over `stages`, one page for people each."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import dagster as dg

from platform_pipelines.components.fine_tune import pages
from platform_pipelines.components.fine_tune.policy import job_tags, stage_policy
from platform_pipelines.components.shared.assets import stage_asset
from platform_pipelines.components.shared.jobs import asset_job, job_of
from platform_pipelines.components.shared.running import run_stage
from platform_pipelines.core.fine_tune.declaration import FineTuneSpec
from platform_pipelines.stages.fine_tune.endpoint import refresh_endpoint, stop_endpoint
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
ENDPOINT = StageDescription(
    "endpoint",
    "The registered embedder, served by vLLM; the page has what a knowledge base declares to ask "
    "it, and no other one.",
    frozenset({"vllm"}),
    refresh_endpoint,
)
OBSERVED = ("adapter", TRIALS)
OF_EMBEDDERS = {
    "training_set": "The questions and passages that the embedder learns from, each with passages "
    "that do not answer: without what gives a golden question away, split by the passage.",
    "evidence": "Candidate and champion, served by vLLM in the same way: where each held-out "
    "question's own passage stands among all.",
}
STOP_SECONDS = 600


def build_assets(spec: FineTuneSpec) -> Sequence[dg.AssetsDefinition]:
    """All assets of a fine-tuned model, each after the one before; a grid's trials between."""
    stages = [*DESCRIPTIONS[:1], *([TRIAL] if spec.grid else []), *DESCRIPTIONS[1:]]
    stages += [ENDPOINT] if spec.endpoint_port else []
    above = [None, *(stage.name for stage in stages)]
    pairs = zip(stages, above, strict=False)
    return [_build(spec, stage, before) for stage, before in pairs]


def build_jobs(spec: FineTuneSpec) -> list[Any]:
    """`<name>_fine_tune`; with a grid `<name>_trials`, with an endpoint `<name>_stop`."""
    jobs: list[Any] = [build_job(spec)]
    if spec.grid is not None:
        jobs.append(_build_trials_job(spec))
    if spec.endpoint_port is not None:
        jobs.append(_build_stop_job(spec))
    return jobs


def _build_trials_job(spec: FineTuneSpec) -> Any:
    """One run a combination."""
    return asset_job(
        f"{spec.name}_trials",
        dg.AssetSelection.assets([spec.name, TRIALS]),
        description=f"Train one recipe of the grid of {spec.name}; launch all as a backfill.",
        tags=job_tags(spec),
    )


def _build_stop_job(spec: FineTuneSpec) -> dg.JobDefinition:
    """The embedder is not served any more."""

    def stop_op(context: dg.OpExecutionContext) -> None:
        run_stage(context, partial(open_workspace, spec), stop_endpoint, name=spec.name)

    policy = stage_policy(spec, ENDPOINT.name)
    return job_of(
        stop_op,
        name=f"{spec.name}_stop",
        op_name=f"{spec.name}_stop_serving",
        description=f"End what serves {spec.name} on this machine.",
        pool=policy.pool,
        tags=job_tags(spec),
        timeout_seconds=STOP_SECONDS,
    )


def build_job(spec: FineTuneSpec) -> Any:
    """`<name>_fine_tune`: all assets, in this order, in one process."""
    stages = [*STAGES, *([ENDPOINT.name] if spec.endpoint_port else [])]
    return asset_job(
        f"{spec.name}_fine_tune",
        dg.AssetSelection.assets(*([spec.name, stage] for stage in stages)),
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
        text=OF_EMBEDDERS.get(stage.name, stage.description) if spec.is_embedder
        else stage.description,
        deps=_deps(spec, above),
        kinds=set(stage.kinds), metadata={"base": spec.base}, partitions_def=partitions,
        check_specs=[gate] if stage.name == "evidence" else [],
    )  # fmt: skip


def _deps(spec: FineTuneSpec, above: str | None) -> list[dg.AssetKey]:
    """The stage before; of the first, the knowledge bases that are learnt from."""
    if above:
        return [dg.AssetKey([spec.name, above])]
    return [dg.AssetKey([name, "chunks"]) for name in spec.data.knowledge_bases]


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
