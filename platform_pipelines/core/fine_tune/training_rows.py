"""Chats to learn from: read, checked, deduplicated, kept from the golden questions, and split."""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar, cast

from platform_pipelines.core.road.identity import digest_json, digest_parts, shard_of
from platform_pipelines.core.road.leakage import Leak, LeakageGuard

ROLES = ("system", "user", "assistant")
ACCEPTED = "accepted"  # as in golden sets; a row without a state is
_SPLIT_PARTS = 10_000
_HANGUL = re.compile(r"[가-힣]")
_CHARACTERS_A_TOKEN = 3.0  # for the page; the trainer counts the real ones


class Row(Protocol):
    """What can be learnt from, and whose it is."""

    @property
    def place(self) -> str:
        """File and line, for people."""
        ...

    @property
    def key(self) -> str:
        """Decides its side of the split."""
        ...

    @property
    def digest(self) -> str:
        """Of all that it says."""
        ...

    @property
    def texts(self) -> tuple[str, ...]:
        """What the leakage guard reads."""
        ...

    @property
    def characters(self) -> int:
        """Of all texts."""
        ...

    def record(self) -> dict[str, Any]:
        """As the trainer reads it."""
        ...


Read = TypeVar("Read")
R = TypeVar("R", bound=Row)


def is_korean(text: str) -> bool:
    """Whether it holds Hangul."""
    return _HANGUL.search(text) is not None


@dataclass(frozen=True, slots=True)
class ChatRow:
    """One chat: turns of (role, content), and whose it is."""

    turns: tuple[tuple[str, str], ...]
    licence: str
    tenant: str
    place: str  # file and line, for people

    @property
    def key(self) -> str:
        """What the chat asks: equal questions go to one side of the split, whatever the answer."""
        return digest_parts(*(text for role, text in self.turns if role != "assistant"))

    @property
    def digest(self) -> str:
        """Of all turns."""
        return digest_json([list(turn) for turn in self.turns])

    @property
    def language(self) -> str:
        """`ko` where any turn holds Hangul."""
        return "ko" if any(map(is_korean, self.texts)) else "other"

    @property
    def texts(self) -> tuple[str, ...]:
        """What the leakage guard reads."""
        return tuple(text for _, text in self.turns)

    def record(self) -> dict[str, Any]:
        """As the trainer reads it."""
        return {"messages": [{"role": role, "content": text} for role, text in self.turns]}

    @property
    def characters(self) -> int:
        """Of all turns."""
        return sum(len(text) for _, text in self.turns)


@dataclass(frozen=True, slots=True)
class Refused:
    """A line that is no row, and why."""

    place: str
    reason: str


@dataclass(frozen=True, slots=True)
class TrainingSet(Generic[R]):
    """What the model learns from. `digest` covers the rows of both sides, in their order."""

    train: tuple[R, ...]
    validation: tuple[R, ...]
    refused: tuple[Refused, ...]
    leaks: tuple[tuple[R, Leak], ...]
    duplicates: int

    @property
    def rows(self) -> tuple[R, ...]:
        """Both sides."""
        return (*self.train, *self.validation)

    @property
    def digest(self) -> str:
        """Names this version of the set."""
        sides = [[row.digest for row in side] for side in (self.train, self.validation)]
        return digest_json(sides)

    @property
    def counts(self) -> dict[str, int]:
        """Numbers for the page."""
        return {
            "train": len(self.train),
            "validation": len(self.validation),
            "refused": len(self.refused),
            "leaks": len(self.leaks),
            "duplicates": self.duplicates,
            "characters": sum(row.characters for row in self.rows),
            "tokens_estimated": round(
                sum(row.characters for row in self.rows) / _CHARACTERS_A_TOKEN
            ),
        }

    def shares(self, of: str) -> dict[str, int]:
        """Rows by `language`, `licence` or `tenant`."""
        return dict(sorted(Counter(str(getattr(row, of)) for row in self.rows).items()))


def parse_rows(
    text: str, *, place: str, licence: str, tenant: str
) -> tuple[list[ChatRow], list[Refused]]:
    """Rows of one file. A line that is none is refused, and the others are kept."""
    return read_lines(text, place, lambda line, where: _row(line, where, licence, tenant))


def read_lines(
    text: str, place: str, read: Callable[[str, str], Read]
) -> tuple[list[Read], list[Refused]]:
    """What `read` makes of each line and its place; a ValueError refuses a line, and no other.

    Lines end at a line feed alone: U+2028 within a text is JSON (RFC 8259, 7).
    """
    rows: list[Read] = []
    refused: list[Refused] = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        where = f"{place}:{number}"
        try:
            rows.append(read(line, where))
        except ValueError as error:
            refused.append(Refused(where, str(error)))
    return rows, refused


def make_training_set(
    rows: Sequence[R],
    refused: Iterable[Refused],
    *,
    golden: Iterable[tuple[str, str]],
    validation_share: float,
) -> TrainingSet[R]:
    """Without duplicates and without what gives a golden question away; then split.

    The side of a row follows from its own key alone: adding rows moves none.
    """
    unique = list({row.digest: row for row in reversed(rows)}.values())
    unique.sort(key=lambda row: row.digest)
    guard = LeakageGuard(golden)
    leaks = guard.leaks([row.texts for row in unique])
    leaking = {leak.position for leak in leaks}
    kept = [row for position, row in enumerate(unique) if position not in leaking]
    bound = validation_share * _SPLIT_PARTS
    sides: tuple[list[R], list[R]] = ([], [])
    for row in kept:
        sides[int(shard_of(row.key, _SPLIT_PARTS) < bound)].append(row)
    return TrainingSet(
        train=tuple(sides[0]),
        validation=tuple(sides[1]),
        refused=tuple(refused),
        leaks=tuple((unique[leak.position], leak) for leak in leaks),
        duplicates=len(rows) - len(unique),
    )


def to_jsonl(rows: Iterable[Row]) -> str:
    """As the trainer reads them."""
    return "".join(f"{json.dumps(row.record(), ensure_ascii=False)}\n" for row in rows)


def _row(line: str, place: str, licence: str, tenant: str) -> ChatRow:
    raw: Any = json.loads(line)
    if not isinstance(raw, dict):
        raise ValueError("not a JSON object")
    record = cast("Mapping[str, Any]", raw)
    if (state := record.get("state") or ACCEPTED) != ACCEPTED:
        raise ValueError(f"its state is {state}: a person makes it `{ACCEPTED}`, or deletes it")
    messages = record.get("messages")
    if not isinstance(messages, list) or not messages:
        raise ValueError("no `messages`")
    turns = tuple(_turn(message) for message in cast("list[Any]", messages))
    if turns[-1][0] != "assistant" or all(role != "user" for role, _ in turns):
        raise ValueError("a chat has a question of a user and ends with an answer")
    return ChatRow(
        turns,
        licence=str(record.get("licence") or licence),
        tenant=str(record.get("tenant") or tenant),
        place=place,
    )


def _turn(message: Any) -> tuple[str, str]:
    turn = cast("dict[str, Any]", message if isinstance(message, dict) else {})
    role, content = turn.get("role"), turn.get("content")
    if role not in ROLES or not isinstance(content, str) or not content.strip():
        raise ValueError(f"a turn is {{role: {' | '.join(ROLES)}, content: text}}")
    return str(role), content
