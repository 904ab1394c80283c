"""Waiting before the next attempt."""

import random
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from platform_pipelines.core.road.backoff import Backoff, parse_http_date, parse_retry_after

NOW = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
SECONDS = st.floats(0.001, 3600.0)


@given(failures=st.integers(1, 10_000), base=SECONDS, cap=SECONDS, seed=st.integers())
def test_a_wait_is_never_negative_nor_over_the_cap(
    failures: int, base: float, cap: float, seed: int
) -> None:
    """Without a bound on the exponent, 2 ** failures overflows a float after 1,023 failures."""
    backoff = Backoff(base_seconds=base, cap_seconds=cap)
    wait = backoff.delay_seconds(failures, rng=random.Random(seed))
    assert wait is not None
    assert 0.0 <= wait <= cap
    if failures == 1:
        assert wait <= base


@given(failures=st.integers(1, 50), wish=st.floats(0.0, 60.0), seed=st.integers())
def test_never_earlier_than_the_server_asks(failures: int, wish: float, seed: int) -> None:
    """Coming back before Retry-After is what a server throttles harder for."""
    wait = Backoff().delay_seconds(failures, rng=random.Random(seed), retry_after_seconds=wish)
    assert wait is not None
    assert wish <= wait <= wish + Backoff().cap_seconds


@given(seed=st.integers())
def test_the_same_seed_waits_the_same(seed: int) -> None:
    """core/ has no hidden randomness."""
    first, second = (
        [Backoff().delay_seconds(n, rng=rng) for n in range(1, 8)]
        for rng in (random.Random(seed), random.Random(seed))
    )
    assert first == second


def test_clients_that_failed_together_do_not_return_together() -> None:
    """Full jitter: waits spread over the whole interval, not around its end."""
    rng = random.Random(7)
    waits = [Backoff(base_seconds=8.0).delay_seconds(1, rng=rng) or 0.0 for _ in range(1_000)]
    assert min(waits) < 1.0
    assert max(waits) > 7.0
    assert 3.5 < sum(waits) / len(waits) < 4.5


@pytest.mark.parametrize("wish", [60.001, 1e9, float("inf"), float("nan")])
def test_a_wish_longer_than_the_cap_is_given_up(wish: float) -> None:
    """A worker does not sit for an hour inside a call: whoever retries the stage does."""
    assert Backoff().delay_seconds(1, rng=random.Random(1), retry_after_seconds=wish) is None


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("0", 0.0),
        ("120", 120.0),
        (" 7 ", 7.0),
        ("1.5", 1.5),
        (None, None),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("1e3", None),
        ("nan", None),
        ("9" * 400, None),
        ("Sat, 21 Nov 2026 09:00:30 GMT", 30.0),
        ("Sat, 21 Nov 2026 08:59:00 GMT", 0.0),
        ("Sat, 21 Nov 2026 18:00:30 +0900", 30.0),
        ("Sat, 21 Nov 2026 09:00:30 -0000", 30.0),
        ("Sat, 99 Nov 2026 09:00:30 GMT", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(header: str | None, seconds: float | None) -> None:
    """RFC 9110, 10.2.3; what cannot be read must not become a wait of zero."""
    assert parse_retry_after(header, now=NOW) == seconds


@given(delta=st.integers(0, 10**6))
def test_a_date_means_the_time_until_then(delta: int) -> None:
    """Round trip through the header's format."""
    header = format_datetime(NOW + timedelta(seconds=delta), usegmt=True)
    assert parse_retry_after(header, now=NOW) == delta


@given(text=st.text())
def test_no_header_breaks_the_parser(text: str) -> None:
    """Headers come from strangers: any text is a date or None, never an exception."""
    at = parse_http_date(text)
    assert at is None or at.tzinfo is not None
    wait = parse_retry_after(text, now=NOW)
    assert wait is None or wait >= 0.0
