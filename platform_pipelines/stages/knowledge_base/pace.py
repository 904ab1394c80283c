"""Progress for people: at most about one message a second, and always the last one."""

from collections.abc import Callable

from platform_pipelines.gateways.clock import Clock

SECONDS_BETWEEN = 1.0


class Pace:
    """Counts items up to `total` and tells how many are done, `say(done)`, now and then."""

    def __init__(self, total: int, *, clock: Clock, say: Callable[[int], None]) -> None:
        self._total = total
        self._clock = clock
        self._say = say
        self._done = 0
        self._next = 0.0

    def step(self, items: int = 1) -> None:
        """So many more are done."""
        self._done += items
        now = self._clock.monotonic()
        if now >= self._next or self._done >= self._total:
            self._next = now + SECONDS_BETWEEN
            self._say(self._done)
