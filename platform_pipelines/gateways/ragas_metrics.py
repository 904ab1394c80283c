"""Ragas metrics that need no language model. Importing Ragas takes 6 seconds.

Ragas is in the environment `evaluation` alone, so it is imported by name and has no types here. The
caller starts the process with `RAGAS_DO_NOT_TRACK=true` in its environment: Ragas reads it
once, and without it reports what it scores to its makers, and waits where there is no network.
"""

import asyncio
import math
from collections.abc import Sequence
from importlib import import_module
from typing import Any, TypeAlias

from platform_pipelines.errors import EvidenceError

Ids: TypeAlias = Sequence[str]


def id_based_context_metrics(
    samples: Sequence[tuple[Ids, Ids]],
) -> list[tuple[float | None, float | None]]:
    """(precision, recall) of each (retrieved ids, reference ids), by Ragas' IDBasedContext*.

    None where Ragas answers NaN: precision of an empty result, recall without references. Not to be
    called where an event loop runs.

    Raises:
        EvidenceError: Ragas answered something that is no share.
    """
    # `ragas.metrics` warns that these moved to `ragas.metrics.collections`, which lacks them in
    # 0.4.3; their own modules do not warn. Use the public path when ragas > 0.4.3 has one.
    precision = import_module("ragas.metrics._context_precision").IDBasedContextPrecision()
    recall = import_module("ragas.metrics._context_recall").IDBasedContextRecall()
    return asyncio.run(_scored(samples, precision, recall))


async def _scored(
    samples: Sequence[tuple[Ids, Ids]], precision: Any, recall: Any
) -> list[tuple[float | None, float | None]]:
    sample_of: Any = import_module("ragas.dataset_schema").SingleTurnSample
    scores: list[tuple[float | None, float | None]] = []
    for retrieved, references in samples:
        sample = sample_of(
            retrieved_context_ids=list(retrieved), reference_context_ids=list(references)
        )
        # Ragas logs a warning for each of these; they are ordinary here, and None is the answer.
        share = await precision.single_turn_ascore(sample) if retrieved else math.nan
        found = await recall.single_turn_ascore(sample) if references else math.nan
        scores.append((_share(share), _share(found)))
    return scores


def _share(value: float) -> float | None:
    number = float(value)
    if math.isnan(number):
        return None
    if not 0.0 <= number <= 1.0:
        raise EvidenceError("a Ragas metric is no share", stored=number, expected="0..1")
    return number
