"""How long to wait before the next attempt: exponential back-off with full jitter, and Retry-After.

The random source and the time of day are parameters: nothing here sleeps or reads a clock.
"""

import email.utils
import math
import random
import re
from dataclasses import dataclass
from datetime import UTC, datetime

_SECONDS = re.compile(r"\d{1,9}(\.\d{1,9})?")


@dataclass(frozen=True, slots=True)
class Backoff:
    """Waits of one kind of call. A wish over `retry_after_cap_seconds` is not waited for."""

    base_seconds: float = 0.5
    cap_seconds: float = 20.0
    retry_after_cap_seconds: float = 60.0

    def delay_seconds(
        self,
        failures: int,
        *,
        rng: random.Random,
        retry_after_seconds: float | None = None,
    ) -> float | None:
        """Seconds to wait after the `failures`-th failure in a row (from 1); None: give up now.

        Full jitter, uniform in [0, min(cap, base * 2^(failures - 1))], spreads clients that failed
        together (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/).
        A server's Retry-After is a lower bound, and the jitter comes on top of it.
        """
        # 2.0 ** 64 already passes every cap; the bound keeps the power finite
        ceiling = min(self.cap_seconds, self.base_seconds * 2.0 ** min(failures - 1, 64))
        jitter = rng.uniform(0.0, ceiling)
        if retry_after_seconds is None:
            return jitter
        if not retry_after_seconds <= self.retry_after_cap_seconds:  # NaN gives up too
            return None
        return max(0.0, retry_after_seconds) + jitter


def parse_retry_after(value: str | None, *, now: datetime) -> float | None:
    """Seconds that a Retry-After header asks for: a number or an HTTP date (RFC 9110, 10.2.3).

    `now` is an aware time: the server's own Date where it sent one, so that clock skew cancels out.
    A date in the past is 0; what cannot be read is None.
    """
    text = (value or "").strip()
    if _SECONDS.fullmatch(text):
        return float(text)
    at = parse_http_date(text)
    return None if at is None else max(0.0, (at - now).total_seconds())


def parse_http_date(value: str | None) -> datetime | None:
    """An HTTP date as an aware time, or None when it cannot be read."""
    try:
        at = email.utils.parsedate_to_datetime(value or "")
        # a date without a zone is GMT (RFC 9110, 5.6.7)
        at = at.replace(tzinfo=UTC) if at.tzinfo is None else at
        return at if math.isfinite(at.timestamp()) else None
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
