"""`evidence`: candidate and champion, served by vLLM the same way, asked the same questions."""

from dataclasses import asdict

from platform_pipelines.core.road.evidence import Evidence, Outcome, make_evidence
from platform_pipelines.core.road.gate import decide
from platform_pipelines.core.road.identity import canonical_json, digest_json
from platform_pipelines.core.road.model_questions import ANSWER_F1, METRICS, ModelGoldenSet
from platform_pipelines.core.road.served_model import ModelRef, model_ref
from platform_pipelines.core.road.snapshot import ShardRecord, Snapshot
from platform_pipelines.core.road.verdicts import Expected, GatePolicy, Verdict
from platform_pipelines.errors import UnknownNameError
from platform_pipelines.gateways.model_server import wait_until_ready
from platform_pipelines.stages.fine_tune.model import STAGE as MODEL
from platform_pipelines.stages.fine_tune.model import base_model, made_model
from platform_pipelines.stages.fine_tune.workspace import FOLDER, Workspace
from platform_pipelines.stages.road import models
from platform_pipelines.stages.road.asking import ask_all, load_questions, sample_rows
from platform_pipelines.stages.road.evidence import read_evidence, write_evidence
from platform_pipelines.stages.road.outcome import StageOutcome

STAGE = "evidence"
EVALUATION_VERSION = "1"


def refresh_evidence(workspace: Workspace) -> StageOutcome:
    """Evaluate, unless this model was evaluated against this champion on these questions."""
    previous, version = workspace.head(STAGE)
    golden = load_questions(workspace.settings, workspace.spec.gate.golden_set)
    candidate, baseline = made_model(workspace), live_model(workspace)
    about = expected(workspace, candidate, baseline, golden)
    settings = digest_json({**asdict(about), "version": EVALUATION_VERSION})
    standing = previous and read_evidence(workspace.store, previous.details["evidence"])
    if previous and standing and previous.settings == settings:
        verdict = judge(workspace, standing, about)
        return StageOutcome.unchanged(_snapshot(workspace, settings, standing, verdict))
    with workspace.writing(STAGE, version) as writing:
        asked = {
            side: answers_of(writing, model, golden)
            for side, model in (("candidate", candidate), ("baseline", baseline))
        }
        evidence = make_evidence(
            Evidence(
                component=about.component,
                revision=about.revision,
                baseline=about.baseline,
                golden_digest=golden.digest,
                conditions=about.conditions,
                metrics=METRICS,
                samples=len(golden.questions),
                rows=sample_rows(golden, asked["candidate"], asked["baseline"]),
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


def expected(
    workspace: Workspace, candidate: ModelRef, baseline: ModelRef, golden: ModelGoldenSet
) -> Expected:
    """What evidence must be about, made now."""
    return Expected(
        component=workspace.name,
        revision=candidate.digest,
        baseline=baseline.digest,
        golden_digest=golden.digest,
        conditions={
            "serving": workspace.spec.serving.digest,
            "answer_tokens": workspace.spec.gate.answer_tokens,
        },
    )


def policy(workspace: Workspace) -> GatePolicy:
    """The declared gate."""
    gate = workspace.spec.gate
    return GatePolicy(
        floors=gate.floors,
        compared=(ANSWER_F1.name,),
        minimum_effect=gate.minimum_effect,
        minimum_samples=gate.minimum_questions,
        sample_noun="questions",
    )


def judge(workspace: Workspace, evidence: Evidence | None, about: Expected) -> Verdict:
    """The gate's answer, made now."""
    return decide(evidence, policy(workspace), about)


def answers_of(workspace: Workspace, model: ModelRef, golden: ModelGoldenSet) -> dict[str, Outcome]:
    """What a model answers, served alone; asked once for a model, a set and a way of serving.

    One side after the other: both have the machine to themselves, and half the memory is enough.
    """
    spec, tokens = workspace.spec.serving, workspace.spec.gate.answer_tokens
    named = digest_json([model.digest, golden.digest, spec.digest, tokens, EVALUATION_VERSION])
    key = f"answers/{named}.json"
    if workspace.store.exists(key):
        return _read_answers(workspace, key)
    servers = workspace.tools.servers(f"{FOLDER}/{workspace.name}/servers")
    workspace.progress(f"starting vLLM with model {model.short}")
    try:
        servers.start(model, spec)
        seconds = wait_until_ready(servers, model, spec)
        workspace.progress(f"ready after {seconds:.0f} s; asking {len(golden.questions)} questions")
        address = servers.address(model)
        if address is None:
            raise UnknownNameError("the server ended", where=f"model {model.short}")
        asked = ask_all(
            address,
            golden,
            max_tokens=tokens,
            check=lambda: workspace.deadline.check("asking questions"),
        )
    finally:
        servers.stop(model, spec)
    if all(outcome.failure is None for outcome in asked.values()):
        record = {name: [dict(o.scores), dict(o.details)] for name, o in asked.items()}
        workspace.store.put(key, canonical_json(record).encode())
    return asked


def _read_answers(workspace: Workspace, key: str) -> dict[str, Outcome]:
    import json

    record = json.loads(workspace.store.get(key)[0])
    return {name: Outcome(scores, None, details) for name, (scores, details) in record.items()}


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
