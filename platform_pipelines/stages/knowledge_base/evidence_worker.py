"""Inside a worker process: Ragas' metrics that need no language model (its import takes 6 s)."""

from collections.abc import Iterator, Mapping
from typing import Any

from platform_pipelines.gateways.ragas_metrics import id_based_context_metrics


def ragas_items(
    shared: Mapping[str, Any], items: Iterator[Mapping[str, Any]]
) -> Iterator[Mapping[str, Any]]:
    """Operation `evidence.ragas`: items `{samples: [[retrieved ids, reference ids], ...]}`.

    Results are `{scores: [[context precision, context recall], ...]}`, None where undefined.
    """
    del shared
    for item in items:
        samples = [(list(got), list(wanted)) for got, wanted in item["samples"]]
        yield {"scores": [list(pair) for pair in id_based_context_metrics(samples)]}
