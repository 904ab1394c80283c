"""What a stage says reaches the run's log: counts now and then, everything else once."""

from platform_pipelines.components.shared.running import SECONDS_BETWEEN, Progress
from tests.fakes import FakeClock


def said(*messages: str, seconds: float = 0.0) -> list[str]:
    """What is said of messages that come so many seconds after each other."""
    clock, log = FakeClock(), list[str]()
    progress = Progress(log.append, clock)
    for message in messages:
        progress(message)
        clock.sleep(seconds)
    progress.flush()
    return log


def test_counts_are_said_now_and_then_and_the_last_one_always() -> None:
    """A thousand tasks in a second are one line, and the last one."""
    counts = [f"chunks: {n} of 1000 tasks" for n in range(1001)]
    assert said(*counts) == [counts[0], counts[-1]]
    assert said(*counts[:3], seconds=SECONDS_BETWEEN) == counts[:3]


def test_what_is_no_count_is_never_replaced() -> None:
    """That a Job was created was lost between a first line and the first count of its tasks."""
    told = ["evidence: asking 153 questions", "evidence: Job evidence-1a2b created", "0 of 3 tasks"]
    assert said(*told, "1 of 3 tasks", "3 of 3 tasks") == [*told[:2], "3 of 3 tasks"]
