"""`registration`: a model whose evidence passes becomes a version of the registry, and `candidate`.

Its tags name data, base, recipe, code, run and evidence. Who becomes `champion` is the rollout's
matter; the release log says it and MLflow shows it.
"""

from dataclasses import replace

from platform_pipelines.core.road.releases import Candidate
from platform_pipelines.core.road.snapshot import ShardRecord, Snapshot
from platform_pipelines.gateways.model_registry import BASE, CANDIDATE, CHAMPION, ModelRegistry
from platform_pipelines.stages.fine_tune import evidence as judging
from platform_pipelines.stages.fine_tune.adapter import STAGE as ADAPTER
from platform_pipelines.stages.fine_tune.exams import exam_of
from platform_pipelines.stages.fine_tune.model import base_model, made_model
from platform_pipelines.stages.fine_tune.training_set import STAGE as TRAINING_SET
from platform_pipelines.stages.fine_tune.workspace import Workspace
from platform_pipelines.stages.road import models
from platform_pipelines.stages.road.evidence import read_evidence
from platform_pipelines.stages.road.outcome import StageOutcome
from platform_pipelines.stages.road.release import Judged, require_pass
from platform_pipelines.stages.road.signatures import require_signature

STAGE = "registration"


def refresh_registration(workspace: Workspace) -> StageOutcome:
    """Register the model, after reading its evidence again.

    Raises:
        GateFailedError: the gate answers `fail` or `undecided`; nothing is registered.
    """
    previous, version = workspace.head(STAGE)
    candidate = made_model(workspace)
    digest = _passed(workspace)
    live = models.live_release(workspace.tools, workspace.name)
    with workspace.tools.registry() as registry:
        base = base_model(workspace)
        tags = {"platform.role": "base"}
        base_version = registry.ensure_version(workspace.name, base.digest, base.url, None, tags)
        registry.set_alias(workspace.name, BASE, base_version)
        if live is None:
            registry.set_alias(workspace.name, CHAMPION, base_version)
        number = registry.ensure_version(
            workspace.name, candidate.digest, candidate.url, _run(workspace, registry),
            _lineage(workspace, digest),
        )  # fmt: skip
        if live is None or live.target != candidate.digest:
            registry.set_alias(workspace.name, CANDIDATE, number)
        aliases = registry.aliases(workspace.name)
    snapshot = Snapshot(
        stage=STAGE,
        settings=digest,
        shards=(ShardRecord(0, digest, candidate.digest, candidate.url, 1),),
        counts={"version": number},
        details={"evidence": digest, "aliases": aliases, "model": candidate.record()},
    )
    if previous and previous.record_digest == snapshot.record_digest:
        return StageOutcome.unchanged(previous)
    with workspace.writing(STAGE, version) as writing:
        writing.move_head(snapshot, version)
    return StageOutcome.changed(snapshot, previous, {"version": number})


def follow_the_log(workspace: Workspace) -> str | None:
    """Put an alias `champion` right that the release log does not know; what it named, or None."""
    log = replace(workspace, store=workspace.tools.log_store(workspace.name))
    with workspace.tools.registry() as registry:
        return models.put_champion_right(log, registry)


def _passed(workspace: Workspace) -> str:
    """The digest of the evidence that lets this model pass now."""
    head = workspace.require_head(judging.STAGE)
    model = made_model(workspace)
    about = judging.expected(workspace, model, judging.live_model(workspace), exam_of(workspace))
    evidence = read_evidence(workspace.store, head.details["evidence"])
    verdict = judging.judge(workspace, evidence, about)
    candidate = Candidate(workspace.name, model.digest, model.digest, "")
    digest, _ = require_pass(Judged(verdict, evidence.digest if evidence else None), candidate)
    require_signature(workspace.settings, workspace.store, digest)
    return digest


def _run(workspace: Workspace, registry: ModelRegistry) -> str:
    digest = workspace.require_head(ADAPTER).settings
    name = workspace.name
    return registry.open_run(name, digest, f"{name} {digest[:8]}", {})


def _lineage(workspace: Workspace, evidence: str) -> dict[str, str]:
    adapter = workspace.require_head(ADAPTER)
    return {
        "platform.role": "fine-tuned",
        "platform.training_set": str(workspace.require_head(TRAINING_SET).details["digest"]),
        "platform.training_run": adapter.settings,
        "platform.adapter": str(adapter.details["adapter"]),
        "platform.base": base_model(workspace).digest,
        "platform.evidence": evidence,
        "platform.dagster_run": workspace.run_id,
    }
