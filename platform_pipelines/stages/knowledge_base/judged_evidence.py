"""Judged answers in the evidence of a knowledge base: both sides alike, and what it took."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from platform_pipelines.core.knowledge_base.evidence import judge_of
from platform_pipelines.core.knowledge_base.golden import GoldenSet
from platform_pipelines.core.knowledge_base.metrics import JUDGED_DECLARED
from platform_pipelines.core.knowledge_base.revision import Revision
from platform_pipelines.core.road.evidence import Evidence, SampleRow
from platform_pipelines.core.road.metrics import Metric
from platform_pipelines.stages.knowledge_base.judging import (
    RAGAS_VERSION,
    Evaluated,
    GivenAnswer,
    Judged,
    give_answers,
    judge_answers,
    judged_outcome,
)
from platform_pipelines.stages.knowledge_base.workspace import Workspace


def judged_metrics(workspace: Workspace) -> tuple[Metric, ...]:
    """What the declared judge measures; nothing without one."""
    judge = workspace.spec.judge
    return tuple(m for m in JUDGED_DECLARED if judge is not None and m.name in judge.metrics)


def judge_conditions(workspace: Workspace, revision: Revision) -> dict[str, str]:
    """Who judged what: verdicts of another judge, or answers of another model, are foreign."""
    judge = workspace.spec.judge
    if judge is None:
        return {}
    words = workspace.settings.language_model
    model = f"{words.model} at {words.url}" if words and revision.recipe.answer is None else "-"
    asked = f"{', '.join(judge.metrics)}; {judge.temperature:g}; json_schema {judge.json_schema}"
    return {
        "judge": f"{judge.model} at {judge.url}, ragas {RAGAS_VERSION}: {asked}",
        "model": model,
    }


def stopped_by(evidence: Evidence) -> str:
    """The budget that ended the judging early, or nothing."""
    judge = judge_of(evidence)
    return str(judge["stopped_by"]) if judge else ""


def was_stopped(evidence: Evidence) -> bool:
    """Whether a budget ended the judging early."""
    return bool(stopped_by(evidence))


def judge_rows(
    workspace: Workspace,
    made: Evaluated,
    live: Evaluated | None,
    golden: GoldenSet,
    rows: Sequence[SampleRow],
    *,
    salt: str = "",
) -> tuple[list[SampleRow], dict[str, Any], dict[str, Any]]:
    """The rows with answers and verdicts of both sides, the facts of the judging, and its cost.

    Raises:
        UnavailableError: the judge or a language model does not answer; what was done is kept.
        ConfigurationError: it refuses its key, the model or the request.
    """
    answers, judged = _side(workspace, made, golden, salt)
    outcomes = {r.sample_id: r.candidate for r in rows}
    asked = {q.id: q for q in golden.answerable}
    now = {i: judged_outcome(o, asked[i], judged, answers[i]) for i, o in outcomes.items()}
    sides, before = [judged], {r.sample_id: r.baseline for r in rows}
    if live is not None:
        old, verdicts = _side(workspace, live, golden, salt)
        sides.append(verdicts)
        before = {
            i: o and judged_outcome(o, asked[i], verdicts, old[i]) for i, o in before.items()
        }  # fmt: skip
    made_rows = [replace(r, candidate=now[r.sample_id], baseline=before[r.sample_id]) for r in rows]
    return made_rows, _facts(workspace, golden, answers, sides), cost_of(sides)


def _side(
    workspace: Workspace, one: Evaluated, golden: GoldenSet, salt: str
) -> tuple[dict[str, GivenAnswer], Judged]:
    questions = [*golden.answerable, *golden.unanswerable]
    workspace.progress(f"evidence: answering {len(questions)} golden questions")
    answers = give_answers(workspace, one.retriever, questions, one.calibration, salt=salt)
    embedder = one.retriever.embedder
    return answers, judge_answers(workspace, embedder, golden.answerable, answers, salt=salt)


def _facts(
    workspace: Workspace,
    golden: GoldenSet,
    answers: Mapping[str, GivenAnswer],
    sides: Sequence[Judged],
) -> dict[str, Any]:
    """Unanswerable questions have no reference to be judged by: they are counted."""
    judge = workspace.spec.judge
    assert judge is not None
    return {
        "model": judge.model,
        "url": judge.url,
        "ragas": RAGAS_VERSION,
        "metrics": list(judge.metrics),
        "stopped_by": next((side.stopped_by for side in sides if side.stopped_by), ""),
        "noise": dict(sides[0].noise),
        "repeats": judge.repeats,
        "troubles": sum(len(t) for t in sides[0].troubles.values()),
        "unknown": sum(not answers[q.id].known for q in golden.answerable),
        "disagreeing": sum(bool(a.disagreements) for a in answers.values()),
        "unanswerable": len(golden.unanswerable),
        "unanswerable_answered": sum(answers[q.id].known for q in golden.unanswerable),
        "answer_tokens": [
            sum(a.input_tokens for a in answers.values()),
            sum(a.output_tokens for a in answers.values()),
        ],
    }


def cost_of(sides: Sequence[Judged]) -> dict[str, Any]:
    """What the judging took. It is no part of the evidence: one that was resumed costs another."""
    names = ("calls", "cached", "input_tokens", "output_tokens", "seconds", "call_seconds", "money")
    return {name: round(sum(side.spent.get(name, 0) for side in sides), 3) for name in names}
