"""What an embedder learns from: questions, the passage that answers each, and some that do not."""

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from platform_pipelines.core.fine_tune.training_rows import Refused, is_korean, read_lines
from platform_pipelines.core.road.identity import digest_json, digest_parts
from platform_pipelines.core.road.leakage import SIMILAR, grams

_SENTENCE = re.compile(r"(?<=[.!?。])\s+|\n+")
_FEWEST_CHARACTERS = 20  # of a passage, and of a sentence that stands for a question


@dataclass(frozen=True, slots=True)
class PairRow:
    """One question with its passage, and whose it is."""

    question: str
    positive: str
    negatives: tuple[str, ...]
    licence: str
    tenant: str
    place: str  # file and line, or knowledge base and chunk

    @property
    def key(self) -> str:
        """Of the passage: what was held out was not learnt by another question either."""
        return digest_parts(self.positive)

    @property
    def digest(self) -> str:
        """Of all its texts."""
        return digest_json([self.question, self.positive, *self.negatives])

    @property
    def texts(self) -> tuple[str, ...]:
        """What the leakage guard reads."""
        return (self.question, self.positive, *self.negatives)

    @property
    def language(self) -> str:
        """`ko` where any text holds Hangul."""
        return "ko" if any(map(is_korean, self.texts)) else "other"

    @property
    def characters(self) -> int:
        """Of all texts."""
        return sum(map(len, self.texts))

    def record(self) -> dict[str, Any]:
        """As the bi-encoder's recipe reads it."""
        return {"query": self.question, "pos_doc": self.positive, "neg_doc": list(self.negatives)}


def parse_pairs(
    text: str, *, place: str, licence: str, tenant: str
) -> tuple[list[PairRow], list[Refused]]:
    """Rows of one file: {"question", "positive", "negatives": [...]}, the last one optional."""
    return read_lines(text, place, lambda line, where: _row(line, where, licence, tenant))


def _row(line: str, place: str, licence: str, tenant: str) -> PairRow:
    raw: Any = json.loads(line)
    record = cast("Mapping[str, Any]", raw if isinstance(raw, dict) else {})
    question, positive = record.get("question"), record.get("positive")
    negatives = cast("list[Any]", record.get("negatives") or [])
    texts = [question, positive, *negatives]
    if not all(isinstance(text, str) and text.strip() for text in texts):
        raise ValueError("a row is {question: text, positive: text, negatives: [text, ...]}")
    return PairRow(
        str(question), str(positive), tuple(map(str, negatives)),
        licence=str(record.get("licence") or licence),
        tenant=str(record.get("tenant") or tenant),
        place=place,
    )  # fmt: skip


def pairs_of(text: str, *, place: str) -> list[PairRow]:
    """The inverse of `training_rows.to_jsonl`, without whose the rows are."""
    records: list[dict[str, Any]] = [json.loads(line) for line in text.split("\n") if line]
    return [
        PairRow(
            one["query"], one["pos_doc"], tuple(one["neg_doc"]), licence="", tenant="",
            place=f"{place}:{number}",
        )
        for number, one in enumerate(records, start=1)
    ]  # fmt: skip


def chunk_pair(
    *, title: str, heading: Sequence[str], text: str, licence: str, tenant: str, place: str
) -> PairRow | None:
    """A chunk as a row: what it stands under asks for it; without that, its first sentence does.

    None where too little is left to learn from.
    """
    above = " — ".join(dict.fromkeys(part.strip() for part in (title, *heading) if part.strip()))
    body = text.strip()
    if heading and above:
        question = above
    else:
        first, _, rest = _parted(body)
        question, body = first, rest
    if len(body) < _FEWEST_CHARACTERS or not question:
        return None
    return PairRow(question, body, (), licence=licence, tenant=tenant, place=place)


def _parted(text: str) -> tuple[str, str, str]:
    """The first sentence, and what comes after it."""
    found = _SENTENCE.search(text, _FEWEST_CHARACTERS)
    return ("", "", text) if found is None else (text[: found.start()], "", text[found.end() :])


def with_negatives(rows: Sequence[PairRow], count: int) -> tuple[list[PairRow], list[PairRow]]:
    """Each row with `count` negatives: its own first, then passages of the others on its side.

    Those that share most with the question and the passage are taken, because easy ones teach
    nothing; a near-duplicate of the passage may answer, and is not. Second: rows without any.
    """
    held = {row.positive: grams(row.positive) for row in rows}
    passages = sorted(held, key=digest_parts)
    holders: dict[str, list[str]] = {}
    for passage in passages:
        for gram in held[passage]:
            holders.setdefault(gram, []).append(passage)
    made: list[PairRow] = []
    bare: list[PairRow] = []
    for row in rows:
        missing = count - len(row.negatives)
        near = _nearest(row, held, holders, passages) if missing > 0 else ()
        chosen = (*row.negatives, *[one for one in near if one not in row.negatives][:missing])
        (made if chosen else bare).append(replace(row, negatives=chosen[:count]))
    return made, bare


def _nearest(
    row: PairRow,
    held: Mapping[str, frozenset[str]],
    holders: Mapping[str, list[str]],
    passages: Iterable[str],
) -> list[str]:
    """Other passages, the most alike first; those that share nothing come last."""
    own = held[row.positive]
    shared = Counter(
        passage for gram in own | grams(row.question) for passage in holders.get(gram, ())
    )
    others = [p for p in passages if p != row.positive and not _is_near(own, held[p])]
    return sorted(others, key=lambda passage: -shared[passage])


def _is_near(one: frozenset[str], other: frozenset[str]) -> bool:
    return len(one & other) >= SIMILAR * len(one | other)
