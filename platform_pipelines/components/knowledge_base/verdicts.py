"""What a person reads of the gate: its verdict, the rules that it was made with, stale quotes."""

from collections.abc import Mapping
from typing import Any

from platform_pipelines.core.road.evidence import Evidence
from platform_pipelines.core.road.gate import decide
from platform_pipelines.core.road.snapshot import Snapshot
from platform_pipelines.core.road.verdicts import Expected, Verdict
from platform_pipelines.stages.knowledge_base.gate_rules import (
    approved,
    declared_rules,
    gate_policy,
    gate_rules,
)
from platform_pipelines.stages.knowledge_base.golden_questions import load_golden_set
from platform_pipelines.stages.knowledge_base.judged_evidence import was_stopped
from platform_pipelines.stages.knowledge_base.workspace import Workspace


def is_by_declared_rules(workspace: Workspace, snapshot: Snapshot) -> bool:
    """Whether the verdict was made with the rules that are declared now.

    What is live is not judged again when its rules change: it was released under the old ones.
    """
    return bool(snapshot.details["rules"] == declared_rules(workspace))


def verdict_text(workspace: Workspace, snapshot: Snapshot, evidence: Evidence | None) -> str:
    """The verdict in Markdown, its reasons, and the rules that it was made with."""
    details = snapshot.details
    lines = [f"**{details['verdict']}**", *(f"- {reason}" for reason in details["reasons"])]
    if is_by_declared_rules(workspace, snapshot):
        lines += ["\nMade with the declared rules:\n", *_told(declared_rules(workspace))]
    else:
        lines += ["", *_other_rules(workspace, details, evidence)]
    if details["golden_set"] is None:
        lines.append(
            "\nAnswers are **unproven**: no golden set is declared. Write questions with the "
            "documents and quotes that answer them (JSON Lines), and name the file in "
            "`gate.golden_set`; README.md shows a line of it."
        )
    return "\n".join(lines)


def stale_quotes(workspace: Workspace, evidence: Evidence) -> list[Mapping[str, Any]]:
    """Questions some of whose quotes the documents no longer hold, or hold with other numbers."""
    stale = {
        row.sample_id: f"{details['unresolved_references']} of {details['references']}"
        for row in evidence.rows
        if (details := row.candidate.details).get("unresolved_references")
    }
    golden = load_golden_set(workspace) if stale else None
    if golden is None or golden.digest != evidence.golden_digest:  # the words are others by now
        return [{"question": q, "stale": n, "quotes": ""} for q, n in stale.items()]
    return [
        {
            "question": q.id,
            "stale": stale[q.id],
            "quotes": "; ".join(f"{r.document}: {r.quote}" for r in q.references),
        }
        for q in golden.answerable
        if q.id in stale
    ]


def _other_rules(
    workspace: Workspace, details: Mapping[str, Any], evidence: Evidence | None
) -> list[str]:
    return [
        "Made with the **rules of its time**; it is live, and is not judged again:\n",
        *_told(details["rules"]),
        "\nThe declaration has other rules now, for the next revision:\n",
        *_told(declared_rules(workspace)),
        f"\n{_under_them(workspace, evidence)}",
    ]


def _under_them(workspace: Workspace, evidence: Evidence | None) -> str:
    if evidence is None:
        return "Its evidence is gone, so nobody can say what they would answer."
    verdict = _judged(workspace, evidence)
    reasons = "; ".join(f"{r.code}: {r.message}" for r in verdict.reasons)
    return (
        f"Under them the same evidence is **{verdict.status}**{': ' if reasons else ''}{reasons}."
    )


def _judged(workspace: Workspace, evidence: Evidence) -> Verdict:
    expected = Expected(
        evidence.component,
        evidence.revision,
        evidence.baseline,
        evidence.golden_digest,
        evidence.conditions,
    )
    rules = gate_rules(workspace, approved=approved(workspace, evidence))
    policy = gate_policy(workspace, stopped=was_stopped(evidence))
    return decide(evidence, policy, expected, rules=rules)


def _told(rules: Mapping[str, Any]) -> list[str]:
    """One rule a line: a page's column cuts a long one."""
    floors = rules.get("floors") or {}
    others = {name: value for name, value in rules.items() if name != "floors"}
    told = [f"- {metric} ≥ {floor:g}" for metric, floor in sorted(floors.items())]
    told += [f"- `{name}` {value:g}" for name, value in sorted(others.items())]
    return told if floors else ["- no floors", *told]
