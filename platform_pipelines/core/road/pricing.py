"""What tokens cost: tokens times the price of a million, exactly, in US dollars."""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal

_MILLION = Decimal(1_000_000)
CENT = Decimal("0.01")


@dataclass(frozen=True, slots=True)
class TokenPrice:
    """US dollars for 1,000,000 tokens."""

    input_per_million: Decimal
    output_per_million: Decimal


def cost_of_tokens(price: TokenPrice, *, prompt: int, completion: int) -> Decimal:
    """US dollars, not rounded.

    Raises:
        ValueError: a negative number of tokens.
    """
    if prompt < 0 or completion < 0:
        raise ValueError(f"tokens are not negative: {prompt}, {completion}")
    return (price.input_per_million * prompt + price.output_per_million * completion) / _MILLION


def shown_cents(amounts: Iterable[Decimal]) -> list[Decimal]:
    """The amounts in whole cents whose sum is the rounded sum (largest remainder).

    Rounding each alone gives columns that do not add up to their total.
    """
    exact = list(amounts)
    total = int(sum(exact, Decimal()).quantize(CENT, ROUND_HALF_EVEN) / CENT)
    floors = [int((one / CENT).to_integral_value("ROUND_FLOOR")) for one in exact]
    missing = total - sum(floors)
    remainders = sorted(range(len(exact)), key=lambda i: (floors[i] - exact[i] / CENT, i))
    for place in remainders[:missing]:
        floors[place] += 1
    return [cents * CENT for cents in floors]
