"""What is stored of a prompt: one answer, or why there is none."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Any

from platform_pipelines.core.road.identity import digest_json
from platform_pipelines.core.road.pricing import TokenPrice, cost_of_tokens


class State(StrEnum):
    """How a prompt ended."""

    ANSWERED = "answered"
    CUT = "cut"  # answered, and cut off at the longest answer that was asked for
    REFUSED = "refused"  # the model said that it will not
    REJECTED = "rejected"  # the server takes no such request; it would not the next time either

    @property
    def has_answer(self) -> bool:
        """Whether there is a text."""
        return self in (State.ANSWERED, State.CUT)


@dataclass(frozen=True, slots=True)
class Answered:
    """One prompt's end, as it is stored."""

    key: str
    id: str
    state: State
    text: str  # the answer, or why there is none
    model: str
    input_tokens: int
    output_tokens: int
    seconds: float
    at: str  # when it was answered, ISO 8601

    def to_line(self) -> str:
        """One line of JSON."""
        named = "answer" if self.state.has_answer else "error"
        record = {
            "id": self.id, "key": self.key, "state": str(self.state), named: self.text,
            "model": self.model, "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens, "seconds": round(self.seconds, 3), "at": self.at,
        }  # fmt: skip
        return json.dumps(record, ensure_ascii=False, allow_nan=False)


@dataclass(frozen=True, slots=True)
class Totals:
    """Of many prompts."""

    states: Mapping[str, int]
    input_tokens: int
    output_tokens: int
    usd: Decimal


def from_line(line: str) -> Answered:
    """The inverse of `Answered.to_line`.

    Raises:
        ValueError: it is not such a line.
    """
    try:
        raw: Mapping[str, Any] = json.loads(line)
        state = State(raw["state"])
        text = raw["answer"] if state.has_answer else raw["error"]
        return Answered(
            str(raw["key"]), str(raw["id"]), state, str(text), str(raw["model"]),
            int(raw["input_tokens"]), int(raw["output_tokens"]), float(raw["seconds"]),
            str(raw["at"]),
        )  # fmt: skip
    except (KeyError, TypeError) as error:
        raise ValueError(f"no stored answer: {error}") from error


def to_lines(answers: Iterable[Answered]) -> bytes:
    """A file of them."""
    return "".join(f"{one.to_line()}\n" for one in answers).encode()


def from_lines(data: bytes) -> list[Answered]:
    """The inverse of `to_lines`.

    Raises:
        ValueError: a line is none.
    """
    return [from_line(line) for line in data.decode().split("\n") if line]


def batch_digest(keys: Sequence[str]) -> str:
    """Names a batch by its prompts, so that a run that goes on writes the same file."""
    return digest_json(list(keys))[:16]


def totals(answers: Iterable[Answered], price: TokenPrice) -> Totals:
    """Counted and paid."""
    states = {str(state): 0 for state in State}
    read = written = 0
    for one in answers:
        states[str(one.state)] += 1
        read += one.input_tokens
        written += one.output_tokens
    return Totals(states, read, written, cost_of_tokens(price, prompt=read, completion=written))
