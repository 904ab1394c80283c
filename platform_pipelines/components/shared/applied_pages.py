"""What people read of applied configuration: what changes, what is live, what drifted."""

from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg

from platform_pipelines.components.shared.pages import Page, table
from platform_pipelines.core.road.drift import ObjectDrift
from platform_pipelines.core.road.manifests import Difference, ObjectChange, key_of
from platform_pipelines.stages.road.applied import AppliedWorkspace
from platform_pipelines.stages.road.outcome import StageOutcome

_ROWS = 60
_CHANGE_COLUMNS = ("object", "change", "field", "from", "to")


def manifests_page(outcome: StageOutcome) -> Page:
    """The rendered revision, what it changes, and which rules it breaks."""
    changes: Sequence[ObjectChange] = outcome.facts["changes"]
    page: Page = {
        "what_happened": dg.MetadataValue.md(_summary(changes)),
        "revision": outcome.snapshot.details["revision"],
        "objects": outcome.snapshot.counts["objects"],
        "changes": table(
            _change_rows(changes)[:_ROWS], ["object", "change", "field", "from", "to"]
        ),
        "objects_by_kind": table(_kind_rows(outcome.facts["manifests"]), ["kind", "count"]),
    }
    broken = outcome.facts["violations"]
    if broken:
        rows = [
            {"object": str(v.key), "field": v.field, "rule": v.rule, "why": v.message}
            for v in broken
        ]
        page["broken_rules"] = table(rows, ["object", "field", "rule", "why"])
    return page


def applied_page(workspace: AppliedWorkspace, outcome: StageOutcome) -> Page:
    """What is live, whether everything was admitted, and the log."""
    details = outcome.snapshot.details
    page: Page = {
        "status": details["status"],
        "mode": details["mode"],
        "revision": details["revision"],
        "verdict": details["verdict"],
        "evidence": details["evidence"],
        "objects": outcome.snapshot.counts["objects"],
        "log": table(
            [
                {
                    "no.": entry.sequence,
                    "action": str(entry.action),
                    "revision": entry.revision[:8],
                    "at": entry.at[:16].replace("T", " "),
                    "by": entry.actor,
                    "why": entry.reason,
                }
                for entry in reversed(outcome.facts["log"][-20:])
            ],
            ["no.", "action", "revision", "at", "by", "why"],
        ),
    }
    if details["reasons"]:
        page["refused"] = dg.MetadataValue.md(_refused(workspace, details["evidence"]))
    for name in ("pruned", "kept"):
        if details[name]:
            page[name] = "\n".join(details[name])
    return page


def drift_sentence(found: Sequence[ObjectDrift]) -> str:
    """One line."""
    if not found:
        return "what is live is what was applied"
    shown = "; ".join(f"{one.key}: {one.kind}" for one in found[:5])
    return f"{len(found)} object(s) drifted: {shown}"


def drift_page(found: Sequence[ObjectDrift]) -> Page:
    """Every field that drifted, with who wrote there."""
    rows = [
        {
            "object": str(one.key),
            "drift": str(one.kind),
            "field": field.path if field else "",
            "applied": field.before if field else "",
            "live": field.after if field else "",
            "who": ", ".join(one.who),
        }
        for one in found
        for field in (one.fields or (None,))
    ]
    columns = ["object", "drift", "field", "applied", "live", "who"]
    return {"drifted": len(found), "drift": table(rows[:_ROWS], columns)}


def _summary(changes: Sequence[ObjectChange]) -> str:
    if not changes:
        return "Nothing changes: what is live is this revision."
    counted = {kind: sum(one.difference is kind for one in changes) for kind in Difference}
    return "Against what is live: " + ", ".join(f"**{n} {kind}**" for kind, n in counted.items())


def _change_rows(changes: Sequence[ObjectChange]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for one in changes:
        said = {"object": str(one.key), "change": str(one.difference)}
        if not one.fields:
            rows.append(said)
        rows += [said | {"field": f.path, "from": f.before, "to": f.after} for f in one.fields]
    return rows


def _kind_rows(manifests: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    kinds = [key_of(one).kind for one in manifests]
    return [{"kind": kind, "count": kinds.count(kind)} for kind in sorted(set(kinds))]


def _refused(workspace: AppliedWorkspace, digest: str) -> str:
    from platform_pipelines.stages.road.evidence import read_evidence

    evidence = read_evidence(workspace.store, digest)
    lines = [
        f"- `{row.sample_id}`: {'; '.join(row.candidate.details['problems'])}"
        for row in (evidence.rows if evidence else ())
        if row.candidate.details.get("problems")
    ]
    return "\n".join(lines)
