"""Whole answers of golden questions and what a judge says of them: their records, and their shape.

The tasks that answer and judge are in `answering_worker`. Answers are kept by revision and question
and verdicts by their prompts: an evaluation that was killed goes on where it was, and what is live
is not paid for again as a baseline.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

from platform_pipelines.core.knowledge_base.golden import Question
from platform_pipelines.core.road.evidence import Failure, Outcome
from platform_pipelines.errors import ConfigurationError, UnavailableError
from platform_pipelines.stages.knowledge_base.answering import CITED

RAGAS_VERSION = "0.4.3"  # of environments/evaluation.in; a part of every cached verdict's name
BUDGET = "budget"  # of what was spent: the one that ended the judging
_COME_AGAIN = ("unavailable", "rate_limited")
_ANSWERS_NOTHING = {"faithfulness": None, "answer_relevancy": 0.0, "answer_correctness": 0.0}


@dataclass(frozen=True, slots=True)
class GivenAnswer:
    """What the chain answered to one golden question."""

    question_id: str
    known: bool
    text: str
    passages: tuple[str, ...]
    model: str | None
    note: str
    input_tokens: int
    output_tokens: int
    disagreements: int = 0  # of documents about what it says


@dataclass(frozen=True, slots=True)
class Judged:
    """Scores by question and metric; troubles likewise; what was spent; the judge's noise."""

    scores: Mapping[str, Mapping[str, float | None]]
    troubles: Mapping[str, Mapping[str, str]]
    spent: Mapping[str, Any]
    noise: Mapping[str, Sequence[float]]  # differences of two judgements of one answer (A/A)

    @property
    def stopped_by(self) -> str:
        """The budget that was spent, or nothing."""
        return str(self.spent.get(BUDGET) or "")

    @property
    def mean_noise(self) -> dict[str, float]:
        """Mean absolute difference between two judgements of the same answer."""
        return {metric: fmean(found) for metric, found in self.noise.items() if found}


def all_judged(parts: Sequence[Judged]) -> Judged:
    """What several tasks judged, as one."""
    spent: dict[str, Any] = {}
    noise: dict[str, list[float]] = {}
    for part in parts:
        for name, value in part.spent.items():
            if name == BUDGET:
                spent[name] = spent.get(name) or value
            else:
                spent[name] = spent.get(name, 0) + value
        for metric, found in part.noise.items():
            noise.setdefault(metric, []).extend(found)
    return Judged(
        scores={i: row for part in parts for i, row in part.scores.items()},
        troubles={i: row for part in parts for i, row in part.troubles.items()},
        spent=spent,
        noise=noise,
    )


def judged_outcome(
    outcome: Outcome, question: Question, judged: Judged, answer: GivenAnswer
) -> Outcome:
    """An outcome with its answer and verdicts. A verdict that could not be had is a failure."""
    troubles = judged.troubles[question.id]
    failed = bool(troubles) and not judged.stopped_by
    details = {
        **outcome.details,
        "question": question.question,
        "answer": answer.text,
        "passages": list(answer.passages),
        "model": answer.model,
        "note": answer.note,
        "judge_troubles": dict(troubles),
    }
    return replace(
        outcome,
        scores={**outcome.scores, **judged.scores[question.id]},
        failure=outcome.failure or (Failure.ERROR if failed else None),
        details=details,
    )


def judged_sample(question: Question, answer: GivenAnswer, repeat: int) -> dict[str, Any]:
    """What the judge is given; `repeat` over 0 judges it again."""
    return {
        "id": question.id,
        "question": question.question,
        # Citations are for people; a judge would take them for statements.
        "answer": _without_citations(answer.text),
        "contexts": list(answer.passages),
        "reference": question.answer,
        "repeat": repeat,
    }


def _without_citations(text: str) -> str:
    return CITED.sub("", text).strip()


def refuse_absent(found: Sequence[Mapping[str, Any]], judge: str) -> None:
    """A judge that is down has judged nothing: no evidence is better than half of it."""
    all_scores = [score for row in found for score in row.values()]
    refused = [s for s in all_scores if s["trouble"] == "configuration"]
    if refused:
        raise ConfigurationError(
            "the judge refuses the request",
            where=f"judge {judge}",
            stored=refused[0]["detail"],
            remedy="check `judge` in the declaration, and PLATFORM_JUDGE_API_KEY",
        )
    absent = [s for s in all_scores if s["trouble"] in _COME_AGAIN]
    if absent:
        raise UnavailableError(
            f"the judge did not answer for {len(absent)} of {len(all_scores)} scores",
            where=f"judge {judge}",
            stored=absent[0]["detail"],
            remedy="run again: what was judged is kept and not paid for twice",
        )


def verdicts_of(
    questions: Sequence[Question],
    answers: Mapping[str, GivenAnswer],
    rows: Mapping[str, Mapping[str, Any]],
    metrics: Sequence[str],
) -> tuple[dict[str, dict[str, float | None]], dict[str, dict[str, str]]]:
    """Scores and troubles by question and metric.

    An answer that is not known is not sent: it states nothing, so its faithfulness is left out, and
    it is no answer to an answerable question, so its relevancy is 0.
    """
    scores: dict[str, dict[str, float | None]] = {}
    troubles: dict[str, dict[str, str]] = {}
    for question in questions:
        row, unknown = rows.get(question.id), not answers[question.id].known
        scores[question.id], troubles[question.id] = {}, {}
        for metric in metrics:
            if row is None or (unknown and metric in _ANSWERS_NOTHING):
                scores[question.id][metric] = _ANSWERS_NOTHING.get(metric, 0.0)
                continue
            found = row[metric]
            trouble = found["trouble"]
            if trouble:
                troubles[question.id][metric] = f"{trouble}: {found['detail']}"
            # No verdict counts as the worst one, and is counted; only a spent budget leaves it out.
            missing = None if trouble == "budget" else 0.0
            scores[question.id][metric] = missing if trouble else found["score"]
    return scores, troubles


def noise_of(
    rows: Mapping[str, Mapping[str, Any]],
    again: Mapping[str, Mapping[str, Any]],
    metrics: Sequence[str],
) -> dict[str, list[float]]:
    """Differences between two judgements of the same answer (A/A), by metric."""
    found: dict[str, list[float]] = {}
    for metric in metrics:
        pairs = [(rows[i][metric]["score"], row[metric]["score"]) for i, row in again.items()]
        found[metric] = [abs(a - b) for a, b in pairs if a is not None and b is not None]
    return found
