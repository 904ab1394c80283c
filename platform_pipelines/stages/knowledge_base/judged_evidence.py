"""Judged answers in the evidence of a knowledge base: both sides alike, and what it took."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from platform_pipelines.compute.tasks import TaskSpec
from platform_pipelines.core.knowledge_base.calibration import Calibration, calibration_record
from platform_pipelines.core.knowledge_base.evidence import judge_of
from platform_pipelines.core.knowledge_base.golden import GoldenSet
from platform_pipelines.core.knowledge_base.metrics import JUDGED_DECLARED
from platform_pipelines.core.knowledge_base.revision import Revision
from platform_pipelines.core.road.evidence import Evidence, SampleRow
from platform_pipelines.core.road.metrics import Metric
from platform_pipelines.stages.knowledge_base.answering_worker import given_answer
from platform_pipelines.stages.knowledge_base.evaluation_parts import AnsweredPart, JudgedPart
from platform_pipelines.stages.knowledge_base.evaluation_plan import Evaluating, Side, sharing
from platform_pipelines.stages.knowledge_base.judging import (
    RAGAS_VERSION,
    GivenAnswer,
    Judged,
    all_judged,
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


@dataclass(frozen=True, slots=True)
class Judging:
    """A revision that answers as if it were live, by its threshold."""

    side: Side
    calibration: Calibration | None

    @property
    def record(self) -> dict[str, Any] | None:
        """Its calibration as JSON."""
        return calibration_record(self.calibration) if self.calibration else None


def judge_rows(
    evaluating: Evaluating,
    made: Judging,
    live: Judging | None,
    rows: Sequence[SampleRow],
    *,
    salt: str = "",
) -> tuple[list[SampleRow], dict[str, Any], dict[str, Any]]:
    """The rows with answers and verdicts of both sides, the facts of the judging, and its cost.

    Raises:
        UnavailableError: the judge or a language model does not answer; what was done is kept.
        ConfigurationError: it refuses its key, the model or the request.
    """
    golden, sides = evaluating.golden, [made, *([live] if live else [])]
    assert golden is not None
    answers = _answered(evaluating, sides, salt)
    judged = _judged(evaluating, sides, answers, salt)
    asked = {q.id: q for q in golden.answerable}
    given = [{a.question_id: a for a in own} for _, own in answers]
    made_rows = [
        replace(
            row,
            candidate=judged_outcome(
                row.candidate, asked[row.sample_id], judged[0], given[0][row.sample_id]
            ),
            baseline=row.baseline
            and judged_outcome(
                row.baseline, asked[row.sample_id], judged[1], given[1][row.sample_id]
            ),
        )
        for row in rows
    ]
    return made_rows, _facts(evaluating.workspace, golden, given[0], judged), cost_of(judged)


def _answered(
    evaluating: Evaluating, sides: Sequence[Judging], salt: str
) -> list[tuple[list[TaskSpec], list[GivenAnswer]]]:
    """Of each side its tasks and its answers."""
    tasks = [evaluating.answer(side.side, side.record, salt=salt) for side in sides]
    golden = evaluating.golden
    count = len(golden.questions) if golden else 0
    evaluating.workspace.progress(f"evidence: answering {count} golden questions")
    evaluating.run([t for own in tasks for t in own], doing="answering golden questions")
    return [
        (own, [given_answer(r) for p in evaluating.parts(own, AnsweredPart) for r in p.answers])
        for own in tasks
    ]


def _judged(
    evaluating: Evaluating,
    sides: Sequence[Judging],
    answers: Sequence[tuple[list[TaskSpec], list[GivenAnswer]]],
    salt: str,
) -> list[Judged]:
    workspace, golden = evaluating.workspace, evaluating.golden
    judge = workspace.spec.judge
    assert golden is not None
    assert judge is not None
    tasks: list[list[TaskSpec]] = []
    for side, (answering, given) in zip(sides, answers, strict=True):
        known = {a.question_id for a in given if a.passages and a.known}
        twice = [q.id for q in golden.answerable if q.id in known][: judge.repeats]
        tasks.append(evaluating.judge(side.side, answering, twice, salt=salt))
    workspace.progress(f"evidence: judging the answers by {judge.model}")
    everything = [t for own in tasks for t in own]
    for start in range(0, len(everything), judge.concurrency):  # each makes a call at a time
        some = everything[start : start + judge.concurrency]
        evaluating.run(sharing(workspace, some), doing="judging answers")
    return [
        all_judged([Judged(p.scores, p.troubles, p.spent, p.noise) for p in parts])
        for parts in (evaluating.parts(own, JudgedPart) for own in tasks)
    ]


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
        "noise": sides[0].mean_noise,
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
