"""What a person sees on each asset's page: counts and changes, tables, a plot, the digest."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import dagster as dg

from platform_pipelines.components.knowledge_base import plots
from platform_pipelines.components.knowledge_base.sampled import copies, own_document
from platform_pipelines.components.knowledge_base.verdicts import stale_quotes, verdict_text
from platform_pipelines.components.shared.pages import bars_table, table, what_happened
from platform_pipelines.core.knowledge_base.evidence import (
    calibration_of,
    judge_of,
    suspicious_of,
)
from platform_pipelines.core.road.evidence import Evidence
from platform_pipelines.core.road.statistics import wilson_interval
from platform_pipelines.stages.knowledge_base.stored_evidence import read_evidence
from platform_pipelines.stages.knowledge_base.workspace import Workspace
from platform_pipelines.stages.road import connect as road
from platform_pipelines.stages.road.outcome import StageOutcome

Page = dict[str, Any]


def metadata(workspace: Workspace, stage: str, outcome: StageOutcome) -> Page:
    """The metadata of one materialisation."""
    snapshot = outcome.snapshot
    page: Page = {
        "what_happened": dg.MetadataValue.md(what_happened(outcome)),
        "digest": snapshot.digest,
    }
    return page | _PAGES[stage](workspace, outcome)


def _numbers(counts: Mapping[str, int], prefix: str) -> list[Mapping[str, Any]]:
    named = {k.removeprefix(prefix): v for k, v in counts.items() if k.startswith(prefix)}
    return [{"name": k, "count": f"{named[k]:,}"} for k in sorted(named, key=lambda k: -named[k])]


def _documents(workspace: Workspace, outcome: StageOutcome) -> Page:
    counts, details = outcome.snapshot.counts, outcome.snapshot.details
    quarantine = details.get("quarantine", [])
    page: Page = {
        "dagster/row_count": counts.get("parsed", 0),
        "quarantined": counts.get("quarantined", 0),
        "left_out_names": counts.get("left_out", 0),
        "source": dg.MetadataValue.url(workspace.spec.source.url),
        "types": table(_numbers(counts, "type:"), ["name", "count"]),
        "languages": table(_numbers(counts, "language:"), ["name", "count"]),
    }
    page["not_wholly_read"] = counts.get("noted", 0)
    if details.get("noted"):
        page["notes"] = table(_numbers(counts, "note:"), ["name", "count"])
        page["not_read"] = table(details["noted"], ["key", "not_read"])
    if quarantine:
        page["quarantine"] = table(quarantine, ["key", "reason", "detail"])
    return page


def _chunks(workspace: Workspace, outcome: StageOutcome) -> Page:
    del workspace
    counts, lengths = outcome.snapshot.counts, outcome.snapshot.details.get("lengths", {})
    return {
        "dagster/row_count": outcome.snapshot.rows,
        "tokens": counts.get("tokens", 0),
        "longest_tokens": counts.get("longest", 0),
        "types": table(_numbers(counts, "type:"), ["name", "count"]),
        "lengths": bars_table({f"{k} tokens and more": v for k, v in lengths.items()}),
        "lengths_picture": plots.bars(
            {int(k): v for k, v in lengths.items()}, title="Chunk length", x="tokens", y="chunks"
        ),
    }


def _vectors(workspace: Workspace, outcome: StageOutcome) -> Page:
    del workspace
    return {
        "dagster/row_count": outcome.snapshot.rows,
        "dimension": outcome.snapshot.counts.get("dimension", 0),
        "embedder": str(outcome.snapshot.details.get("embedder", "")),
    }


def _index(workspace: Workspace, outcome: StageOutcome) -> Page:
    del workspace
    details = outcome.snapshot.details
    notes = [{"what": k, "note": v} for k, v in details["notes"].items()]
    return {
        "dagster/row_count": outcome.snapshot.counts.get("rows", 0),
        "revision": details["revision"],
        "collection": details["collection"],
        "index": dg.MetadataValue.json(details["index"]),
        "why": table(notes, ["what", "note"]),
    }


def _evidence(workspace: Workspace, outcome: StageOutcome) -> Page:
    details = outcome.snapshot.details
    evidence = read_evidence(workspace.store, details["evidence"])
    page: Page = {
        "verdict": dg.MetadataValue.md(verdict_text(workspace, outcome.snapshot, evidence)),
        "revision": details["revision"],
        "baseline": details["baseline"] or "none: this is the first release",
        "golden_set": details["golden_set"] or "none",
        "evidence": details["evidence"],
    }
    if evidence is None:
        return page
    stale = stale_quotes(workspace, evidence)
    if stale:
        page["stale_quotes"] = table(stale, ["question", "stale", "quotes"])
    return page | _measured(evidence)


def _measured(evidence: Evidence) -> Page:
    page = _suspicious(evidence) | _disagreeing(evidence) | copies(evidence)
    page |= own_document(evidence)
    if not evidence.rows:
        return page
    rows = _metric_rows(evidence)
    page["metrics"] = table(_short_rows(rows), ["", "n", *_SHORT_METRICS.values()])
    page["metrics_of_all_slices"] = table(rows, ["slice", "questions", *_METRICS])
    page["first_relevant_at_rank"] = bars_table(plots.ranks(evidence))
    page["first_relevant_picture"] = plots.first_relevant_rank(evidence)
    failures = [
        {"question": r.sample_id, "failure": r.candidate.failure or "not among the first k"}
        for r in evidence.rows
        if (evidence.value(r.candidate, "hit_at_k") or 0.0) < 1
    ]
    if failures:
        page["missed_questions"] = table(failures, ["question", "failure"])
    if any(r.baseline for r in evidence.rows):
        page["against_live"] = plots.paired_differences(evidence)
    return page | _calibration(evidence)


def _suspicious(evidence: Evidence) -> Page:
    """Passages that speak to a model: found by searches, and never answered from."""
    found = suspicious_of(evidence)
    if found is None or not found.chunks:
        return {}
    told = f"{found.chunks} passages of {found.documents} documents; no answer is made from them"
    return {
        "suspicious_passages": dg.MetadataValue.text(told),
        "suspicious": table(found.named, ["document", "why", "text"]),
    }


def _disagreeing(evidence: Evidence) -> Page:
    """Answers about which documents say different numbers: one of them is an author's to mend."""
    count = (judge_of(evidence) or {}).get("disagreeing")
    told = f"{count} answers to golden questions: documents say different numbers of it"
    return {"disagreeing_documents": dg.MetadataValue.text(told)} if count else {}


def _calibration(evidence: Evidence) -> Page:
    found = calibration_of(evidence)
    if found is None:
        return {"i_do_not_know": evidence.facts["calibration_reason"]}
    rows = [
        _error_rate("false answers", found.false_answers, found.unanswerable),
        _error_rate("false refusals", found.false_refusals, found.supported),
        _error_rate(
            "unsupported answers", found.unsupported_answers, found.answerable - found.supported
        ),
    ]
    return {"i_do_not_know": table(rows, ["error", "share", "95 %"])}


def _error_rate(error: str, count: int, of: int) -> Mapping[str, Any]:
    """A row, narrow enough for the page: 0 of 8 may well be 30 %, and the interval says so."""
    row = {"error": error, "share": f"{count} of {of}", "95 %": ""}
    if of:
        found = wilson_interval(count, of)
        row["share"] += f", {found.estimate:.0%}"
        row["95 %"] = f"{100 * found.low:.0f}–{found.high:.0%}"
    return row


_SHORT_METRICS = {
    "hit_at_1": "hit@1",
    "hit_at_k": "hit@k",
    "mrr": "MRR",
    "context_recall": "recall",
}
_METRICS = ("hit_at_1", "hit_at_k", "mrr", "ndcg", "context_precision", "context_recall")


def _short_rows(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """All questions and each language, in columns narrow enough for the page."""
    return [
        {"": str(row["slice"]).removeprefix("language="), "n": row["questions"]}
        | {short: row[metric] for metric, short in _SHORT_METRICS.items()}
        for row in rows
        if not str(row["slice"]).startswith("document_type=")
    ]


def _metric_rows(evidence: Evidence) -> list[Mapping[str, Any]]:
    slices = {"all": evidence.means, **evidence.slice_means}
    if evidence.baseline:
        slices["live"] = evidence.baseline_means
    return [
        {"slice": name, "questions": means["ndcg"].samples}
        | {m: "-" if means[m].mean is None else f"{means[m].mean:.3f}" for m in _METRICS}
        for name, means in slices.items()
    ]


def _release(workspace: Workspace, outcome: StageOutcome) -> Page:
    details = outcome.snapshot.details
    log = road.release_log(workspace.store, workspace.name).entries(limit=20)
    rows = [
        {
            "no.": e.sequence,
            "action": str(e.action),
            "revision": e.revision[:8],
            "at": e.at[:16].replace("T", " "),
            "by": e.actor,
            "why": e.reason,
        }
        for e in reversed(log)
    ]
    return {
        "status": details["status"],
        "revision": details["revision"],
        "collection": details["collection"],
        "released_at": details["released_at"],
        "dropped_collections": len(details["dropped"]),
        "log": table(rows, ["no.", "action", "revision", "at", "by", "why"]),
    }


_PAGES: dict[str, Callable[[Workspace, StageOutcome], Page]] = {
    "documents": _documents,
    "chunks": _chunks,
    "vectors": _vectors,
    "index": _index,
    "evidence": _evidence,
    "release": _release,
}
