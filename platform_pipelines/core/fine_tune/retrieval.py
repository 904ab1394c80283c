"""What an embedder is worth: where a held-out question's own passage stands among all passages."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias

from platform_pipelines.core.road.evidence import Outcome
from platform_pipelines.core.road.metrics import Metric

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Matrix: TypeAlias = npt.NDArray[np.float32]

DEPTH = 10  # a passage below it is as good as not found
RECIPROCAL_RANK = Metric("reciprocal_rank")
METRICS = (RECIPROCAL_RANK, Metric("hit_at_1"), Metric("hit_at_5"))


def ranks(queries: "Matrix", passages: "Matrix", wanted: Sequence[int]) -> list[int]:
    """From 1: where each query's passage stands. An equal one counts as before it.

    `queries` [q, d] and `passages` [p, d] are unit rows; `wanted` names a row of `passages` each.
    A vector that is not finite stands last.
    """
    import numpy as np

    scores = queries @ passages.T
    own = scores[np.arange(len(wanted)), np.asarray(wanted, dtype=np.int64)]
    above = ~(scores < own[:, None])  # also what cannot be compared
    return [int(n) for n in above.sum(axis=1)]


def scored(rank: int) -> Mapping[str, float]:
    """The metrics of one question."""
    return {
        RECIPROCAL_RANK.name: 1.0 / rank if rank <= DEPTH else 0.0,
        "hit_at_1": float(rank == 1),
        "hit_at_5": float(rank <= 5),
    }


def found(rank: int, nearest: str) -> Outcome:
    """What one question got: the scores, and the passage that stood first."""
    return Outcome(scored(rank), details={"answer": f"rank {rank}; first: {nearest}"})
