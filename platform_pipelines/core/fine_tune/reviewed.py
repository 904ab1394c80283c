"""What people said of answers, or a model drafted, and a person accepted: rows to learn from.

The rows are those that `platform-pipelines feedback` and `draft` write: a golden question each,
with a `state`. A golden set takes a row that says nothing for accepted; here somebody has to have
said so, because what is learnt cannot be taken back.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from platform_pipelines.core.fine_tune.pairs import PairRow
from platform_pipelines.core.fine_tune.training_rows import ChatRow, Refused, read_lines

ACCEPTED = "accepted"


@dataclass(frozen=True, slots=True)
class Reviewed:
    """One accepted row: what was asked, what is right, and what it stands on."""

    question: str
    answer: str
    quotes: tuple[str, ...]
    tenant: str
    place: str

    def chat(self, *, licence: str) -> ChatRow | Refused:
        """As a chat; without an answer it teaches none."""
        if not self.answer:
            return Refused(self.place, "accepted, but it has no answer")
        turns = (("user", self.question), ("assistant", self.answer))
        return ChatRow(turns, licence=licence, tenant=self.tenant, place=self.place)

    def pair(self, *, licence: str) -> PairRow | Refused:
        """As a question with its passage: what it quotes, else the answer itself."""
        passage = "\n".join(self.quotes) or self.answer
        if not passage:
            return Refused(self.place, "accepted, but it quotes nothing and has no answer")
        return PairRow(
            self.question, passage, (), licence=licence, tenant=self.tenant, place=self.place
        )


def parse_reviewed(text: str, *, place: str, tenant: str) -> tuple[list[Reviewed], list[Refused]]:
    """The accepted rows of one file; every other one is refused by what it is."""
    return read_lines(text, place, lambda line, where: _row(line, where, tenant))


def _row(line: str, place: str, tenant: str) -> Reviewed:
    raw: Any = json.loads(line)
    if not isinstance(raw, dict):
        raise ValueError("not a JSON object")
    record = cast("Mapping[str, Any]", raw)
    state = record.get("state")
    if state != ACCEPTED:
        raise ValueError(f"nobody accepted it: its state is {state or 'not said'}")
    question = str(record.get("question") or "").strip()
    if not question:
        raise ValueError("no question")
    references = cast("list[dict[str, Any]]", record.get("references") or [])
    quotes = (one.get("quote") for one in references)
    return Reviewed(
        question,
        str(record.get("answer") or "").strip(),
        tuple(str(quote).strip() for quote in quotes if quote),
        tenant=str(record.get("tenant") or tenant),
        place=place,
    )
