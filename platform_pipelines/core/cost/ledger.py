"""Where the money went: tokens times prices, and seconds of owned GPUs, down to one answer.

Every amount is a decimal of at most twelve places until it is shown, so that sums are the same in
any order. The seconds of a node are accounted for wholly:
busy for somebody, warming up for a model, or idle; a second that is in none of them, or in two, is
an error and not a rounding.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from platform_pipelines.core.road.pricing import CENT, TokenPrice, cost_of_tokens, shown_cents
from platform_pipelines.errors import ConfigurationError, IntegrityError

SHARED = "(platform)"  # whose idle seconds are
_HOUR = Decimal(3600)
_UNIT = Decimal("1e-12")  # a third of a dollar has no last digit: this is where it ends


class Use(StrEnum):
    """What a second of a node was."""

    BUSY = "busy"
    WARM_UP = "warm-up"
    IDLE = "idle"


@dataclass(frozen=True, slots=True)
class Answer:
    """One answered request."""

    answer_id: str
    tenant: str
    model: str
    run: str  # of a pipeline; empty for a person's question
    prompt_tokens: int
    completion_tokens: int


@dataclass(frozen=True, slots=True)
class Stretch:
    """A stretch of a node's time, in whole seconds since it started; `end` is not in it."""

    start: int
    end: int
    use: Use
    tenant: str = SHARED
    model: str = ""
    run: str = ""


@dataclass(frozen=True, slots=True)
class NodeTime:
    """One owned node while it was held, or one of its `parts` (GPUs), which cost alike."""

    node: str
    instance_type: str
    seconds: int
    stretches: tuple[Stretch, ...]
    parts: int = 1


@dataclass(frozen=True, slots=True)
class Line:
    """One amount, with everything it is grouped by."""

    source: str  # `tokens`, or the GPU time's use
    tenant: str
    model: str
    run: str
    item: str  # the answer's id, or the node
    usd: Decimal


@dataclass(frozen=True, slots=True)
class Share:
    """One row of a table: its exact amount, and the cents that add up to the table's total."""

    name: str
    usd: Decimal
    cents: Decimal


@dataclass(frozen=True, slots=True)
class BudgetAlert:
    """A tenant whose budget is nearly or wholly spent."""

    tenant: str
    spent: Decimal
    budget: Decimal
    share: Decimal


def token_lines(answers: Iterable[Answer], prices: Mapping[str, TokenPrice]) -> list[Line]:
    """What each answer cost.

    Raises:
        ConfigurationError: a model has no price: an unknown cost is not a cost of nothing.
        IntegrityError: one answer is there twice.
    """
    lines: list[Line] = []
    seen: set[str] = set()
    for one in answers:
        if one.answer_id in seen:
            raise IntegrityError("an answer is billed twice", where=one.answer_id)
        seen.add(one.answer_id)
        price = prices.get(one.model)
        if price is None:
            raise ConfigurationError(
                "a model has no price", where=one.answer_id, stored=one.model,
                expected=", ".join(sorted(prices)), remedy="add it to the model catalogue",
            )  # fmt: skip
        exact = cost_of_tokens(price, prompt=one.prompt_tokens, completion=one.completion_tokens)
        usd = exact.quantize(_UNIT)
        lines.append(Line("tokens", one.tenant, one.model, one.run, one.answer_id, usd))
    return lines


def node_lines(nodes: Iterable[NodeTime], hourly: Mapping[str, Decimal]) -> list[Line]:
    """What each stretch of each node cost; the lines of a node sum to all of its time.

    Raises:
        ConfigurationError: an instance type has no price.
        IntegrityError: a second of a node is not accounted for, or twice.
    """
    lines: list[Line] = []
    for node in nodes:
        price = hourly.get(node.instance_type)
        if price is None:
            raise ConfigurationError(
                "an instance type has no price", where=node.node, stored=node.instance_type,
                remedy="add it to tables/instance_prices.yaml, with its date",
            )  # fmt: skip
        _check_whole(node)
        for s in node.stretches:
            usd = _until(price / node.parts, s.end) - _until(price / node.parts, s.start)
            lines.append(Line(str(s.use), s.tenant, s.model, s.run, node.node, usd))
    return lines


def by(lines: Sequence[Line], level: str) -> list[Share]:
    """The lines summed by `tenant`, `model`, `run`, `source` or `item`, the dearest first.

    The cents of every table add up to the cents of the whole.
    """
    sums: dict[str, Decimal] = defaultdict(Decimal)
    for line in lines:
        sums[str(getattr(line, level))] += line.usd
    ordered = sorted(sums.items(), key=lambda pair: (-pair[1], pair[0]))
    cents = shown_cents(usd for _, usd in ordered)
    return [Share(name, usd, shown) for (name, usd), shown in zip(ordered, cents, strict=True)]


def total(lines: Iterable[Line]) -> Decimal:
    """The whole, exactly."""
    return sum((line.usd for line in lines), Decimal())


def over_budget(
    lines: Sequence[Line], budgets: Mapping[str, Decimal], *, warn_at: Decimal = Decimal("0.8")
) -> list[BudgetAlert]:
    """Tenants that have spent `warn_at` of their budget or more, the furthest first."""
    spent = {share.name: share.usd for share in by(lines, "tenant")}
    alerts = [
        BudgetAlert(tenant, spent[tenant].quantize(CENT), budget, spent[tenant] / budget)
        for tenant, budget in budgets.items()
        if tenant in spent and spent[tenant] >= budget * warn_at
    ]
    return sorted(alerts, key=lambda one: -one.share)


def _until(price: Decimal, second: int) -> Decimal:
    """The cost up to a second. Differences of these sum to the whole, whatever the cuts."""
    return (price * second / _HOUR).quantize(_UNIT)


def _check_whole(node: NodeTime) -> None:
    at = 0
    for one in sorted(node.stretches, key=lambda s: s.start):
        if one.start != at or one.end <= one.start:
            raise IntegrityError(
                "seconds of a node are not accounted for, or twice",
                where=f"{node.node} ({node.instance_type})",
                stored=f"{one.use} from {one.start} to {one.end}",
                expected=f"a stretch from second {at} on",
            )
        at = one.end
    if at != node.seconds:
        raise IntegrityError(
            "seconds of a node are not accounted for",
            where=f"{node.node} ({node.instance_type})",
            stored=f"{at} s",
            expected=f"{node.seconds} s",
        )
