"""`evidence`: evaluate the candidate against the live revision, on one golden set, once.

Evidence that stands for the same candidate, live revision and golden set is not made again. Without
a golden set it needs no labels: counts reconcile, and sampled sentences find their own document.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from platform_pipelines.core.knowledge_base import evidence as known
from platform_pipelines.core.knowledge_base.calibration import Calibration, CalibrationOutcome
from platform_pipelines.core.knowledge_base.declaration import GateSpec
from platform_pipelines.core.knowledge_base.evidence import (
    COMPONENT,
    Lost,
    RowCounts,
    Unread,
    lost_documents,
    upgrade_evidence,
)
from platform_pipelines.core.knowledge_base.golden import GoldenSet, of_tenant, parse_golden_set
from platform_pipelines.core.knowledge_base.metrics import (
    DECLARED,
    JUDGED,
    JUDGED_COMPARED,
    JUDGED_EFFECT,
    JUDGED_FLOORS,
)
from platform_pipelines.core.knowledge_base.revision import Revision
from platform_pipelines.core.road.declared_values import named_golden_set
from platform_pipelines.core.road.evidence import Evidence, Outcome, SampleRow, make_evidence
from platform_pipelines.core.road.gate import Expected, GatePolicy, Rule, Status, Verdict, decide
from platform_pipelines.core.road.identity import digest_parts
from platform_pipelines.core.road.releases import ReleaseEntry
from platform_pipelines.core.road.snapshot import Snapshot, snapshot_from_json
from platform_pipelines.errors import ConfigurationError
from platform_pipelines.gateways.object_store import ObjectStore
from platform_pipelines.stages.knowledge_base import connect
from platform_pipelines.stages.knowledge_base.building import (
    ensure_collection,
    sealed_collection,
)
from platform_pipelines.stages.knowledge_base.documents import NOTE, NOTED
from platform_pipelines.stages.knowledge_base.documents import STAGE as DOCUMENTS
from platform_pipelines.stages.knowledge_base.evaluation import (
    ask_questions,
    calibrate_answers,
    sample_sentences,
    with_ragas,
)
from platform_pipelines.stages.knowledge_base.golden_set import read_named
from platform_pipelines.stages.knowledge_base.judged_evidence import (
    judge_conditions,
    judge_rows,
    judged_metrics,
    was_stopped,
)
from platform_pipelines.stages.knowledge_base.judging import Evaluated
from platform_pipelines.stages.knowledge_base.retrieve import Retriever
from platform_pipelines.stages.knowledge_base.revisions import candidate, read_revision
from platform_pipelines.stages.knowledge_base.tables import read_table
from platform_pipelines.stages.knowledge_base.workspace import Workspace
from platform_pipelines.stages.road import connect as road
from platform_pipelines.stages.road import evidence as road_evidence
from platform_pipelines.stages.road.approvals import read_approval
from platform_pipelines.stages.road.outcome import StageOutcome
from platform_pipelines.stages.road.signatures import is_signed
from platform_pipelines.stages.road.workspace import head_key

STAGE = "evidence"
COMPARED = ("ndcg",)  # with the live revision
_NOT_RULES = {"golden_set", "k"}  # they are what was asked, not how it is judged
EVALUATION_VERSION = "5"  # raise it when equal input would give other numbers


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
    asked = digest_parts(
        revision.digest,
        baseline.digest if baseline else "",
        golden.digest if golden else "",
        *(str(value) for value in _conditions(workspace, revision).values()),
    )
    if (
        previous
        and workspace.store.exists(road_evidence.evidence_key(previous.details["evidence"]))
        and is_signed(workspace.settings, workspace.store, previous.details["evidence"])
        and _stands(previous, _judged(workspace, asked), revision, live, golden)
    ):
        return StageOutcome.unchanged(previous)
    with workspace.writing(STAGE, version) as held:
        evidence = _known(held, previous, asked)
        cost = previous.details.get("judging") if previous else None
        if evidence is None:
            evidence, cost = evaluate(held, revision, baseline, golden)
        verdict = judge(held, evidence, revision, baseline, golden)
        snapshot = _record(held, evidence, verdict, asked, cost)
        held.move_head(snapshot, version)
    return StageOutcome.changed(snapshot, previous, {"questions": evidence.samples})


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
        counts={"questions": evidence.samples, "judged": evidence.judged},
        details={
            **_details(evidence, verdict),
            "asked": asked,
            "rules": declared_rules(workspace),
            **({"judging": cost} if cost else {}),
        },
    )


def declared_rules(workspace: Workspace) -> dict[str, Any]:
    """The gate's rules, by their names in the declaration.

    Kept with each verdict: what is live is not judged again when they change.
    """
    return workspace.spec.gate.model_dump(mode="json", exclude=_NOT_RULES)


def read_evidence(store: ObjectStore, digest: str) -> Evidence | None:
    """Evidence by its digest, also of the first schema, certified; None when there is none.

    Raises:
        IntegrityError: it is not what its digest says.
    """
    return road_evidence.read_evidence(store, digest, upgrade=upgrade_evidence)


def load_golden_set(workspace: Workspace) -> GoldenSet | None:
    """The declared golden set, or None.

    Raises:
        ConfigurationError: a line is wrong. SourceNotFoundError: it is not there.
        UnknownNameError: it has a name, and was not made yet.
    """
    url = workspace.spec.gate.golden_set
    if url is None:
        return None
    if name := named_golden_set(url):
        return of_tenant(read_named(workspace.settings, name), workspace.spec.tenant, where=url)
    folder, _, name = url.rpartition("/")
    if url.startswith("file://"):
        name = unquote(name)  # of a bucket, the name is the key to the letter
    data, _ = connect.open_source(workspace.settings, folder).get(name)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigurationError(
            f"the golden set is not UTF-8: {error.reason}",
            where=url,
            expected="JSON Lines in UTF-8",
            remedy="save the file as UTF-8",
        ) from error
    return of_tenant(parse_golden_set(text, where=url), workspace.spec.tenant, where=url)


def live_revision(workspace: Workspace) -> Revision | None:
    """The revision that the release log says is live."""
    entry = road.release_log(workspace.store, workspace.name).head()
    return None if entry is None else read_revision(workspace.store, entry.revision)


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


def approved(workspace: Workspace, evidence: Evidence | None) -> str:
    """Who approved this evidence, and why; empty when nobody did.

    Raises:
        IntegrityError: the approval is damaged.
    """
    found = read_approval(workspace.store, evidence.digest) if evidence else None
    return found.told if found else ""


def gate_policy(workspace: Workspace, *, stopped: bool = False) -> GatePolicy:
    """The declaration's gate."""
    names = [m.name for m in judged_metrics(workspace)]
    return policy_of(workspace.spec.gate, names, stopped=stopped)


def policy_of(gate: GateSpec, judged: Sequence[str], *, stopped: bool = False) -> GatePolicy:
    """A gate's policy. A judging that a budget stopped is asked for no judged score."""
    names = [] if stopped else judged
    floors = {m: f for m, f in JUDGED_FLOORS.items() if m in names}
    declared = {m: f for m, f in gate.floors.items() if m not in JUDGED or m in names}
    compared = [m for m in names if m == JUDGED_COMPARED]
    return GatePolicy(
        floors={**floors, **declared},
        compared=(*COMPARED, *compared),
        minimum_effect=gate.minimum_effect,
        minimum_effects={m: max(gate.minimum_effect, JUDGED_EFFECT) for m in compared},
        minimum_samples=gate.minimum_questions,
        sample_noun="questions",
    )


def gate_rules(workspace: Workspace, *, approved: str = "") -> list[Rule]:
    """What the gate asks of a knowledge base beside its metrics."""
    gate = workspace.spec.gate
    return known.rules(
        own_document_floor=gate.own_document_floor,
        coverage_floor=gate_policy(workspace).coverage_floor,
        max_removed=gate.max_removed,
        max_unread=gate.max_unread,
        approved=approved,
    )


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
) -> tuple[Evidence, dict[str, Any] | None]:
    """Evidence about a revision, and what its judging took; another `salt` answers anew."""
    with connect.vectors_of(workspace.settings) as store:
        if baseline is not None:
            ensure_collection(workspace, store, baseline)  # lost with the store, it is built again
        lost = lost_against(workspace, revision, baseline)
        collection = sealed_collection(workspace, store, revision)
        stored = store.count(collection)
        counts = RowCounts(expected=revision.rows, stored=stored)
        embedder = connect.open_embedder(
            workspace.settings, revision.recipe.embed, workspace.progress
        )
        try:
            retriever = Retriever(store, embedder, revision, collection)
            if golden is None:
                return _without_labels(workspace, retriever, counts, baseline, lost), None
            asked = _ask_golden(workspace, retriever, baseline, golden, salt)
        finally:
            embedder.close()
    made = make_evidence(
        Evidence(
            component=COMPONENT,
            revision=revision.digest,
            baseline=baseline.digest if baseline else None,
            golden_digest=golden.digest,
            conditions=_conditions(workspace, revision),
            metrics=(*DECLARED, *judged_metrics(workspace)),
            samples=len(golden.answerable),
            rows=tuple(asked.rows),
            facts=known.facts(
                counts,
                calibration=asked.calibration.calibration,
                calibration_reason=asked.calibration.reason,
                lost=lost,
                judge=asked.judge,
                unread=unread_documents(workspace),
            ),
        )
    )
    return made, asked.cost


def lost_against(
    workspace: Workspace, revision: Revision, baseline: Revision | None
) -> Lost | None:
    """Documents of the live revision that the candidate lacks; only shards that differ are read."""
    if baseline is None:
        return None
    same = {shard.path for shard in revision.chunks} & {shard.path for shard in baseline.chunks}
    live, new = (
        {
            key
            for shard in one.chunks
            if shard.path not in same
            for key in read_table(workspace.store, shard.path, ["document_key"])
            .column("document_key")
            .unique()
            .to_pylist()
        }
        for one in (baseline, revision)
    )
    return lost_documents(live, new, of=baseline.documents)


def unread_documents(workspace: Workspace) -> Unread | None:
    """What the stage `documents` noted; None where it stands no more, or noted nothing yet."""
    snapshot, _ = workspace.head(DOCUMENTS)
    if snapshot is None or NOTED not in snapshot.counts:
        return None
    prefix = f"{NOTE}:"
    kinds = {k.removeprefix(prefix): n for k, n in snapshot.counts.items() if k.startswith(prefix)}
    return Unread(snapshot.counts.get("parsed", 0), snapshot.counts[NOTED], kinds)


def _without_labels(
    workspace: Workspace,
    retriever: Retriever,
    counts: RowCounts,
    baseline: Revision | None,
    lost: Lost | None,
) -> Evidence:
    k = workspace.spec.gate.k
    return make_evidence(
        Evidence(
            component=COMPONENT,
            revision=retriever.revision.digest,
            baseline=baseline.digest if baseline else None,
            golden_digest=None,
            conditions=_conditions(workspace, retriever.revision),
            metrics=DECLARED,
            samples=0,
            rows=(),
            facts=known.facts(
                counts,
                sample=sample_sentences(workspace.store, retriever, k=k),
                calibration_reason="no golden set is declared",
                lost=lost,
                unread=unread_documents(workspace),
            ),
        )
    )


@dataclass(frozen=True, slots=True)
class _Asked:
    """What the golden questions gave. `judge` are facts of the evidence, `cost` is not."""

    rows: list[SampleRow]
    calibration: CalibrationOutcome
    judge: dict[str, Any] | None = None
    cost: dict[str, Any] | None = None


def _ask_golden(
    workspace: Workspace,
    retriever: Retriever,
    baseline: Revision | None,
    golden: GoldenSet,
    salt: str,
) -> _Asked:
    k = workspace.spec.gate.k
    workspace.progress(f"evidence: asking {len(golden.questions)} golden questions")
    questions = [*golden.answerable, *golden.unanswerable]
    known = len(golden.answerable)
    vectors = retriever.embed([q.question for q in questions])
    asked = ask_questions(
        workspace.store, retriever, golden.answerable, k=k, vectors=vectors[:known]
    )
    outcomes = with_ragas(workspace.settings, asked.outcomes, workspace.progress)
    unanswerable = retriever.search(
        [q.question for q in golden.unanswerable],
        k=k,
        tenant=workspace.spec.tenant,
        vectors=vectors[known:],
        strong=True,
    )
    calibration = calibrate_answers(
        retriever.embedder,
        questions,
        [*(asked.found[q.id] for q in golden.answerable), *unanswerable],
        {i: outcome.details["relevant"] for i, outcome in outcomes.items()},
        vectors=vectors,
    )
    with _opened_live(workspace, retriever, baseline) as live:
        before = _measured(workspace, live.retriever, golden) if live else {}
        rows = [
            SampleRow(
                sample_id=q.id,
                slices={"language": q.language, "document_type": asked.document_types[q.id]},
                candidate=outcomes[q.id],
                baseline=before.get(q.id),
            )
            for q in golden.answerable
        ]
        if workspace.spec.judge is None:
            return _Asked(rows, calibration)
        made = Evaluated(retriever.revision, retriever, calibration.calibration)
        rows, facts, cost = judge_rows(workspace, made, live, golden, rows, salt=salt)
    return _Asked(rows, calibration, facts, cost)


@contextmanager
def _opened_live(
    workspace: Workspace, retriever: Retriever, baseline: Revision | None
) -> Iterator[Evaluated | None]:
    """The live revision with its own embedder, policies, index and threshold."""
    if baseline is None:
        yield None
        return
    entry = road.release_log(workspace.store, workspace.name).head()
    calibration = calibration_in_use(workspace.store, entry) if entry else None
    held = ensure_collection(workspace, retriever.store, baseline).collection
    if baseline.embedder_digest == retriever.revision.embedder_digest:
        live = Retriever(retriever.store, retriever.embedder, baseline, held)
        yield Evaluated(baseline, live, calibration)
        return
    embedder = connect.open_embedder(workspace.settings, baseline.recipe.embed, workspace.progress)
    try:
        live = Retriever(retriever.store, embedder, baseline, held)
        yield Evaluated(baseline, live, calibration)
    finally:
        embedder.close()


def calibration_in_use(store: ObjectStore, entry: ReleaseEntry) -> Calibration | None:
    """From the newest evidence about what is live, else from the evidence of its release."""
    if store.exists(head_key(STAGE)):
        data, _ = store.get(head_key(STAGE))
        head = snapshot_from_json(data, where=f"{store.url}/{head_key(STAGE)}")
        if head.details["revision"] == entry.revision:
            found = read_evidence(store, head.details["evidence"])
            return known.calibration_of(found) if found else None
    found = read_evidence(store, entry.evidence_digest or "")
    return known.calibration_of(found) if found else None


def _measured(workspace: Workspace, live: Retriever, golden: GoldenSet) -> dict[str, Outcome]:
    """By the code that measures the candidate."""
    k = workspace.spec.gate.k
    asked = ask_questions(workspace.store, live, golden.answerable, k=k)
    return with_ragas(workspace.settings, asked.outcomes, workspace.progress)


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
