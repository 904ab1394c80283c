"""Stored records: how they are written, and how what another version wrote is read.

A record is a pydantic dataclass with a `format` number. The rule for changing one:

- A field that an older reader may do without is added with a default; the format stays. Readers
  ignore fields that they do not know, and keep them: the digest is of the record as it is stored.
- The format is raised only when an older reader would misread the record. The reader then gets an
  upgrade from every earlier format, and a fixture of the earlier one stays in the tests for ever.
- A newer format than the reader's is refused, and the message says which version wrote it.
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Generic, NoReturn, TypeVar, cast

from pydantic import ConfigDict, TypeAdapter

from platform_pipelines.errors import IntegrityError

VERSION = "0.1.0"  # of this package, as pyproject.toml says
CONFIG = ConfigDict(extra="ignore", arbitrary_types_allowed=True)

Model = TypeVar("Model")
Raw = dict[str, Any]


def stored_field() -> Any:
    """The field `stored` of a record: the JSON object that it was read from, None for a new one."""
    return field(init=False, default=None, repr=False, compare=False)


def plain(record: Any) -> Raw:
    """A record's fields as a JSON object; what it was read from is not one of them."""
    adapter = TypeAdapter[Any](cast("type[Any]", type(record)))
    values: Raw = adapter.dump_python(record, mode="python")
    return {f.name: _jsonable(values[f.name]) for f in fields(record) if f.name != "stored"}


def _jsonable(value: Any) -> Any:
    if isinstance(value, Mapping):
        pairs = cast("Mapping[Any, Any]", value)
        return {str(k): _jsonable(v) for k, v in pairs.items()}
    if isinstance(value, list | tuple):
        return [_jsonable(v) for v in cast("Sequence[Any]", value)]
    return value


def _finite(text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else _not_finite(text)


def _not_finite(text: str) -> NoReturn:
    """`NaN`, or `1e999`: no digest is of it."""
    raise ValueError(f"{text} is no number of JSON")


@dataclass(frozen=True)
class Format(Generic[Model]):
    """How a kind of record is read.

    `upgrades[n]` makes a JSON object of format n into one of format n + 1.
    """

    kind: str  # with its article, for messages: "a snapshot"
    model: type[Model]
    current: int
    remedy: str
    upgrades: Mapping[int, Callable[[Raw], Raw]] = field(
        default_factory=dict[int, Callable[[Raw], Raw]]
    )

    def parse(self, text: str | bytes, *, where: str) -> Raw:
        """The JSON object.

        Raises:
            IntegrityError: it is not one, or holds a number that is not finite.
        """
        try:
            raw: Any = json.loads(text, parse_constant=_not_finite, parse_float=_finite)
        except (ValueError, RecursionError) as error:
            raise self.refuse(str(error), where) from error
        if not isinstance(raw, dict):
            raise self.refuse(f"a JSON {type(raw).__name__}", where)
        return cast("Raw", raw)

    def read(self, raw: Raw, *, where: str) -> Model:
        """The record of a JSON object, of this format or an older one.

        Raises:
            IntegrityError: of a newer format, or not of this kind.
        """
        number = raw.get("format", 1)
        if isinstance(number, bool) or not isinstance(number, int) or number < 1:
            raise self.refuse(f"format {number!r}", where)
        if number > self.current:
            raise IntegrityError(
                f"{self.kind} of a format that this version does not read",
                where=where,
                stored=f"format {number}, written by {raw.get('written_by') or 'unknown'}",
                expected=f"format {self.current} or less, this is {VERSION}",
                remedy="use the version that wrote it, or a later one",
            )
        try:
            shaped = raw
            for step in range(number, self.current):
                shaped = {**self.upgrades[step](shaped), "format": step + 1}
            record = TypeAdapter(self.model).validate_python(shaped)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise self.refuse(str(error), where) from error
        object.__setattr__(record, "stored", raw)
        return record

    def refuse(self, problem: str, where: str) -> IntegrityError:
        """What cannot be read at all."""
        return IntegrityError(f"not {self.kind}: {problem}", where=where, remedy=self.remedy)

    def must_equal(self, what: str, stored: object, expected: object, *, where: str) -> None:
        """Raises IntegrityError when a stated digest is not the one of the content."""
        if stored != expected:
            raise IntegrityError(
                f"{self.kind} is not what its {what} says",
                where=where,
                stored=stored,
                expected=expected,
                remedy=self.remedy,
            )
