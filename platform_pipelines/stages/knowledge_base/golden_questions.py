"""The golden set, asked of the candidate and of what is live under the same conditions."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from platform_pipelines.core.knowledge_base.calibration import CalibrationOutcome
from platform_pipelines.core.knowledge_base.golden import GoldenSet, of_tenant, parse_golden_set
from platform_pipelines.core.knowledge_base.revision import Revision
from platform_pipelines.core.road.declared_values import named_golden_set
from platform_pipelines.core.road.evidence import Outcome, SampleRow
from platform_pipelines.errors import ConfigurationError
from platform_pipelines.stages.knowledge_base import connect
from platform_pipelines.stages.knowledge_base.building import (
    ensure_collection,
)
from platform_pipelines.stages.knowledge_base.evaluation import (
    ask_questions,
    calibrate_answers,
    with_ragas,
)
from platform_pipelines.stages.knowledge_base.golden_set import read_named
from platform_pipelines.stages.knowledge_base.judged_evidence import (
    judge_rows,
)
from platform_pipelines.stages.knowledge_base.judging import Evaluated
from platform_pipelines.stages.knowledge_base.retrieve import Retriever
from platform_pipelines.stages.knowledge_base.revisions import read_revision
from platform_pipelines.stages.knowledge_base.stored_evidence import (
    calibration_in_use,
    read_evidence,
)
from platform_pipelines.stages.knowledge_base.terms import CorpusTerms
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
    judge: dict[str, Any] | None = None
    cost: dict[str, Any] | None = None


def ask_golden(
    workspace: Workspace,
    retriever: Retriever,
    baseline: Revision | None,
    golden: GoldenSet,
    salt: str,
    conditions: Mapping[str, Any],
) -> Asked:
    """Ask the candidate all questions, and the live revision (`baseline`) those that have answers.

    `salt` makes the judge's draws those of this candidate and this golden set. What the live
    revision answered under the same `conditions`, when it was the candidate, is not asked again.
    """
    k = workspace.spec.gate.k
    workspace.progress(f"evidence: asking {len(golden.questions)} golden questions")
    questions = [*golden.answerable, *golden.unanswerable]
    answerable = len(golden.answerable)
    vectors = retriever.embed([q.question for q in questions])
    asked = ask_questions(
        workspace.store, retriever, golden.answerable, k=k, vectors=vectors[:answerable]
    )
    outcomes = with_ragas(workspace.settings, asked.outcomes, workspace.progress)
    unanswerable = retriever.search(
        [q.question for q in golden.unanswerable],
        k=k,
        tenant=workspace.spec.tenant,
        vectors=vectors[answerable:],
        strong=True,
    )
    calibration = calibrate_answers(
        retriever.embedder,
        questions,
        [*(asked.found[q.id] for q in golden.answerable), *unanswerable],
        {i: outcome.details["relevant"] for i, outcome in outcomes.items()},
        vectors=vectors,
        corpus=retriever.term_weights(),
    )
    known = _known_of_live(workspace, baseline, golden, conditions)
    if known:
        workspace.progress("evidence: what is live answered these questions before its release")
    with _opened_live(workspace, retriever, None if known else baseline) as live:
        before = _measured(workspace, live.retriever, golden) if live else known
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
            return Asked(rows, calibration)
        made = Evaluated(retriever.revision, retriever, calibration.calibration)
        rows, facts, cost = judge_rows(workspace, made, live, golden, rows, salt=salt)
    return Asked(rows, calibration, facts, cost)


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
    terms = CorpusTerms(workspace.store, baseline)
    if baseline.embedder_digest == retriever.revision.embedder_digest:
        live = Retriever(retriever.store, retriever.embedder, baseline, held, terms)
        yield Evaluated(baseline, live, calibration)
        return
    embedder = connect.open_embedder(workspace.settings, baseline.recipe.embed, workspace.progress)
    try:
        live = Retriever(retriever.store, embedder, baseline, held, terms)
        yield Evaluated(baseline, live, calibration)
    finally:
        embedder.close()


def _measured(workspace: Workspace, live: Retriever, golden: GoldenSet) -> dict[str, Outcome]:
    """By the code that measures the candidate."""
    k = workspace.spec.gate.k
    asked = ask_questions(workspace.store, live, golden.answerable, k=k)
    return with_ragas(workspace.settings, asked.outcomes, workspace.progress)
