"""What answers took, written down for the page of costs: some at a time, in files of their own.

An answer never waits for the store. What is not written yet is kept and tried again with the next
answers; a server that is killed loses at most what came since the last writing, a few seconds.
"""

import logging
import threading
from collections import defaultdict
from collections.abc import Callable

from platform_pipelines.core.road.usage import Usage
from platform_pipelines.errors import PlatformError
from platform_pipelines.gateways.clock import Clock
from platform_pipelines.gateways.object_store import ObjectStore
from platform_pipelines.stages.road.usage import write_usage

LOG = logging.getLogger("platform_pipelines.serving")
MOST = 100  # records of one file
SECONDS = 10.0
KEPT = 100_000  # records while the store does not answer; older ones are dropped, and it is said


class Ledger:
    """Threads may share it. `server`: a name that no other server and no earlier start has."""

    def __init__(self, open_store: Callable[[], ObjectStore], clock: Clock, server: str) -> None:
        self._open_store = open_store
        self._clock = clock
        self._server = server
        self._lock = threading.Lock()
        self._waiting: list[tuple[str, Usage]] = []  # (day, record)
        self._written_at = clock.monotonic()
        self._files = 0

    def took(self, usage: Usage) -> None:
        """Write it down, now or with the next ones."""
        day = self._clock.now().date().isoformat()
        with self._lock:
            self._waiting.append((day, usage))
            is_time = self._clock.monotonic() - self._written_at >= SECONDS
            batch = self._take() if is_time or len(self._waiting) >= MOST else []
        self._write(batch)

    def close(self) -> None:
        """Write what waits."""
        with self._lock:
            batch = self._take()
        self._write(batch)

    def _take(self) -> list[tuple[str, Usage]]:
        batch, self._waiting = self._waiting, []
        self._written_at = self._clock.monotonic()
        return batch

    def _write(self, batch: list[tuple[str, Usage]]) -> None:
        days: dict[str, list[Usage]] = defaultdict(list)
        for day, usage in batch:
            days[day].append(usage)
        for day, records in days.items():
            with self._lock:
                self._files += 1
                name = f"serve-{self._server}-{self._files:06}"
            try:
                write_usage(self._open_store(), day, name, records)
            except PlatformError as error:
                self._keep(day, records, error)

    def _keep(self, day: str, records: list[Usage], error: PlatformError) -> None:
        with self._lock:
            self._waiting = [*((day, one) for one in records), *self._waiting]
            over = len(self._waiting) - KEPT
            if over > 0:
                del self._waiting[:over]
        dropped = f", {over} were dropped" if over > 0 else ""
        LOG.error("the usage of %d answers waits to be written%s: %s", len(records), dropped, error)
