"""Progress: seldom enough to read, and never silent at the end."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from platform_pipelines.stages.knowledge_base.pace import Pace
from tests.fakes import FakeClock


@given(st.lists(st.floats(0, 3), min_size=1, max_size=60))
def test_messages_are_a_second_apart_and_the_last_item_is_always_told(gaps: list[float]) -> None:
    """One line a document filled the log of a corpus of 10,000; none at all looked hung."""
    clock, told = FakeClock(), list[tuple[float, int]]()
    pace = Pace(len(gaps), clock=clock, say=lambda done: told.append((clock.monotonic(), done)))
    for gap in gaps:
        clock.advance(gap)
        pace.step()
    assert told[-1][1] == len(gaps)
    times = [at for at, done in told if done < len(gaps)]
    assert all(later - earlier >= 0.999 for earlier, later in itertools.pairwise(times))
