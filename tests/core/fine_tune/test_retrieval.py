"""Where a question's passage stands, and what that is worth."""

import numpy as np
import pytest

from platform_pipelines.core.fine_tune.retrieval import METRICS, ranks, scored

PASSAGES = np.eye(4, dtype=np.float32)


def test_the_nearest_passage_is_first_and_an_equal_one_counts_as_before() -> None:
    """A collapsed embedder, to which all texts are one, finds nothing."""
    queries = np.array([[1, 0, 0, 0], [0.5, 1, 0, 0]], np.float32)
    assert ranks(queries, PASSAGES, [0, 0]) == [1, 2]
    same = np.full((4, 4), 0.5, np.float32)
    assert ranks(same, same, [0, 1, 2, 3]) == [4, 4, 4, 4]


def test_vectors_that_are_not_finite_stand_last() -> None:
    """No comparison with one is true, and none may be in its favour."""
    broken = np.full((1, 4), np.nan, np.float32)
    assert ranks(broken, PASSAGES, [2]) == [4]


@pytest.mark.parametrize(
    ("rank", "worth"), [(1, (1.0, 1.0, 1.0)), (5, (0.2, 0.0, 1.0)), (11, (0.0, 0.0, 0.0))]
)
def test_a_rank_is_worth_what_its_metrics_say(rank: int, worth: tuple[float, ...]) -> None:
    """Below ten it is as good as not found."""
    assert tuple(scored(rank)[metric.name] for metric in METRICS) == pytest.approx(worth)
