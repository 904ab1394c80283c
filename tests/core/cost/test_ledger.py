"""Sums are equal at every level, to the cent, and the seconds of a node are all there."""

from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from platform_pipelines.core.cost.ledger import (
    Answer,
    NodeTime,
    Stretch,
    Use,
    by,
    node_lines,
    over_budget,
    token_lines,
    total,
)
from platform_pipelines.core.road.pricing import CENT, TokenPrice
from platform_pipelines.errors import ConfigurationError, IntegrityError

PRICES = {
    "small": TokenPrice(Decimal("0.10"), Decimal("0.40")),
    "large": TokenPrice(Decimal("2.50"), Decimal("10.00")),
}
HOURLY = {"g5.xlarge": Decimal("1.006"), "inf2.xlarge": Decimal("0.7582")}
LEVELS = ("tenant", "model", "run", "source", "item")


def answer(number: int, **changes: Any) -> Answer:
    values = {
        "answer_id": f"a{number}", "tenant": "acme", "model": "small", "run": "",
        "prompt_tokens": 1000, "completion_tokens": 500, **changes,
    }  # fmt: skip
    return Answer(**values)


answers = st.lists(
    st.tuples(
        st.sampled_from(["acme", "beta", "gamma"]), st.sampled_from(["small", "large"]),
        st.sampled_from(["", "nightly"]), st.integers(0, 200_000), st.integers(0, 20_000),
    ),
    max_size=40,
)  # fmt: skip
cuts = st.lists(st.integers(1, 86_399), max_size=8, unique=True)


def node(points: list[int], name: str = "n1", kind: str = "g5.xlarge") -> NodeTime:
    edges = [0, *sorted(points), 86_400]
    uses = list(Use)
    stretches = tuple(
        Stretch(a, b, uses[i % 3], ("acme", "beta")[i % 2], "small")
        for i, (a, b) in enumerate(pairwise(edges))
    )
    return NodeTime(name, kind, 86_400, stretches)


@given(answers, cuts, cuts)
def test_every_level_sums_to_the_same_cents(
    asked: list[tuple[str, str, str, int, int]], first: list[int], second: list[int]
) -> None:
    """A report whose tables have different totals is believed by nobody."""
    billed = [
        Answer(f"a{n}", tenant, model, run, prompt, completion)
        for n, (tenant, model, run, prompt, completion) in enumerate(asked)
    ]
    nodes = [node(first), node(second, "n2", "inf2.xlarge")]
    lines = token_lines(billed, PRICES) + node_lines(nodes, HOURLY)
    whole = total(lines).quantize(CENT)
    for level in LEVELS:
        shares = by(lines, level)
        assert sum((s.cents for s in shares), Decimal()) == whole
        assert sum((s.usd for s in shares), Decimal()) == total(lines)


@given(cuts)
def test_the_stretches_of_a_node_cost_what_its_day_costs(points: list[int]) -> None:
    """Idle and warm-up are somebody's money too."""
    assert total(node_lines([node(points)], HOURLY)) == Decimal("1.006") * 24


@pytest.mark.parametrize(
    "stretches",
    [
        (Stretch(0, 10, Use.BUSY), Stretch(20, 100, Use.IDLE)),  # a hole
        (Stretch(0, 60, Use.BUSY), Stretch(50, 100, Use.IDLE)),  # twice
        (Stretch(0, 90, Use.BUSY),),  # the end is missing
        (Stretch(10, 100, Use.BUSY),),  # the beginning is
    ],
)
def test_seconds_that_are_missing_or_counted_twice_are_refused(
    stretches: tuple[Stretch, ...],
) -> None:
    """They would be somebody's invoice."""
    with pytest.raises(IntegrityError, match="accounted for"):
        node_lines([NodeTime("n", "g5.xlarge", 100, stretches)], HOURLY)


def test_an_unknown_price_is_not_a_price_of_nothing() -> None:
    """Neither of a model nor of a machine, and no answer is billed twice."""
    with pytest.raises(ConfigurationError, match="model has no price"):
        token_lines([answer(1, model="new")], PRICES)
    with pytest.raises(ConfigurationError, match="instance type has no price"):
        node_lines([node([], kind="p6.48xlarge")], HOURLY)
    with pytest.raises(IntegrityError, match="billed twice"):
        token_lines([answer(1), answer(1)], PRICES)


def test_a_budget_is_told_before_it_is_spent() -> None:
    """At 80 percent there is still time."""
    lines = token_lines([answer(1, model="large", tenant="acme")], PRICES)  # 0.0075 $
    assert over_budget(lines, {"acme": Decimal("0.01")}) == []
    (alert,) = over_budget(lines, {"acme": Decimal("0.009"), "beta": Decimal(1)})
    assert alert.tenant == "acme"
    assert alert.share == pytest.approx(Decimal("0.8333"), rel=Decimal("0.001"))
