"""`evidence`: evaluate the candidate against the live revision, on one golden set, once.

Evidence that stands for the same candidate, live revision and golden set is not made again. Without
a golden set it needs no labels: counts reconcile, and sampled sentences find their own document.
"""

from typing import Any

from platform_pipelines.core.knowledge_base import evidence as known
from platform_pipelines.core.knowledge_base.evidence import COMPONENT, RowCounts
from platform_pipelines.core.knowledge_base.golden import GoldenSet
from platform_pipelines.core.knowledge_base.metrics import DECLARED
from platform_pipelines.core.knowledge_base.revision import Revision
from platform_pipelines.core.road.evidence import LOOKS, Evidence, make_evidence
from platform_pipelines.core.road.gate import decide
from platform_pipelines.core.road.identity import digest_parts
from platform_pipelines.core.road.snapshot import Snapshot
from platform_pipelines.core.road.verdicts import Expected, Status, Verdict
from platform_pipelines.gateways.vector_store import VectorStore
from platform_pipelines.stages.knowledge_base import connect
from platform_pipelines.stages.knowledge_base.building import (
    ensure_collection,
    sealed_collection,
)
from platform_pipelines.stages.knowledge_base.evaluation_parts import (
    CopiesPart,
    SampledPart,
    ScannedPart,
)
from platform_pipelines.stages.knowledge_base.evaluation_plan import (
    CANDIDATE,
    Evaluating,
    Side,
    clear,
    live_folder,
)
from platform_pipelines.stages.knowledge_base.gate_rules import (
    approved,
    declared_rules,
    gate_policy,
    gate_rules,
)
from platform_pipelines.stages.knowledge_base.golden_questions import (
    Asked,
    ask_golden,
    live_revision,
    load_golden_set,
    scanned,
)
from platform_pipelines.stages.knowledge_base.judged_evidence import (
    judge_conditions,
    judged_metrics,
    stopped_by,
    was_stopped,
)
from platform_pipelines.stages.knowledge_base.losses import lost_against, unread_documents
from platform_pipelines.stages.knowledge_base.revisions import candidate
from platform_pipelines.stages.knowledge_base.sampling import sample_of, sampled_of
from platform_pipelines.stages.knowledge_base.stored_evidence import STAGE, read_evidence
from platform_pipelines.stages.knowledge_base.terms import ensure_terms
from platform_pipelines.stages.knowledge_base.workspace import Workspace
from platform_pipelines.stages.road import evidence as road_evidence
from platform_pipelines.stages.road.approvals import read_approval
from platform_pipelines.stages.road.outcome import StageOutcome
from platform_pipelines.stages.road.signatures import is_signed

EVALUATION_VERSION = "7"  # raise it when equal input would give other numbers


def refresh_evidence(workspace: Workspace) -> StageOutcome:
    """Evaluate the candidate revision, unless that was done.

    Raises:
        ConfigurationError: the golden set is wrong.
        SourceNotFoundError: the golden set is not there.
        EvidenceError: nothing was indexed yet.
    """
    revision = candidate(workspace)
    golden = load_golden_set(workspace)
    live = live_revision(workspace)
    baseline = None if live is None or live.digest == revision.digest else live
    previous, version = workspace.head(STAGE)
    asked = _asked(workspace, revision, baseline, golden)
    if (
        previous
        and not _is_unfinished(workspace, previous)
        and workspace.store.exists(road_evidence.evidence_key(previous.details["evidence"]))
        and is_signed(workspace.settings, workspace.store, previous.details["evidence"])
        and _stands(previous, _judged(workspace, asked), revision, live, golden)
    ):
        return StageOutcome.unchanged(previous)
    with workspace.writing(STAGE, version) as held:
        unfinished = previous is not None and _is_unfinished(held, previous)
        evidence = None if unfinished else _known(held, previous, asked)
        cost = previous.details.get("judging") if previous else None
        if evidence is None:
            looks = _looks(previous, revision, baseline)
            evidence, cost = evaluate(held, revision, baseline, golden, looks=looks)
        verdict = judge(held, evidence, revision, baseline, golden)
        snapshot = _record(held, evidence, verdict, asked, cost)
        held.move_head(snapshot, version)
        clear(held, CANDIDATE)
    return StageOutcome.changed(snapshot, previous, {"questions": evidence.samples})


def _asked(
    workspace: Workspace, revision: Revision, baseline: Revision | None, golden: GoldenSet | None
) -> str:
    """Names what is asked of whom, under which conditions."""
    return digest_parts(
        revision.digest,
        baseline.digest if baseline else "",
        golden.digest if golden else "",
        *(str(value) for value in _conditions(workspace, revision).values()),
    )


def _looks(previous: Snapshot | None, revision: Revision, baseline: Revision | None) -> int | None:
    """The same candidate against the same live one on other questions is another look; None: the
    first one."""
    if previous is None or baseline is None:
        return None
    details = previous.details
    if (details["revision"], details["baseline"]) != (revision.digest, baseline.digest):
        return None
    return int(details.get("looks") or 1) + (0 if details.get("stopped_by") else 1)


def _is_unfinished(workspace: Workspace, previous: Snapshot) -> bool:
    """A spent budget ended its judging, and nobody approved it: the next run judges the rest."""
    details = previous.details
    return bool(details.get("stopped_by")) and (
        read_approval(workspace.store, details["evidence"]) is None
    )


def _judged(workspace: Workspace, asked: str) -> str:
    """What was asked, the rules it is judged by, and who approved: other rules, another verdict."""
    head, _ = workspace.head(STAGE)
    approval = read_approval(workspace.store, head.details["evidence"]) if head else None
    parts = (asked, workspace.spec.gate.model_dump_json())
    return digest_parts(*parts, *([approval.digest] if approval else []))


def _known(workspace: Workspace, previous: Snapshot | None, asked: str) -> Evidence | None:
    """The last evidence, when only the gate's rules are others now."""
    if previous is None or previous.details.get("asked") != asked:
        return None
    digest = previous.details["evidence"]
    if not is_signed(workspace.settings, workspace.store, digest):
        return None  # it is never signed unread: it may be a person's
    return read_evidence(workspace.store, digest)


def _record(
    workspace: Workspace,
    evidence: Evidence,
    verdict: Verdict,
    asked: str,
    cost: dict[str, Any] | None,
) -> Snapshot:
    """Keep the evidence under its own digest; the snapshot that points to it."""
    road_evidence.write_evidence(workspace.settings, workspace.store, evidence)
    return Snapshot(
        stage=STAGE,
        settings=_judged(workspace, asked),
        shards=(),
        counts={"questions": evidence.samples, "judged": evidence.judged, **_flagged(evidence)},
        details={
            **_details(evidence, verdict),
            "asked": asked,
            **({LOOKS: evidence.facts[LOOKS]} if LOOKS in evidence.facts else {}),
            "rules": declared_rules(workspace),
            **({"stopped_by": stopped} if (stopped := stopped_by(evidence)) else {}),
            **({"judging": cost} if cost else {}),
        },
    )


def _flagged(evidence: Evidence) -> dict[str, int]:
    found = known.suspicious_of(evidence)
    return {"suspicious": found.chunks} if found and found.chunks else {}


def judge(
    workspace: Workspace,
    evidence: Evidence | None,
    revision: Revision,
    baseline: Revision | None,
    golden: GoldenSet | None,
) -> Verdict:
    """The gate's answer under the declared policy, for exactly this candidate and baseline."""
    expected = Expected(
        component=COMPONENT,
        revision=revision.digest,
        baseline=baseline.digest if baseline else None,
        golden_digest=golden.digest if golden else None,
        conditions=_conditions(workspace, revision),
    )
    rules = gate_rules(workspace, approved=approved(workspace, evidence))
    policy = gate_policy(workspace, stopped=evidence is not None and was_stopped(evidence))
    return decide(evidence, policy, expected, rules=rules)


def _conditions(workspace: Workspace, revision: Revision) -> dict[str, Any]:
    judged = judge_conditions(workspace, revision)
    return known.conditions(k=workspace.spec.gate.k, evaluation=EVALUATION_VERSION, **judged)


def _stands(
    previous: Snapshot,
    judged: str,
    revision: Revision,
    live: Revision | None,
    golden: GoldenSet | None,
) -> bool:
    """It stands for the same request, and, once its revision is live, for the golden set."""
    if previous.settings == judged:
        return True
    released = live is not None and live.digest == revision.digest
    found = previous.details
    return released and (found["revision"], found["golden_set"], found.get("evaluation")) == (
        revision.digest,
        golden.digest if golden else None,
        EVALUATION_VERSION,
    )


def evaluate(
    workspace: Workspace,
    revision: Revision,
    baseline: Revision | None,
    golden: GoldenSet | None,
    *,
    salt: str = "",
    looks: int | None = None,
) -> tuple[Evidence, dict[str, Any] | None]:
    """Evidence about a revision, and what its judging took; another `salt` answers anew.

    Planned here, measured by tasks (see `evaluation_plan`). `looks`: how many times this comparison
    was looked at, where it was more than once.
    """
    conditions = _conditions(workspace, revision)
    with connect.vectors_of(workspace.settings) as store:
        live = _side(workspace, store, baseline)
        lost = lost_against(workspace, revision, baseline)
        made = Side(revision, sealed_collection(workspace, store, revision))
        counts = RowCounts(expected=revision.rows, stored=store.count(made.collection))
        ensure_terms(workspace.store, revision, baseline)
        evaluating = _evaluating(workspace, revision, baseline, golden, salt)
        more = {"lost": lost, "unread": unread_documents(workspace)}
        if golden is None:
            measured, cost = _without_labels(evaluating, made, baseline, counts, more), None
            rows, metrics = (), DECLARED
        else:
            asked = ask_golden(evaluating, made, live, salt, conditions)
            measured, cost = _with_labels(asked, counts, more), asked.cost
            rows, metrics = tuple(asked.rows), (*DECLARED, *judged_metrics(workspace))
    evidence = Evidence(
        component=COMPONENT,
        revision=revision.digest,
        baseline=baseline.digest if baseline else None,
        golden_digest=golden.digest if golden else None,
        conditions=conditions,
        metrics=metrics,
        samples=len(golden.answerable) if golden else 0,
        rows=rows,
        facts=measured | ({LOOKS: looks} if golden and looks else {}),
    )
    return make_evidence(evidence), cost


def _side(workspace: Workspace, store: VectorStore, revision: Revision | None) -> Side | None:
    """What is live, where it is; lost with the store, it is built again."""
    if revision is None:
        return None
    return Side(revision, ensure_collection(workspace, store, revision).collection)


def _evaluating(
    workspace: Workspace,
    revision: Revision,
    baseline: Revision | None,
    golden: GoldenSet | None,
    salt: str,
) -> Evaluating:
    digest = _asked(workspace, revision, baseline, golden)
    kind = live_folder(workspace, salt) if salt else CANDIDATE
    return Evaluating(workspace, kind, digest, golden)


def _with_labels(asked: Asked, counts: RowCounts, more: dict[str, Any]) -> dict[str, Any]:
    return known.facts(
        counts,
        calibration=asked.calibration.calibration,
        calibration_reason=asked.calibration.reason,
        judge=asked.judge,
        suspicious=asked.suspicious,
        **more,
    ) | known.copied_fact(asked.copied)


def _without_labels(
    evaluating: Evaluating,
    made: Side,
    baseline: Revision | None,
    counts: RowCounts,
    more: dict[str, Any],
) -> dict[str, Any]:
    """Sampled sentences find their own document, or they do not."""
    scans = evaluating.scan(made.revision, baseline, draws=True)
    copies = evaluating.copies(made.revision, baseline)
    evaluating.run([*scans, copies], doing="looking through chunks")
    parts = evaluating.parts(scans, ScannedPart)
    (found,) = evaluating.parts([copies], CopiesPart)
    sampling = [evaluating.sample(made, sampled_of(d for part in parts for d in part.drawn))]
    evaluating.run(sampling, doing="searching for sampled sentences")
    (sampled,) = evaluating.parts(sampling, SampledPart)
    return known.facts(
        counts,
        sample=sample_of(sampled.found),
        calibration_reason="no golden set is declared",
        suspicious=scanned(parts),
        **more,
    ) | known.copied_fact(found.copied)


def _details(evidence: Evidence, verdict: Verdict) -> dict[str, Any]:
    """What the asset's page and the release read without opening the evidence."""
    return {
        "evidence": evidence.digest,
        "revision": evidence.revision,
        "baseline": evidence.baseline,
        "golden_set": evidence.golden_digest,
        "evaluation": EVALUATION_VERSION,
        "verdict": str(verdict.status),
        "proven": verdict.proven,
        "reasons": [f"{r.code}: {r.message}" for r in verdict.reasons],
        "others": [
            r.code
            for r in verdict.reasons
            if r.status is not Status.PASS and r.code != known.MASS_LOSS
        ],
    }
