"""What people say of answers, and the golden candidates that come of it."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Literal

from pydantic import Field, field_validator

from platform_pipelines.core.knowledge_base.golden_rows import STATE, State, golden_record
from platform_pipelines.core.road.declarations import Spec
from platform_pipelines.core.road.identity import digest_json

QUESTION_CHARACTERS, TEXT_CHARACTERS = 2_000, 20_000


class FeedbackSpec(Spec):
    """One person's word on one answer."""

    trace_id: str = Field(
        min_length=1, max_length=64, pattern=r"^[0-9a-zA-Z_-]+$", description="of the answer"
    )
    score: Literal[-1, 1] = Field(description="1: it helped; -1: it did not")
    question: str = Field(
        min_length=1, max_length=QUESTION_CHARACTERS, description="what was asked"
    )
    answer: str = Field(
        default="", max_length=TEXT_CHARACTERS, description="what should have been answered"
    )
    comment: str = Field(default="", max_length=TEXT_CHARACTERS, description="why")

    @field_validator("question")
    @classmethod
    def _asks(cls, question: str) -> str:
        if not question.strip():
            raise ValueError("the question is blank")
        return question.strip()


@dataclass(frozen=True, slots=True)
class Feedback:
    """As it is kept. Who may read the answer may read this: it is its tenant's."""

    tenant: str
    revision: str  # "" where the server did not say
    day: str  # ISO
    trace_id: str
    score: int
    question: str
    answer: str
    comment: str

    @property
    def key(self) -> str:
        """Said twice it is kept once."""
        said = {name: value for name, value in asdict(self).items() if name != "day"}
        return f"feedback/{self.day}/{self.trace_id}-{digest_json(said)[:16]}.json"


def golden_candidates(feedback: Iterable[Feedback]) -> list[dict[str, Any]]:
    """Rows of a golden set, to be accepted or rejected by a person; each question once.

    Those with an answer come first, as they were said; of one question the newest counts.
    """
    newest: dict[str, Feedback] = {}
    for one in sorted(feedback, key=lambda one: (one.day, one.key)):
        known = newest.get(one.question)
        if known is None or one.answer or not known.answer:
            newest[one.question] = one
    rows = [_row(one) for one in newest.values()]
    return sorted(rows, key=lambda row: (not row["answer"], row["id"]))


def _row(one: Feedback) -> dict[str, Any]:
    row: dict[str, Any] = {"question": one.question, "tenant": one.tenant}
    if one.answer:
        row["ground_truth"] = one.answer
    record = golden_record(row, where=one.key)
    return {**record, STATE: str(State.CANDIDATE)}


def training_candidates(feedback: Iterable[Feedback]) -> list[dict[str, Any]]:
    """Chats to learn from, of what should have been said; a training set reads accepted ones."""
    answered = [one for one in feedback if one.answer]
    newest = {one.question: one for one in sorted(answered, key=lambda one: (one.day, one.key))}
    return [
        {
            "messages": [
                {"role": "user", "content": one.question},
                {"role": "assistant", "content": one.answer},
            ],
            "tenant": one.tenant,
            STATE: str(State.CANDIDATE),
        }
        for _, one in sorted(newest.items())
    ]
