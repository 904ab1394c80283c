"""Money is exact: tokens times prices, and cents that add up."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from platform_pipelines.core.road.pricing import CENT, TokenPrice, cost_of_tokens, shown_cents

amounts = st.decimals(0, 10_000, places=7, allow_nan=False)


def test_tokens_cost_their_price_exactly() -> None:
    """0.1 + 0.2 is not 0.3 in binary fractions, and an invoice is."""
    price = TokenPrice(Decimal("0.10"), Decimal("0.40"))
    assert cost_of_tokens(price, prompt=3, completion=1) == Decimal("0.0000007")


def test_negative_tokens_are_refused() -> None:
    """A server that counts wrongly must not pay us."""
    with pytest.raises(ValueError, match="not negative"):
        cost_of_tokens(TokenPrice(Decimal(1), Decimal(1)), prompt=-1, completion=0)


@given(st.lists(amounts, max_size=30))
def test_shown_cents_add_up_to_the_shown_total(parts: list[Decimal]) -> None:
    """And none is off by a cent or more."""
    shown = shown_cents(parts)
    assert sum(shown, Decimal()) == sum(parts, Decimal()).quantize(CENT)
    assert all(abs(a - b) < CENT for a, b in zip(shown, parts, strict=True))
