"""What one tenant may ask for: requests and tokens a minute, by buckets that refill."""

import threading
from dataclasses import dataclass

from platform_pipelines.errors import RateLimitedError
from platform_pipelines.gateways.clock import Clock

QUERY_CHARACTERS = 8_000
TENANT_CHARACTERS = 64
BODY_BYTES = 256 * 1024
_MINUTE = 60.0
_TENANTS = 10_000  # without declared tokens anybody invents tenants; the oldest are forgotten


@dataclass
class _Bucket:
    level: float
    at: float


class Limits:
    """Buckets of tenants. Threads may share it."""

    def __init__(self, *, requests: int, tokens: int, clock: Clock) -> None:
        self._allowed = {"requests": float(requests), "tokens": float(tokens)}
        self._clock = clock
        self._buckets: dict[tuple[str, str], _Bucket] = {}
        self._lock = threading.Lock()

    def take_request(self, tenant: str) -> None:
        """Count a request.

        Raises:
            RateLimitedError: over the tenant's requests, or its answers took too many tokens.
        """
        with self._lock:
            self._require(tenant, "tokens", 1.0)
            self._require(tenant, "requests", 1.0)
            self._bucket(tenant, "requests").level -= 1.0

    def took_tokens(self, tenant: str, tokens: int) -> None:
        """Count what an answer took; the bucket may go below zero, and later requests wait."""
        with self._lock:
            self._bucket(tenant, "tokens").level -= tokens

    def _require(self, tenant: str, kind: str, need: float) -> None:
        bucket = self._bucket(tenant, kind)
        if bucket.level >= need:
            return
        per_second = self._allowed[kind] / _MINUTE
        raise RateLimitedError(
            f"the tenant's limit of {self._allowed[kind]:.0f} {kind} a minute is reached",
            retry_after_seconds=(need - bucket.level) / per_second,
            where=f"tenant {tenant}",
        )

    def _bucket(self, tenant: str, kind: str) -> _Bucket:
        now, most = self._clock.monotonic(), self._allowed[kind]
        bucket = self._buckets.pop((tenant, kind), None) or _Bucket(most, now)
        bucket.level = min(most, bucket.level + (now - bucket.at) * most / _MINUTE)
        bucket.at = now
        self._buckets[tenant, kind] = bucket  # the last used are last
        while len(self._buckets) > _TENANTS:
            self._buckets.pop(next(iter(self._buckets)))
        return bucket
