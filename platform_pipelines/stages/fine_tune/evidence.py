"""`evidence`: candidate and champion, served by vLLM the same way, asked the same questions.

What is asked is an `Exam`: golden questions, or of an embedder the held-out side of its own data.
"""

from dataclasses import asdict

from platform_pipelines.core.fine_tune.retrieval import RECIPROCAL_RANK
from platform_pipelines.core.road.evidence import Evidence, make_evidence
from platform_pipelines.core.road.gate import decide
from platform_pipelines.core.road.identity import digest_json
from platform_pipelines.core.road.model_questions import ANSWER_F1
from platform_pipelines.core.road.served_model import ModelRef, model_ref
from platform_pipelines.core.road.snapshot import ShardRecord, Snapshot
from platform_pipelines.core.road.verdicts import Expected, GatePolicy, Verdict
from platform_pipelines.stages.fine_tune.exams import (
    EVALUATION_VERSION,
    Exam,
    answers_of,
    exam_of,
)
from platform_pipelines.stages.fine_tune.model import STAGE as MODEL
from platform_pipelines.stages.fine_tune.model import base_model, made_model
from platform_pipelines.stages.fine_tune.workspace import Workspace
from platform_pipelines.stages.road import models
from platform_pipelines.stages.road.evidence import read_evidence, write_evidence
from platform_pipelines.stages.road.outcome import StageOutcome

STAGE = "evidence"


def refresh_evidence(workspace: Workspace) -> StageOutcome:
    """Evaluate, unless this model was evaluated against this champion on these questions."""
    previous, version = workspace.head(STAGE)
    exam = exam_of(workspace)
    candidate, baseline = made_model(workspace), live_model(workspace)
    about = expected(workspace, candidate, baseline, exam)
    settings = digest_json({**asdict(about), "version": EVALUATION_VERSION})
    standing = previous and read_evidence(workspace.store, previous.details["evidence"])
    if previous and standing and previous.settings == settings:
        verdict = judge(workspace, standing, about)
        return StageOutcome.unchanged(_snapshot(workspace, settings, standing, verdict))
    with workspace.writing(STAGE, version) as writing:
        asked = {
            side: answers_of(writing, model, exam)
            for side, model in (("candidate", candidate), ("baseline", baseline))
        }
        evidence = make_evidence(
            Evidence(
                component=about.component,
                revision=about.revision,
                baseline=about.baseline,
                golden_digest=exam.digest,
                conditions=about.conditions,
                metrics=exam.metrics,
                samples=exam.samples,
                rows=exam.rows(asked["candidate"], asked["baseline"]),
                facts={"model": candidate.record(), "champion": baseline.record()},
            )
        )
        write_evidence(workspace.settings, writing.store, evidence)
        verdict = judge(writing, evidence, about)
        snapshot = _snapshot(writing, settings, evidence, verdict)
        writing.move_head(snapshot, version)
    return StageOutcome.changed(snapshot, previous, {"questions": len(evidence.rows)})


def live_model(workspace: Workspace) -> ModelRef:
    """What the candidate is compared with: the champion, or before the first release the base."""
    if models.live_release(workspace.tools, workspace.name) is None:
        return base_model(workspace)
    with workspace.tools.registry() as registry:
        return models.champion(workspace.tools, registry, workspace.name)


def expected(workspace: Workspace, candidate: ModelRef, baseline: ModelRef, exam: Exam) -> Expected:
    """What evidence must be about, made now."""
    return Expected(
        component=workspace.name,
        revision=candidate.digest,
        baseline=baseline.digest,
        golden_digest=exam.digest,
        conditions={
            "serving": workspace.spec.serving.digest,
            **exam.conditions,
        },
    )


def policy(workspace: Workspace) -> GatePolicy:
    """The declared gate."""
    gate = workspace.spec.gate
    return GatePolicy(
        floors=gate.floors,
        compared=(RECIPROCAL_RANK.name if workspace.spec.is_embedder else ANSWER_F1.name,),
        minimum_effect=gate.minimum_effect,
        minimum_samples=gate.minimum_questions,
        sample_noun="held-out questions" if workspace.spec.is_embedder else "questions",
    )


def judge(workspace: Workspace, evidence: Evidence | None, about: Expected) -> Verdict:
    """The gate's answer, made now."""
    return decide(evidence, policy(workspace), about)


def _snapshot(
    workspace: Workspace, settings: str, evidence: Evidence, verdict: Verdict
) -> Snapshot:
    model = workspace.require_head(MODEL)
    return Snapshot(
        stage=STAGE,
        settings=settings,
        shards=(
            ShardRecord(
                0,
                model.digest,
                evidence.digest,
                f"evidence/{evidence.digest}.json",
                len(evidence.rows),
            ),
        ),
        counts={"questions": evidence.samples, "judged": evidence.judged},
        details={
            "evidence": evidence.digest,
            "verdict": str(verdict.status),
            "reasons": [f"{r.status} {r.code}: {r.message}" for r in verdict.reasons],
            "model": model_ref(evidence.facts["model"]).record(),
        },
    )
