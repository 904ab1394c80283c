"""The clock's role: the one place where time is read and waited for; tests hold it still."""

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Wall time for records, monotonic seconds for durations, and waiting."""

    def now(self) -> datetime:
        """Wall time, aware, in UTC. May jump; never subtract two of them for a time budget."""
        ...

    def monotonic(self) -> float:
        """Seconds from an arbitrary start; never goes back. Comparable within one process only."""
        ...

    def sleep(self, seconds: float) -> None:
        """Wait; zero or less returns at once."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        """Wall time, aware, in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds from an arbitrary start; never goes back."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait; zero or less returns at once."""
        if seconds > 0:
            time.sleep(seconds)
