"""Retrieval metrics of one question, with binary relevance.

`None` means undefined, and is a value of its own: a question without a relevant chunk has no score,
and the precision of an empty result is 0/0. Neither is silently 0 or 1; they are failures, which
is declared with each metric. An empty result for a question that has relevant chunks found nothing:
that is 0.
"""

import math
from collections.abc import Collection, Sequence

from platform_pipelines.core.road.metrics import Metric, Undefined
from platform_pipelines.errors import ConfigurationError, EvidenceError

METRICS = ("hit_at_1", "hit_at_k", "mrr", "ndcg", "context_precision", "context_recall")
DECLARED = tuple(Metric(name) for name in METRICS)

# Of whole answers, by a language model through Ragas, in the order in which they are declared.
# Context precision and recall carry the judge in their names: the others compare chunk ids.
JUDGED = (
    "faithfulness", "answer_relevancy", "judged_context_precision", "judged_context_recall",
    "answer_correctness",
)  # fmt: skip
# An answer that is not known states nothing: it is left out of faithfulness, and counted.
JUDGED_DECLARED = tuple(
    Metric(name, undefined=Undefined.LEFT_OUT) if name == "faithfulness" else Metric(name)
    for name in JUDGED
)
JUDGED_COMPARED = "answer_relevancy"  # with live: it is defined for every question
JUDGED_EFFECT = 0.05  # a loss against live that a judge's noise alone may make
JUDGED_FLOORS = {"faithfulness": 0.85, "answer_relevancy": 0.80}  # unless declared


def hit_at_k(retrieved: Sequence[str], relevant: Collection[str], *, k: int) -> float | None:
    """1.0 when any of the first k is relevant, else 0.0; None when nothing is relevant."""
    top = _top(retrieved, k)
    return float(any(i in relevant for i in top)) if relevant else None


def reciprocal_rank(retrieved: Sequence[str], relevant: Collection[str], *, k: int) -> float | None:
    """1 / rank of the first relevant of the first k, else 0; None when nothing is relevant.

    Its mean is MRR@k (Voorhees, The TREC-8 Question Answering Track Report, 1999).
    """
    top = _top(retrieved, k)
    if not relevant:
        return None
    return next((1.0 / rank for rank, i in enumerate(top, start=1) if i in relevant), 0.0)


def ndcg_at_k(retrieved: Sequence[str], relevant: Collection[str], *, k: int) -> float | None:
    """Normalised discounted cumulative gain with gains 0 and 1; None when nothing is relevant.

    DCG = sum over ranks of gain / log2(rank + 1), over the DCG of the best possible order
    (Järvelin & Kekäläinen, Cumulated gain-based evaluation of IR techniques, ACM TOIS 20(4), 2002).
    """
    top = _top(retrieved, k)
    if not relevant:
        return None
    gains = [1.0 / math.log2(r + 1) for r, i in enumerate(top, start=1) if i in relevant]
    best = [1.0 / math.log2(r + 1) for r in range(1, min(len(set(relevant)), k) + 1)]
    return math.fsum(gains) / math.fsum(best)


def precision_at_k(retrieved: Sequence[str], relevant: Collection[str], *, k: int) -> float | None:
    """Relevant of the first k, over how many there are (at most k); None for an empty result.

    The denominator is what was retrieved, as in Ragas' IDBasedContextPrecision, not k as in
    Manning, Raghavan & Schütze, Introduction to Information Retrieval (2008), 8.4.
    """
    top = _top(retrieved, k)
    if not relevant or not top:
        return None
    return sum(i in relevant for i in top) / len(top)


def recall_at_k(retrieved: Sequence[str], relevant: Collection[str], *, k: int) -> float | None:
    """Relevant of the first k, over all relevant; None when nothing is relevant (ibid., 8.3)."""
    top = _top(retrieved, k)
    if not relevant:
        return None
    return sum(i in relevant for i in top) / len(set(relevant))


def retrieval_scores(
    retrieved: Sequence[str], relevant: Collection[str], *, k: int
) -> dict[str, float | None]:
    """All of `METRICS` for one question.

    Raises:
        ConfigurationError: k is less than 1.
        EvidenceError: a chunk was retrieved twice, which would count it twice.
    """
    known = frozenset(relevant)
    return {
        "hit_at_1": hit_at_k(retrieved, known, k=1),
        "hit_at_k": hit_at_k(retrieved, known, k=k),
        "mrr": reciprocal_rank(retrieved, known, k=k),
        "ndcg": ndcg_at_k(retrieved, known, k=k),
        "context_precision": precision_at_k(retrieved, known, k=k),
        "context_recall": recall_at_k(retrieved, known, k=k),
    }


def _top(retrieved: Sequence[str], k: int) -> Sequence[str]:
    if k < 1:
        raise ConfigurationError("k is less than 1", where="metrics", stored=k, expected="k >= 1")
    top = retrieved[:k]
    if len(set(top)) != len(top):
        repeated = next(i for i in top if list(top).count(i) > 1)
        raise EvidenceError(
            "a result holds a chunk twice",
            where=f"chunk {repeated}",
            remedy="deduplicate while fusing; a repeated id means that the index holds it twice",
        )
    return top
