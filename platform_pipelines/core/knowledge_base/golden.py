"""The golden set: questions and where their answers stand, from JSON Lines to typed records."""

import json
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from platform_pipelines.core.road.identity import Json, canonical_json, digest_json
from platform_pipelines.errors import ConfigurationError

_FIELDS = frozenset(("id", "language", "question", "answerable", "references", "answer", "tenant"))
_LANGUAGE = re.compile(r"[a-z]{2,3}")
ANY_DOCUMENT = "*"  # of a reference whose author knows the words and not where they stand


@dataclass(frozen=True, slots=True)
class Reference:
    """Where an answer stands: a document's key and the words quoted from it."""

    document: str
    quote: str


@dataclass(frozen=True, slots=True)
class Question:
    """One question. Not answerable: the corpus lacks the answer, and the right reply says so."""

    id: str
    language: str
    question: str
    answerable: bool
    references: tuple[Reference, ...]
    answer: str
    tenant: str | None = None


@dataclass(frozen=True, slots=True)
class GoldenSet:
    """All questions in the file's order. `digest` is the version: of the content, not the order."""

    questions: tuple[Question, ...]
    digest: str

    @property
    def answerable(self) -> tuple[Question, ...]:
        """The questions that retrieval is scored on."""
        return tuple(q for q in self.questions if q.answerable)

    @property
    def unanswerable(self) -> tuple[Question, ...]:
        """The questions that only the calibration of "I do not know" uses."""
        return tuple(q for q in self.questions if not q.answerable)


@dataclass(frozen=True, slots=True)
class _Line:
    """One line of the file with its address for messages."""

    record: Mapping[str, Any]
    where: str

    def refuse(self, field: str, what: str, *, stored: object, expected: str) -> ConfigurationError:
        return ConfigurationError(
            f"golden set: field `{field}` {what}",
            where=self.where,
            stored=stored,
            expected=expected,
            remedy="correct this line of the golden set",
        )

    def text(self, field: str, *, optional: bool = False) -> str:
        value = self.record.get(field)
        if value is None and optional:
            return ""
        if not isinstance(value, str) or not (optional or value.strip()):
            raise self.refuse(field, "is not a text", stored=value, expected="a non-blank string")
        return unicodedata.normalize("NFC", value).strip()


def of_tenant(golden: GoldenSet, tenant: str, *, where: str) -> GoldenSet:
    """The golden set, whose questions are all of one tenant; one that names none is everybody's.

    Raises:
        ConfigurationError: a question is of another tenant, whose chunks this one never sees.
    """
    own = unicodedata.normalize("NFC", tenant).strip()  # as the questions' tenants are read
    others = [q for q in golden.questions if q.tenant not in (None, own)]
    if others:
        raise ConfigurationError(
            "a golden question is of another tenant than the knowledge base",
            where=f"{where}, question {others[0].id}",
            stored=f"tenant = {others[0].tenant!r} ({len(others)} questions)",
            expected=f"{tenant!r}, or no tenant",
            remedy="move these questions into the golden set of their tenant's knowledge base",
        )
    return golden


def parse_golden_set(text: str, *, where: str) -> GoldenSet:
    """Read a golden set, one JSON object a line; blank lines are allowed. `where` names the file.

    Raises:
        ConfigurationError: names the line and the field that is wrong; or no line holds a question.
    """
    # Not splitlines(): it also breaks at U+2028 and friends, which JSON strings may hold.
    numbered = enumerate(text.removeprefix("\ufeff").split("\n"), start=1)
    rows = [(_record_of(raw, at), at) for raw, at in _placed(numbered, where) if raw.strip()]
    return golden_set_of(rows, where=where)


def golden_set_of(rows: Iterable[tuple[object, str]], *, where: str) -> GoldenSet:
    """A golden set of records, each with the place that a message names.

    Raises:
        ConfigurationError: names the place and the field that is wrong; or there is no question.
    """
    lines = [_line(record, at) for record, at in rows]
    if not lines:
        raise ConfigurationError(
            "the golden set holds no question",
            where=where,
            remedy="write one JSON object a line, or declare no golden set",
        )
    questions = tuple(_question(line) for line in lines)
    _refuse_repeats(lines, [q.id for q in questions], field="id")
    _refuse_repeats(lines, [_asked(q) for q in questions], field="question")
    return GoldenSet(questions=questions, digest=_digest(questions))


def to_lines(golden: GoldenSet) -> str:
    """As JSON Lines in the order of the ids, for `parse_golden_set`: one text for one digest."""
    records = [
        {
            **_record(q),
            "references": [{"document": r.document, "quote": r.quote} for r in q.references],
        }
        for q in sorted(golden.questions, key=lambda q: q.id)
    ]
    return "".join(canonical_json(record) + "\n" for record in records)


def _placed(numbered: Iterable[tuple[int, str]], where: str) -> list[tuple[str, str]]:
    return [(raw, f"{where}, line {number}") for number, raw in numbered]


def _record_of(raw: str, where: str) -> object:
    try:
        return json.loads(raw)
    except ValueError as error:
        raise ConfigurationError(
            "golden set: a line is not JSON", where=where, stored=str(error), expected="one object"
        ) from error


def _line(record: object, where: str) -> _Line:
    line = _Line(record=cast("Mapping[str, Any]", record), where=where)
    if not isinstance(record, dict):
        raise line.refuse("(line)", "is not an object", stored=record, expected="{...}")
    unknown = sorted(set(line.record) - _FIELDS)
    if unknown:
        allowed = ", ".join(sorted(_FIELDS))
        raise line.refuse(unknown[0], "is unknown", stored=unknown, expected=allowed)
    return line


def _question(line: _Line) -> Question:
    answerable = line.record.get("answerable")
    if not isinstance(answerable, bool):
        raise line.refuse(
            "answerable", "is not a boolean", stored=answerable, expected="true|false"
        )
    language = line.text("language")
    if not _LANGUAGE.fullmatch(language):
        raise line.refuse("language", "is no code", stored=language, expected="`ko`, `en`, ...")
    return Question(
        id=line.text("id"),
        language=language,
        question=line.text("question"),
        answerable=answerable,
        references=_references(line, answerable=answerable),
        answer=line.text("answer", optional=not answerable),
        tenant=line.text("tenant", optional=True) or None,
    )


def _references(line: _Line, *, answerable: bool) -> tuple[Reference, ...]:
    value = line.record.get("references", [])
    if not isinstance(value, list):
        raise line.refuse("references", "is not a list", stored=value, expected="a list")
    items = cast("Sequence[object]", value)
    if answerable and not items:
        raise line.refuse("references", "is empty", stored=0, expected="at least one reference")
    if items and not answerable:
        raise line.refuse("references", "is not empty", stored=len(items), expected="none")
    references = tuple(_reference(line, i, item) for i, item in enumerate(items))
    return tuple(dict.fromkeys(references))


def _reference(line: _Line, index: int, item: object) -> Reference:
    where = f"{line.where}, reference {index + 1}"
    if not isinstance(item, dict):
        raise line.refuse(
            "references", "holds no object", stored=item, expected="{document, quote}"
        )
    inner = _Line(record=cast("Mapping[str, Any]", item), where=where)
    unknown = sorted(set(inner.record) - {"document", "quote"})
    if unknown:
        raise inner.refuse(unknown[0], "is unknown", stored=unknown, expected="document, quote")
    return Reference(document=inner.text("document"), quote=inner.text("quote"))


def _asked(question: Question) -> str:
    """What makes two questions the same: tenant and words, whatever the spaces and the case."""
    return f"{question.tenant or ''}\n{' '.join(question.question.casefold().split())}"


def _refuse_repeats(lines: Sequence[_Line], values: Sequence[str], *, field: str) -> None:
    first: dict[str, _Line] = {}
    for line, value in zip(lines, values, strict=True):
        if value in first:
            earlier = first[value].where
            raise line.refuse(
                field, "is used twice", stored=line.record[field], expected=f"not that of {earlier}"
            )
        first[value] = line


def _digest(questions: Sequence[Question]) -> str:
    return digest_json([_record(q) for q in sorted(questions, key=lambda q: q.id)])


def _record(question: Question) -> dict[str, Json]:
    return {
        "id": question.id,
        "language": question.language,
        "question": question.question,
        "answerable": question.answerable,
        "references": [[r.document, r.quote] for r in question.references],
        "answer": question.answer,
        "tenant": question.tenant,
    }
