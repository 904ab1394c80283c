"""What is live, evaluated again: the same questions, the same chain, a fresh judgement.

The baseline is what the same revision scored when it was released, so that a judge, a model or a
server that changed since then shows as a paired difference. By declared policy a clear loss rolls
back. Nothing here moves a candidate forward.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from platform_pipelines.core.knowledge_base.evidence import COMPONENT
from platform_pipelines.core.road.evidence import Evidence, make_evidence
from platform_pipelines.core.road.gate import decide
from platform_pipelines.core.road.identity import digest_text
from platform_pipelines.core.road.verdicts import Expected, Status, Verdict
from platform_pipelines.errors import ConfigurationError, UnknownNameError
from platform_pipelines.stages.knowledge_base import evidence as stage
from platform_pipelines.stages.knowledge_base.evaluation_plan import clear_live
from platform_pipelines.stages.knowledge_base.gate_rules import gate_policy, gate_rules
from platform_pipelines.stages.knowledge_base.golden_questions import live_revision, load_golden_set
from platform_pipelines.stages.knowledge_base.judged_evidence import was_stopped
from platform_pipelines.stages.knowledge_base.release import roll_back
from platform_pipelines.stages.knowledge_base.stored_evidence import read_evidence
from platform_pipelines.stages.knowledge_base.telling import tell_people
from platform_pipelines.stages.knowledge_base.workspace import Workspace
from platform_pipelines.stages.road.connect import release_log
from platform_pipelines.stages.road.evidence import write_evidence
from platform_pipelines.stages.road.reporting import markdown_report


@dataclass(frozen=True, slots=True)
class LiveEvaluation:
    """What was found, and what was done about it."""

    evidence: Evidence
    verdict: Verdict
    markdown: str
    cost: dict[str, Any] | None
    rolled_back_to: str = ""
    told: Mapping[str, str] = field(default_factory=dict[str, str])  # whom, and what came of it


def evaluate_live(workspace: Workspace) -> LiveEvaluation:
    """Ask what is live the golden questions again; the answers and verdicts are new ones.

    A retry of the same run goes on where it was.

    Raises:
        UnknownNameError: nothing is released yet.
        ConfigurationError: no golden set is declared.
    """
    live = live_revision(workspace)
    golden = load_golden_set(workspace)
    if live is None:
        raise UnknownNameError("nothing is released yet", where=workspace.name)
    if golden is None:
        raise ConfigurationError(
            "an evaluation needs questions",
            where=f"{workspace.name}: evaluation",
            remedy="declare `gate.golden_set`",
        )
    salt = workspace.run_id or workspace.clock.now().isoformat()
    made, cost = stage.evaluate(
        workspace, live, None, golden, salt=salt, looks=_look(workspace, salt)
    )
    evidence = _against_its_release(workspace, made)
    write_evidence(workspace.settings, workspace.store, evidence)
    clear_live(workspace, salt)
    verdict = _judged(workspace, evidence)
    back = _rolled_back(workspace, verdict)
    told = tell_people(workspace, evidence, verdict, rolled_back_to=back)
    return LiveEvaluation(
        evidence, verdict, markdown_report(evidence, verdict, cost=cost), cost, back, told
    )


def _look(workspace: Workspace, salt: str) -> int:
    """Which look at this release it is; a retry of one run is the same look."""
    entry = release_log(workspace.store, workspace.name).head()
    folder = f"evaluations/{entry.sequence if entry else 0}"
    key = f"{folder}/{digest_text(salt)}.json"
    if not workspace.store.exists(key):
        taken = sum(len(batch) for batch in workspace.store.list_objects(folder))
        record = {"look": taken + 1, "at": workspace.clock.now().isoformat()}
        workspace.store.put(key, json.dumps(record).encode())
    return int(json.loads(workspace.store.get(key)[0])["look"])


def _against_its_release(workspace: Workspace, made: Evidence) -> Evidence:
    """The rows beside those of the evidence that released it, where the questions are the same."""
    entry = release_log(workspace.store, workspace.name).head()
    digest = (entry.evidence_digest if entry else None) or ""
    then = read_evidence(workspace.store, digest) if digest else None
    if then is None or then.golden_digest != made.golden_digest or then.revision != made.revision:
        return made
    if [m.name for m in then.metrics] != [m.name for m in made.metrics]:
        return made
    old = {row.sample_id: row.candidate for row in then.rows}
    rows = tuple(replace(row, baseline=old.get(row.sample_id)) for row in made.rows)
    return make_evidence(replace(made, baseline=made.revision, rows=rows))


def _judged(workspace: Workspace, evidence: Evidence) -> Verdict:
    """By the gate's rules; what was lost against live is no question here."""
    expected = Expected(
        COMPONENT, evidence.revision, evidence.baseline, evidence.golden_digest, evidence.conditions
    )
    policy = gate_policy(workspace, stopped=was_stopped(evidence))
    return decide(evidence, policy, expected, rules=gate_rules(workspace))


def _rolled_back(workspace: Workspace, verdict: Verdict) -> str:
    """The revision that was rolled back to, or nothing."""
    declared = workspace.spec.evaluation
    if declared is None or not declared.roll_back or verdict.status is not Status.FAIL:
        return ""
    reasons = "; ".join(r.message for r in verdict.reasons if r.status is Status.FAIL)
    try:
        return roll_back(workspace, reason=f"evaluation of what is live: {reasons}"[:500]).revision
    except UnknownNameError as error:  # the first release: there is nothing before it
        workspace.progress(f"cannot roll back: {error.what}")
        return ""
