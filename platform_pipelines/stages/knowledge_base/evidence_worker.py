"""Inside a worker process of the environment `evaluation`: Ragas (its import takes 6 s)."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from platform_pipelines.gateways.judge_calls import JudgeOptions
from platform_pipelines.gateways.ragas_judge import JudgedSample, judge_samples
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


def judge_items(
    shared: Mapping[str, Any], items: Iterator[Mapping[str, Any]]
) -> Iterator[Mapping[str, Any]]:
    """Operation `evidence.judge`: items `{samples: [a `JudgedSample`'s fields, ...]}`.

    `shared` holds `options` (a `JudgeOptions`' fields), `metrics` and the socket `embed`. Results
    are `{scores: [{metric: {score, trouble, detail}}, ...], spent: {...}}`.
    """
    options = JudgeOptions(**shared["options"])
    for item in items:
        samples = [JudgedSample(**{**s, "contexts": tuple(s["contexts"])}) for s in item["samples"]]
        embed = Path(shared["embed"])
        scores, spent = judge_samples(options, samples, shared["metrics"], embed)
        yield {"scores": scores, "spent": spent}
