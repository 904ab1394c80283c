"""Plots as pictures inside Markdown, which the web UI shows without a file server."""

from collections import Counter
from collections.abc import Mapping

import dagster as dg

from platform_pipelines.components.shared.pages import BLUE, GREY, ORANGE, canvas, picture
from platform_pipelines.core.knowledge_base.evidence import k_of
from platform_pipelines.core.road.evidence import Evidence, Outcome
from platform_pipelines.core.road.statistics import bootstrap_interval

COMPARED = "ndcg"


def bars(counts: Mapping[int, int], *, title: str, x: str, y: str) -> dg.MetadataValue:
    """Counts by a number, as bars."""
    figure, axes = canvas(title, x, y)
    if counts:
        steps = sorted(counts)
        axes.bar(steps, [counts[s] for s in steps], width=28, align="edge", color=BLUE)
    return picture(figure, title)


def ranks(evidence: Evidence) -> dict[str, int]:
    """How many questions found their first relevant chunk at which rank; the misses last."""
    k = k_of(evidence)
    found = Counter(_rank(evidence, row.candidate, k) for row in evidence.rows)
    named = {str(rank): found[rank] for rank in range(1, k + 1) if found[rank]}
    return named | {"not found": found[k + 1]}


def first_relevant_rank(evidence: Evidence) -> dg.MetadataValue:
    """At which rank the first relevant chunk stood, by language."""
    title = "Rank of the first relevant chunk"
    figure, axes = canvas(title, "rank", "questions")
    names = [n for n in evidence.slices if n.startswith("language=")]
    k = k_of(evidence)
    for offset, (name, color) in enumerate(zip(names, (BLUE, ORANGE, GREY), strict=False)):
        ranks = Counter(_rank(evidence, row.candidate, k) for row in evidence.slices[name])
        places = [rank + 0.3 * offset for rank in ranks]
        axes.bar(places, list(ranks.values()), width=0.3, color=color, label=name)
    axes.set_xticks(range(1, k + 2), [*map(str, range(1, k + 1)), "not found"])
    axes.legend()
    return picture(figure, title)


def paired_differences(evidence: Evidence) -> dg.MetadataValue:
    """The candidate's score less the live revision's, question by question, with the interval."""
    differences = sorted(
        (evidence.value(row.candidate, COMPARED) or 0.0)
        - (evidence.value(row.baseline, COMPARED) or 0.0)
        for row in evidence.rows
        if row.baseline is not None
    )
    title = f"{COMPARED}: candidate less live, by question"
    figure, axes = canvas(title, "questions, sorted", "difference")
    axes.bar(range(len(differences)), differences, color=BLUE)
    interval = bootstrap_interval(differences, confidence=0.95, resamples=2000, seed=0)
    axes.axhspan(interval.low, interval.high, color=ORANGE, alpha=0.3)
    axes.axhline(interval.estimate, color=ORANGE, label=f"mean {interval.estimate:+.3f}")
    axes.legend()
    return picture(figure, title)


def _rank(evidence: Evidence, outcome: Outcome, k: int) -> int:
    reciprocal = evidence.value(outcome, "mrr") or 0.0
    return round(1 / reciprocal) if reciprocal > 0 else k + 1
