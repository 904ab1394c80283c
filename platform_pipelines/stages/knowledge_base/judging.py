"""Whole answers of one revision, made by the chain that is served, and judged through Ragas.

Answers are kept by revision and question, and a judge's verdicts by their prompts: an evaluation
that was killed goes on where it was, and what is live is not paid for again as a baseline.
"""

import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from statistics import fmean
from typing import Any

from platform_pipelines.compute.environments import interpreter
from platform_pipelines.compute.pool import WorkerPool
from platform_pipelines.compute.protocol import Budget, ItemDone, ItemFailed, Task
from platform_pipelines.core.knowledge_base.calibration import Calibration
from platform_pipelines.core.knowledge_base.golden import Question
from platform_pipelines.core.knowledge_base.revision import Revision
from platform_pipelines.core.road.evidence import Failure, Outcome
from platform_pipelines.core.road.identity import digest_parts
from platform_pipelines.errors import ConfigurationError, UnavailableError
from platform_pipelines.gateways.embedder import Embedder
from platform_pipelines.gateways.embedding_socket import embedding_socket
from platform_pipelines.gateways.language_model import LanguageModel
from platform_pipelines.stages.knowledge_base import connect
from platform_pipelines.stages.knowledge_base.answering import CITED, answer_question
from platform_pipelines.stages.knowledge_base.retrieve import Retriever
from platform_pipelines.stages.knowledge_base.workspace import Workspace
from platform_pipelines.stages.road.access import key_for

ANSWERS_VERSION = "2"  # raise it when the same chain would give other answers
RAGAS_VERSION = "0.4.3"  # of environments/evaluation.in; a part of every cached verdict's name
ANSWERERS = 4
JUDGE_SECONDS = 6 * 3600.0
JUDGE_MEMORY_BYTES = 4 * 1024**3
_COME_AGAIN = ("unavailable", "rate_limited")
_ANSWERS_NOTHING = {"faithfulness": None, "answer_relevancy": 0.0, "answer_correctness": 0.0}


@dataclass(frozen=True, slots=True)
class Evaluated:
    """A revision that is asked as if it were live."""

    revision: Revision
    retriever: Retriever
    calibration: Calibration | None


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
    noise: Mapping[str, float]

    @property
    def stopped_by(self) -> str:
        """The budget that was spent, or nothing."""
        return str(self.spent.get("budget") or "")


def give_answers(
    workspace: Workspace,
    retriever: Retriever,
    questions: Sequence[Question],
    calibration: Calibration | None,
    *,
    salt: str = "",
) -> dict[str, GivenAnswer]:
    """The answers of one revision, as it is or would be served; another `salt` asks again.

    Raises:
        UnavailableError: the language model does not answer; what was answered is kept.
    """
    revision = retriever.revision
    model = connect.open_language_model(workspace.settings, revision.recipe.answer)
    opened = Evaluated(revision, retriever, calibration)
    by = model.name if model and revision.recipe.answer is None else ""  # of the settings
    workers = ANSWERERS if model else 1

    def give(question: Question) -> GivenAnswer:
        threshold = repr(calibration.threshold) if calibration else ""
        parts = (ANSWERS_VERSION, revision.digest, by, question.question, threshold, salt)
        key = f"answers/{digest_parts(*parts)}.json"
        return _given(workspace, opened, question, key, model)

    try:
        with ThreadPoolExecutor(workers, thread_name_prefix="answers") as pool:
            return {a.question_id: a for a in pool.map(give, questions)}
    finally:
        if model is not None:
            model.close()


def _given(
    workspace: Workspace,
    opened: Evaluated,
    question: Question,
    key: str,
    model: LanguageModel | None,
) -> GivenAnswer:
    if workspace.store.exists(key):
        kept = json.loads(workspace.store.get(key)[0])
        return GivenAnswer(
            **{**kept, "question_id": question.id, "passages": tuple(kept["passages"])}
        )
    workspace.deadline.check("answering golden questions")
    answer = answer_question(
        opened,
        question.question,
        tenant=opened.revision.recipe.tenant,
        k=workspace.spec.gate.k,
        model=model,
    )
    given = GivenAnswer(
        question.id, answer.known, answer.text, answer.passages, answer.model, answer.note,
        answer.usage.input_tokens, answer.usage.output_tokens, len(answer.disagreements),
    )  # fmt: skip
    workspace.store.put(key, json.dumps(asdict(given), ensure_ascii=False).encode())
    return given


def judge_answers(
    workspace: Workspace,
    embedder: Embedder,
    questions: Sequence[Question],
    answers: Mapping[str, GivenAnswer],
    *,
    salt: str = "",
) -> Judged:
    """Verdicts on the answers by the declared judge.

    An answer that is not known is not sent: it states nothing, so its faithfulness is left out, and
    it is no answer to an answerable question, so its relevancy is 0.

    Raises:
        UnavailableError: the judge does not answer; what was judged is kept.
        ConfigurationError: it refuses its key, the model or the request.
    """
    judge = workspace.spec.judge
    assert judge is not None
    asked = [q for q in questions if answers[q.id].passages]
    samples = [_sample(q, answers[q.id], 0) for q in asked]
    known = [q for q in asked if answers[q.id].known]
    repeats = [_sample(q, answers[q.id], 1) for q in known[: judge.repeats]]
    metrics = list(judge.metrics)
    workspace.progress(f"evidence: judging {len(samples)} answers by {judge.model}")
    found, spent = _by_worker(workspace, embedder, [*samples, *repeats], metrics, salt)
    rows = dict(zip([q.id for q in asked], found, strict=False))
    _refuse_absent(found, judge.model)
    scores, troubles = _verdicts(questions, answers, rows, metrics)
    again = dict(zip([q.id for q in known], found[len(samples) :], strict=False))
    return Judged(scores, troubles, spent, _noise(rows, again, metrics))


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


def _sample(question: Question, answer: GivenAnswer, repeat: int) -> dict[str, Any]:
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


def _by_worker(
    workspace: Workspace,
    embedder: Embedder,
    samples: Sequence[Mapping[str, Any]],
    metrics: Sequence[str],
    salt: str,
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    settings, judge = workspace.settings, workspace.spec.judge
    assert judge is not None
    options = {
        **judge.model_dump(exclude={"metrics", "repeats"}),
        "version": RAGAS_VERSION,
        "cache": str(settings.home / "judge" / workspace.name),
        "api_key": key_for(settings, judge.url, settings.judge_api_key),
        "salt": salt,
    }
    budget = Budget(
        seconds_per_item=JUDGE_SECONDS, memory_bytes=JUDGE_MEMORY_BYTES, limit_address_space=False
    )
    python = interpreter("evaluation", settings.environments_home, workspace.progress)
    pool = WorkerPool(
        workers=1, budget=budget, environment=settings.worker_environment, interpreter=python
    )
    with embedding_socket(embedder) as path, pool:
        shared = {"options": options, "metrics": list(metrics), "embed": str(path)}
        task = Task("judge", ({"samples": list(samples)},))
        for outcome in pool.run("evidence.judge", [task], shared=shared):
            if isinstance(outcome, ItemFailed):
                raise outcome.to_error()
            if isinstance(outcome, ItemDone):
                result: Any = outcome.result
                return result["scores"], result["spent"]
    raise UnavailableError("the judging worker gave no result", where=workspace.name)


def _refuse_absent(found: Sequence[Mapping[str, Any]], judge: str) -> None:
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


def _verdicts(
    questions: Sequence[Question],
    answers: Mapping[str, GivenAnswer],
    rows: Mapping[str, Mapping[str, Any]],
    metrics: Sequence[str],
) -> tuple[dict[str, dict[str, float | None]], dict[str, dict[str, str]]]:
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


def _noise(
    rows: Mapping[str, Mapping[str, Any]],
    again: Mapping[str, Mapping[str, Any]],
    metrics: Sequence[str],
) -> dict[str, float]:
    """Mean absolute difference between two judgements of the same answer (A/A)."""
    found: dict[str, float] = {}
    for metric in metrics:
        pairs = [(rows[i][metric]["score"], row[metric]["score"]) for i, row in again.items()]
        differences = [abs(a - b) for a, b in pairs if a is not None and b is not None]
        if differences:
            found[metric] = fmean(differences)
    return found
