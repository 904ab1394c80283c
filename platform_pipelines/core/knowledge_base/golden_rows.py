"""Rows of other tools as golden questions: `question, answer, contexts, ground_truth`, and Ragas'.

Ragas 0.4 writes `user_input, reference, reference_contexts` (`EvaluationDataset.to_jsonl`,
`Testset.to_csv`) and what its generator noted beside them; what a system answered
(`response`, `retrieved_contexts`) is no part of a golden set.
"""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, cast

from platform_pipelines.core.knowledge_base.golden import ANY_DOCUMENT
from platform_pipelines.core.road.identity import digest_text
from platform_pipelines.errors import ConfigurationError

STATE = "state"
_QUESTION = ("question", "user_input")
_TRUTH = ("ground_truth", "ground_truths", "reference", "answer")
_CONTEXTS = ("contexts", "reference_contexts")
_KEPT = ("id", "language", "tenant")
_BESIDE = (
    "response", "retrieved_contexts", "retrieved_context_ids", "reference_context_ids",
    "multi_responses", "rubrics", "metadata", "synthesizer_name", "persona_name", "query_style",
    "query_length",
)  # fmt: skip
_HANGUL = re.compile(r"[가-힣]")


class State(StrEnum):
    """What a person thinks of a row; a row that says nothing is accepted."""

    CANDIDATE = "candidate"
    ACCEPTED = "accepted"
    REJECTED = "rejected"


def state_of(record: Mapping[str, Any], *, where: str) -> State:
    """Raises ConfigurationError: none of the three."""
    value = record.get(STATE) or State.ACCEPTED
    if value not in tuple(State):
        raise ConfigurationError(
            "golden set: field `state` is unknown", where=where, stored=value,
            expected=", ".join(State), remedy="correct this row of the golden set",
        )  # fmt: skip
    return State(value)


def golden_record(
    record: Mapping[str, Any], *, where: str, language: str | None = None
) -> dict[str, Any]:
    """A row as a record of the golden set; one that is already, without its state.

    Raises:
        ConfigurationError: a column is not known, or a context or the truth is of a wrong kind.
    """
    row = {name: value for name, value in record.items() if name != STATE and value is not None}
    if "answerable" in row or "references" in row:
        return row
    known = {*_QUESTION, *_TRUTH, *_CONTEXTS, *_KEPT, *_BESIDE}
    if unknown := sorted(set(row) - known):
        raise ConfigurationError(
            f"golden set: field `{unknown[0]}` is unknown", where=where, stored=unknown,
            expected="question, answer, contexts, ground_truth; or Ragas' user_input, reference, "
            "reference_contexts; or id, language, question, answerable, references, answer",
            remedy="correct this row of the golden set",
        )  # fmt: skip
    question = str(_first(row, _QUESTION) or "")
    contexts = _texts(_first(row, _CONTEXTS), where=where)
    truth = _first(row, _TRUTH)
    given = {name: row[name] for name in _KEPT if row.get(name)}
    return {
        "id": _id(question),
        "language": language or ("ko" if _HANGUL.search(question) else "en"),
        **given,
        "question": question,
        "answerable": bool(contexts or truth),
        "references": [{"document": ANY_DOCUMENT, "quote": text} for text in contexts],
        "answer": "\n".join(_texts(truth, where=where)),
    }


def _first(row: Mapping[str, Any], names: Sequence[str]) -> Any:
    return next((row[name] for name in names if row.get(name)), None)


def _texts(value: object, *, where: str) -> list[str]:
    given = cast("list[object]", value) if isinstance(value, list) else [value]
    items = [] if value is None else given
    if not all(isinstance(item, str) for item in items):
        raise ConfigurationError(
            "golden set: a context or an answer is not a text", where=where, stored=items,
            expected="a text, or a list of texts", remedy="correct this row of the golden set",
        )  # fmt: skip
    return [text for item in items if (text := str(item).strip())]


def _id(question: str) -> str:
    words = " ".join(unicodedata.normalize("NFC", question).casefold().split())
    return f"q-{digest_text(words)[:12]}"
