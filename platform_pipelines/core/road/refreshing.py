"""Who owns a component and when it runs: what is wrong with a cron, a zone, an owner.

Each function answers with what is wrong, or with nothing. Dagster reads the cron itself when the
schedule is made (`components/shared/jobs.py`); here is what it would accept and nobody can mean.
"""

import re
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

_SHORTHANDS = ("@hourly", "@daily", "@midnight", "@weekly", "@monthly", "@yearly", "@annually")
_LONGEST = {"2": 29, "feb": 29} | dict.fromkeys(
    ("4", "6", "9", "11", "apr", "jun", "sep", "nov"), 30
)
_BY_LOT = re.compile(r"[hr](?![a-z])", re.IGNORECASE)  # `R`; `H` differs between machines
_OWNER = re.compile(r"team:.+|[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+\.[A-Za-z]{2,7}", re.DOTALL)


def cron_problem(cron: str) -> str:
    """What is wrong with a cron expression of five fields, or with its shorthand, e.g. `@daily`."""
    if cron.strip().lower() in _SHORTHANDS:
        return ""
    fields = cron.split()
    if len(fields) != 5:
        return f"has {len(fields)} fields, not five"
    if any(_BY_LOT.match(part) for field in fields for part in field.split(",")):
        return "is drawn by lot: `H` and `R` are not allowed"
    return _never(*fields[2:])


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


def _never(day: str, month: str, weekday: str) -> str:
    """A date that no year has: the schedule would be accepted, and never start a run."""
    months = [one.lower().lstrip("0") for one in month.split(",")]
    if not day.isascii() or not day.isdigit() or weekday != "*" or not set(months) <= set(_LONGEST):
        return ""
    longest = max(_LONGEST[one] for one in months)
    return f"no such month has a day {int(day)}" if int(day) > longest else ""
