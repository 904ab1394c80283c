"""What the page of `evidence` tells without labels: sampled sentences, and copies of documents."""

from typing import Any

import dagster as dg

from platform_pipelines.components.shared.pages import table
from platform_pipelines.core.knowledge_base.evidence import copied_of, k_of, sample_of
from platform_pipelines.core.road.evidence import Evidence
from platform_pipelines.core.road.statistics import wilson_interval

Page = dict[str, Any]


def own_document(evidence: Evidence) -> Page:
    """What was sampled, what "own document" means, and the shares with their intervals."""
    sample = sample_of(evidence)
    if sample is None:
        return {}
    k = k_of(evidence)
    told = (
        f"Sentences were drawn from the chunks, and the first words of each were searched for. "
        f'"Own document": the sentence\'s document, or one that says the same (a copy), is among '
        f"the first {k}. It shows that the index finds what it holds; whether questions are "
        f"answered, only a golden set shows."
    )
    rows = [
        _share(f"own document first, of {sample.sampled}", sample.own_at_1, sample.sampled),
        _share(f"own document among the first {k}", sample.own_at_k, sample.sampled),
    ]
    if sample.by_copy:
        rows.append(_share("of these by a copy", sample.by_copy, sample.sampled))
    page: Page = {
        "own_document_means": dg.MetadataValue.md(told),
        "sampled_sentences": sample.sampled,
        "own_document_at_1": sample.own_at_1,
        "own_document_at_k": sample.own_at_k,
        "own_document": table(rows, ["found", "share", "95 %"]),
    }
    if sample.missed:
        page["not_found"] = table(sample.missed, ["document", "asked"])
    return page


def copies(evidence: Evidence) -> Page:
    """Documents of which most stands in others: shown once, cited as "also in"."""
    found = copied_of(evidence)
    if found is None or not found.documents:
        return {}
    told = f"{found.documents} documents, most of which others say to the letter"
    rows = [{**one, "share": f"{one['share']:.0%}"} for one in found.named]
    return {
        "copied_documents": dg.MetadataValue.text(told),
        "copies": table(rows, ["document", "share", "like"]),
    }


def _share(what: str, count: int, of: int) -> dict[str, Any]:
    row: dict[str, Any] = {"found": what, "share": f"{count} of {of}", "95 %": ""}
    if of:
        found = wilson_interval(count, of)
        row["share"] += f", {found.estimate:.0%}"
        row["95 %"] = f"{100 * found.low:.0f}–{found.high:.0%}"
    return row
