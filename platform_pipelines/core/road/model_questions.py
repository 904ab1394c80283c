"""Golden questions for a language model, and what an answer is worth without a judge.

One JSON object a line: {"id", "question", "answer", "slices": {"kind": "regression"}}. An answer is
scored against the reference by the F1 of their tokens: words, Hangul as character bigrams. It says
whether the form and the content are near; whether they are true is said by whoever wrote the
reference.
"""

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from platform_pipelines.core.road.evidence import Failure, Outcome
from platform_pipelines.core.road.identity import digest_json
from platform_pipelines.core.road.metrics import Direction, Metric, Undefined
from platform_pipelines.errors import ConfigurationError

ANSWER_F1 = Metric("answer_f1")
ANSWER_SECONDS = Metric(
    "answer_seconds", "s", Direction.LOWER, 0.0, None, undefined=Undefined.LEFT_OUT
)
ANSWER_TOKENS = Metric(
    "answer_tokens", "tokens", Direction.LOWER, 0.0, None, undefined=Undefined.LEFT_OUT
)
METRICS = (ANSWER_F1, ANSWER_SECONDS, ANSWER_TOKENS)

_HANGUL = re.compile(r"[가-힣]+")
_WORD = re.compile(r"[^\W_]+")


@dataclass(frozen=True, slots=True)
class ModelQuestion:
    """One question with the answer that is wanted."""

    id: str
    question: str
    answer: str
    slices: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class ModelGoldenSet:
    """The questions; `digest` covers all of them."""

    questions: tuple[ModelQuestion, ...]

    @property
    def digest(self) -> str:
        """Names this version of the set."""
        return digest_json([[q.id, q.question, q.answer, dict(q.slices)] for q in self.questions])


def parse_questions(text: str, *, where: str) -> ModelGoldenSet:
    """Read JSON Lines.

    Raises:
        ConfigurationError: names the line and what is wrong with it; two questions of one id.
    """
    found: list[ModelQuestion] = []
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            found.append(_question(line, where=f"{where}, line {number}"))
    ids = [question.id for question in found]
    twice = sorted({name for name in ids if ids.count(name) > 1})
    if twice or not found:
        raise ConfigurationError(
            "a golden set has questions, each with an id of its own",
            where=where,
            stored=f"ids used twice: {', '.join(twice)}" if twice else "no question",
            remedy="give each question its own id",
        )
    return ModelGoldenSet(tuple(found))


def _question(line: str, *, where: str) -> ModelQuestion:
    try:
        raw: Any = json.loads(line)
    except ValueError as error:
        raise ConfigurationError("not a JSON object", where=where, stored=line[:80]) from error
    record = cast("dict[str, Any]", raw) if isinstance(raw, dict) else {}
    values = [record.get(name) for name in ("id", "question", "answer")]
    if not all(isinstance(value, str) and value.strip() for value in values):
        raise ConfigurationError(
            "not a golden question", where=where, stored=line[:80],
            expected='{"id": ..., "question": ..., "answer": ...}, all of them text',
        )  # fmt: skip
    slices = cast("dict[str, Any]", record.get("slices") or {})
    return ModelQuestion(*map(str, values), slices={k: str(v) for k, v in slices.items()})


def tokens(text: str) -> list[str]:
    """Words in lower case; Hangul runs as bigrams, because endings are glued to words."""
    found: list[str] = []
    for word in _WORD.findall(text.casefold()):
        runs = _HANGUL.findall(word)
        if not runs:
            found.append(word)
            continue
        for run in runs:
            found += [run[i : i + 2] for i in range(len(run) - 1)] or [run]
        found += [part for part in _HANGUL.split(word) if part]
    return found


def token_f1(answer: str, reference: str) -> float:
    """Harmonic mean of precision and recall of the answer's tokens, 0 to 1."""
    said, wanted = Counter(tokens(answer)), Counter(tokens(reference))
    shared = (said & wanted).total()
    return 2 * shared / (said.total() + wanted.total()) if shared else 0.0


def answered(question: ModelQuestion, text: str, *, seconds: float, count: int) -> Outcome:
    """What one answer is worth."""
    scores: dict[str, float | None] = {
        ANSWER_F1.name: token_f1(text, question.answer),
        ANSWER_SECONDS.name: seconds,
        ANSWER_TOKENS.name: float(count),
    }
    return Outcome(scores, details={"answer": text[:500]})


def unanswered(error: str) -> Outcome:
    """A question that got no answer: it scores the worst, and says why."""
    scores: dict[str, float | None] = {metric.name: None for metric in METRICS}
    return Outcome(scores, Failure.ERROR, {"error": error[:500]})


def question_slices(question: ModelQuestion) -> dict[str, str]:
    """The declared slices, and the language."""
    language = "ko" if _HANGUL.search(question.question) else "other"
    return {"language": language, **question.slices}


def guarded_lines(text: str, *, where: str) -> list[tuple[str, str]]:
    """As `guarded`, of any golden set: (id, question) of each line, whatever else it has.

    Raises:
        ConfigurationError: a line without a question.
    """
    found: list[tuple[str, str]] = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            raw: Any = json.loads(line)
            record = cast("Mapping[str, Any]", raw)
            found.append((str(record.get("id") or number), str(record["question"])))
        except (ValueError, KeyError, AttributeError, TypeError) as error:
            raise ConfigurationError(
                "not a golden question", where=f"{where}, line {number}", stored=line[:80],
                expected='{"id": ..., "question": ...}',
            ) from error  # fmt: skip
    return found


def guarded(questions: Sequence[ModelQuestion]) -> list[tuple[str, str]]:
    """What the leakage guard keeps out of training."""
    return [(question.id, question.question) for question in questions]
