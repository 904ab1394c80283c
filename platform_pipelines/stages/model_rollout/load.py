"""Constant load on a gateway, and every failure in it: what users would have seen."""

import itertools
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from platform_pipelines.core.road.served_model import SERVED_NAME
from platform_pipelines.gateways.chat import chat

_COHORTS = 1000


@dataclass
class Load:
    """What was asked of the gateway. `by_side` counts whole answers by who gave them."""

    answered: int = 0
    failures: list[str] = field(default_factory=list[str])
    by_side: Counter[str] = field(default_factory=Counter[str])
    seconds: list[float] = field(default_factory=list[float])


@contextmanager
def constant_load(
    host: str, port: int, *, question: str, streams: int, max_tokens: int
) -> Iterator[Load]:
    """Ask all the time, `streams` at once, each request of another cohort, until the block ends."""
    load, guard, stop = Load(), threading.Lock(), threading.Event()
    numbers = itertools.count()

    def ask() -> None:
        while not stop.is_set():
            cohort = f"user-{next(numbers) % _COHORTS}"
            reply = chat(
                host, port, question, model=SERVED_NAME, max_tokens=max_tokens, cohort=cohort
            )
            with guard:
                load.seconds.append(reply.seconds)
                if reply.error:
                    load.failures.append(f"{reply.error} ({reply.side or 'nobody'})")
                else:
                    load.answered += 1
                    load.by_side[reply.side] += 1

    threads = [threading.Thread(target=ask, daemon=True) for _ in range(streams)]
    for thread in threads:
        thread.start()
    try:
        yield load
    finally:
        stop.set()
        for thread in threads:
            thread.join()
