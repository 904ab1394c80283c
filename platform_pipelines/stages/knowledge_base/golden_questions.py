"""The golden set, asked of the candidate and of what is live under the same conditions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from platform_pipelines.core.knowledge_base.answers import FEATURE_NAMES
from platform_pipelines.core.knowledge_base.calibration import (
    Calibration,
    CalibrationOutcome,
    CalibrationSample,
    calibrate,
)
from platform_pipelines.core.knowledge_base.copied import Copied
from platform_pipelines.core.knowledge_base.golden import (
    GoldenSet,
    Question,
    of_tenant,
    parse_golden_set,
)
from platform_pipelines.core.knowledge_base.revision import Revision
from platform_pipelines.core.knowledge_base.suspicion import Suspicious
from platform_pipelines.core.road.declared_values import named_golden_set
from platform_pipelines.core.road.evidence import Outcome, SampleRow
from platform_pipelines.errors import ConfigurationError
from platform_pipelines.stages.knowledge_base import connect
from platform_pipelines.stages.knowledge_base.evaluation_parts import (
    AskedPart,
    AskedQuestion,
    CopiesPart,
    ScannedPart,
)
from platform_pipelines.stages.knowledge_base.evaluation_plan import Evaluating, Side
from platform_pipelines.stages.knowledge_base.golden_set import read_named
from platform_pipelines.stages.knowledge_base.judged_evidence import Judging, judge_rows
from platform_pipelines.stages.knowledge_base.revisions import read_revision
from platform_pipelines.stages.knowledge_base.stored_evidence import (
    calibration_in_use,
    read_evidence,
)
from platform_pipelines.stages.knowledge_base.suspicious import suspicious_of
from platform_pipelines.stages.knowledge_base.workspace import Workspace
from platform_pipelines.stages.road import connect as road
from platform_pipelines.stages.road.signatures import is_signed


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


@dataclass(frozen=True, slots=True)
class Asked:
    """What the golden questions gave. `judge` are facts of the evidence, `cost` is not."""

    rows: list[SampleRow]
    calibration: CalibrationOutcome
    suspicious: Suspicious
    copied: Copied
    judge: dict[str, Any] | None = None
    cost: dict[str, Any] | None = None


def ask_golden(
    evaluating: Evaluating,
    made: Side,
    live: Side | None,
    salt: str,
    conditions: Mapping[str, Any],
) -> Asked:
    """Ask the candidate all questions, and the live revision those that have answers.

    `salt` makes the judge's draws those of this candidate and this golden set. What the live
    revision answered under the same `conditions`, when it was the candidate, is not asked again.

    Raises:
        PlatformError: what a task raised; what was finished is kept.
    """
    workspace, golden = evaluating.workspace, evaluating.golden
    assert golden is not None
    workspace.progress(f"evidence: asking {len(golden.questions)} golden questions")
    stood = live.revision if live else None
    known = _known_of_live(workspace, stood, golden, conditions)
    if known:
        workspace.progress("evidence: what is live answered these questions before its release")
    scans = evaluating.scan(made.revision, stood, draws=False)
    asking = evaluating.ask(made, measures=True)
    again = evaluating.ask(live, measures=False) if live and not known else []
    copies = evaluating.copies(made.revision, stood)
    evaluating.run([*scans, copies, *asking, *again], doing="asking golden questions")
    asked = _by_id(evaluating.parts(asking, AskedPart))
    before = known or {
        i: one.outcome for i, one in _by_id(evaluating.parts(again, AskedPart)).items()
    }
    rows = [
        SampleRow(
            sample_id=q.id,
            slices={"language": q.language, "document_type": asked[q.id].document_type},
            candidate=_outcome(asked[q.id]),
            baseline=before.get(q.id),
        )
        for q in golden.answerable
    ]
    calibration = calibrate([_sample(q, asked) for q in _in_order(golden)], names=FEATURE_NAMES)
    suspicious = scanned(evaluating.parts(scans, ScannedPart))
    (found,) = evaluating.parts([copies], CopiesPart)
    if workspace.spec.judge is None:
        return Asked(rows, calibration, suspicious, found.copied)
    own = Judging(made, calibration.calibration)
    in_use = _calibration_of(workspace) if live else None
    other = Judging(live, in_use) if live else None
    rows, facts, cost = judge_rows(evaluating, own, other, rows, salt=salt)
    return Asked(rows, calibration, suspicious, found.copied, facts, cost)


def scanned(parts: Sequence[ScannedPart]) -> Suspicious:
    """The passages that speak to a model, of all chunks."""
    return suspicious_of(Suspicious(p.chunks, p.documents, tuple(p.named)) for p in parts)


def _in_order(golden: GoldenSet) -> list[Question]:
    """Whatever order they were asked in: how they are dealt into folds follows from it."""
    return [*golden.answerable, *golden.unanswerable]


def _by_id(parts: Sequence[AskedPart]) -> dict[str, AskedQuestion]:
    return {one.id: one for part in parts for one in part.questions}


def _outcome(asked: AskedQuestion) -> Outcome:
    assert asked.outcome is not None  # of an answerable question
    return asked.outcome


def _sample(question: Question, asked: Mapping[str, AskedQuestion]) -> CalibrationSample:
    found = asked[question.id]
    return CalibrationSample(found.features or (), question.answerable, found.supported)


def _known_of_live(
    workspace: Workspace,
    baseline: Revision | None,
    golden: GoldenSet,
    conditions: Mapping[str, Any],
) -> dict[str, Outcome]:
    """From the evidence that the live revision was released by; else, nothing.

    It counts when it is of this revision and golden set, under these conditions and signed. A judge
    asks the live revision itself.
    """
    entry = road.release_log(workspace.store, workspace.name).head()
    if baseline is None or entry is None or workspace.spec.judge is not None:
        return {}
    found = read_evidence(workspace.store, entry.evidence_digest or "")
    if found is None or not is_signed(workspace.settings, workspace.store, found.digest):
        return {}
    is_same = (found.revision, found.golden_digest, dict(found.conditions)) == (
        baseline.digest,
        golden.digest,
        dict(conditions),
    )
    outcomes = {row.sample_id: row.candidate for row in found.rows}
    wanted = {q.id for q in golden.answerable}
    return outcomes if is_same and outcomes.keys() == wanted else {}


def _calibration_of(workspace: Workspace) -> Calibration | None:
    """The threshold by which what is live answers."""
    entry = road.release_log(workspace.store, workspace.name).head()
    return calibration_in_use(workspace.store, entry) if entry else None
