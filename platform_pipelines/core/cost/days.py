"""Days and months of money: a day's sums as they are kept, and a month as the sum of its days."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from platform_pipelines.core.cost.ledger import Line, Share, by, total
from platform_pipelines.core.road.pricing import shown_cents

LEVELS = ("tenant", "model", "run", "source")
DEAREST = 20


@dataclass(frozen=True, slots=True)
class DaySums:
    """One day, exactly, at every level."""

    day: str
    total: Decimal
    levels: Mapping[str, Mapping[str, Decimal]]
    dearest: tuple[tuple[str, Decimal], ...]  # items: answers and nodes
    answers: int
    seconds: Mapping[str, int]  # of owned nodes, by use

    def to_record(self) -> dict[str, Any]:
        """As JSON; amounts are texts, so that none is rounded."""
        return {
            "day": self.day,
            "total": str(self.total),
            "levels": {n: {k: str(v) for k, v in one.items()} for n, one in self.levels.items()},
            "dearest": [[name, str(usd)] for name, usd in self.dearest],
            "answers": self.answers,
            "seconds": dict(self.seconds),
        }


def day_sums(
    day: str, lines: Sequence[Line], *, answers: int, seconds: Mapping[str, int]
) -> DaySums:
    """Sum a day."""
    levels = {level: {s.name: s.usd for s in by(lines, level)} for level in LEVELS}
    dearest = tuple((share.name, share.usd) for share in by(lines, "item")[:DEAREST])
    return DaySums(day, total(lines), levels, dearest, answers, dict(seconds))


def day_from_record(raw: Mapping[str, Any]) -> DaySums:
    """The inverse of `DaySums.to_record`.

    Raises:
        ValueError, KeyError, TypeError: it is none.
    """
    levels = {
        level: {str(k): Decimal(v) for k, v in raw["levels"][level].items()} for level in LEVELS
    }
    dearest = tuple((str(name), Decimal(usd)) for name, usd in raw["dearest"])
    seconds = {str(k): int(v) for k, v in raw["seconds"].items()}
    return DaySums(
        str(raw["day"]), Decimal(raw["total"]), levels, dearest, int(raw["answers"]), seconds
    )


def table_of(days: Iterable[DaySums], level: str) -> list[Share]:
    """Days summed at a level, the dearest first; the cents add up to those of the whole."""
    sums: dict[str, Decimal] = defaultdict(Decimal)
    for day in days:
        for name, usd in day.levels[level].items():
            sums[name] += usd
    ordered = sorted(sums.items(), key=lambda pair: (-pair[1], pair[0]))
    cents = shown_cents(usd for _, usd in ordered)
    return [Share(name, usd, shown) for (name, usd), shown in zip(ordered, cents, strict=True)]


def differences(days: Sequence[DaySums]) -> dict[str, Decimal]:
    """What each level's table differs from the total by: zeros, or somebody's table is wrong."""
    whole = sum((day.total for day in days), Decimal())
    return {
        level: sum((s.usd for s in table_of(days, level)), Decimal()) - whole for level in LEVELS
    }


def month_lines(days: Sequence[DaySums]) -> list[Line]:
    """A line a tenant, for the budgets."""
    return [
        Line("month", share.name, "", "", share.name, share.usd)
        for share in table_of(days, "tenant")
    ]
