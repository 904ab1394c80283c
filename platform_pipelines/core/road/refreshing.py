"""Who owns a knowledge base and when it is refreshed: what is wrong with a cron, a zone, an owner.

Each function answers with what is wrong, or with nothing. No less is allowed than Dagster allows,
except a schedule that is drawn by lot (`R`) or differs between machines (`H`).
"""

import re
from dataclasses import dataclass
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

_SHORTHANDS = ("@hourly", "@daily", "@midnight", "@weekly", "@monthly", "@yearly", "@annually")
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_LONGEST_MONTH = dict(enumerate((31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31), start=1))
_PART = re.compile(r"(?:\*|(\w+)(?:-(\w+))?)(?:/([0-9]+))?", re.ASCII)
_NUMBER = re.compile(r"[0-9]{1,4}")
_OWNER = re.compile(r"team:.+|[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+\.[A-Za-z]{2,7}", re.DOTALL)


@dataclass(frozen=True, slots=True)
class _Field:
    """One of the five fields: its range, the names that stand for numbers, its own extras."""

    name: str
    low: int
    high: int
    names: tuple[str, ...] = ()
    special: str = r"(?!)"

    def number(self, text: str) -> int | None:
        """The number that a word of the field means; None when it means none."""
        if text.lower() in self.names:
            return self.names.index(text.lower()) + self.low
        number = int(text) if _NUMBER.fullmatch(text) else -1
        return number if self.low <= number <= self.high else None

    @property
    def allowed(self) -> str:
        """What may stand there."""
        names = f" or {self.names[0]} to {self.names[-1]}" if self.names else ""
        return f"{self.low} to {self.high}{names}"


_FIELDS = (
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day of month", 1, 31, special=r"\?|(?:[0-9]{1,2}-)?l(?:/[0-9]+)?"),
    _Field("month", 1, 12, _MONTHS),
    _Field("day of week", 0, 7, _DAYS, special=r"\?|l[0-7]|(?:\w{1,3}-)?\w{1,3}#[1-5l]"),
)


def cron_problem(cron: str) -> str:
    """What is wrong with a cron expression of five fields, or with its shorthand, e.g. `@daily`."""
    if cron.strip().lower() in _SHORTHANDS:
        return ""
    texts = cron.split()
    if len(texts) != len(_FIELDS):
        return f"has {len(texts)} fields, not five"
    wrong = (_field_problem(field, text) for field, text in zip(_FIELDS, texts, strict=True))
    return next(filter(None, wrong), "") or _never(texts[2], texts[3], texts[4])


def timezone_problem(name: str) -> str:
    """What is wrong with the name of a time zone."""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):  # no such name, no name at all, a folder
        return "no time zone has this name"
    return ""


def owner_problem(owner: str) -> str:
    """What is wrong with an owner: Dagster shows teams and e-mail addresses."""
    if _OWNER.fullmatch(owner) and owner.strip() not in ("team:", ""):
        return ""
    return "is neither a team (`team:name`) nor an e-mail address"


def _field_problem(field: _Field, text: str) -> str:
    for part in text.split(","):
        if re.fullmatch(field.special, part, re.IGNORECASE):
            continue
        found = _PART.fullmatch(part)
        if found is None:
            return f"the {field.name} {part!r} is not a number, a range, a step or `*`"
        for word in (found[1], found[2]):
            if word is not None and field.number(word) is None:
                return f"the {field.name} {word!r} is not among {field.allowed}"
        if found[3] is not None and int(found[3]) == 0:
            return f"the step of the {field.name} {part!r} is 0"
    return ""


def _never(day: str, month: str, weekday: str) -> str:
    """A date that no year has: the schedule would be accepted, and never start a run."""
    number = _FIELDS[2].number(day)
    months = [_FIELDS[3].number(m) for m in month.split(",")]
    if number is None or weekday != "*" or None in months:
        return ""
    longest = max(_LONGEST_MONTH[m] for m in months if m is not None)
    return f"no such month has a day {number}" if number > longest else ""
