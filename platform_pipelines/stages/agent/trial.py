"""The stage `trial`: scripted tasks done by the candidate and by the live agent; the gate's word.

Both run here as they run in a cluster: the same program, the same declaration. A revision that was
judged against what is live is not judged again; applying reads the stored evidence itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from platform_pipelines.core.agent.behaviour import (
    VARIABLE,
    AgentBehaviour,
    behaviour_from_json,
    behaviour_of,
)
from platform_pipelines.core.agent.declaration import AgentSpec, TrialSpec
from platform_pipelines.core.agent.tasks import (
    METRICS,
    PASSED,
    PASSED_K,
    AgentTask,
    Attempt,
    TaskSet,
    parse_tasks,
    pass_hat_k,
    problems_of,
    right_of,
)
from platform_pipelines.core.road.evidence import (
    Evidence,
    Failure,
    Outcome,
    SampleRow,
    make_evidence,
)
from platform_pipelines.core.road.gate import decide
from platform_pipelines.core.road.manifests import ManifestRevision
from platform_pipelines.core.road.snapshot import Snapshot
from platform_pipelines.core.road.verdicts import (
    Code,
    Expected,
    GatePolicy,
    Reason,
    Rule,
    Status,
    Verdict,
)
from platform_pipelines.stages.agent.running import agents_running, ask, here
from platform_pipelines.stages.road.applied import AppliedWorkspace, live_revision
from platform_pipelines.stages.road.asking import read_text
from platform_pipelines.stages.road.evidence import read_evidence, write_evidence
from platform_pipelines.stages.road.outcome import StageOutcome
from platform_pipelines.stages.road.workspace import read_head

TRIAL, CANARY = "trial", "canary"
COMPONENT = "agent"
CANARY_CODE = "canary"


@dataclass(frozen=True, slots=True)
class Tried:
    """The tries of one task."""

    task: AgentTask
    attempts: tuple[Attempt, ...]


def refresh_trial(workspace: AppliedWorkspace, spec: AgentSpec) -> StageOutcome:
    """Let the candidate and the live agent do every task, and judge.

    Raises:
        UnavailableError: a program does not start. ConfigurationError: a task is wrong.
    """
    trial, candidate, live = _sides(workspace, spec)
    tasks = load_tasks(workspace, trial)
    head, version = workspace.head(TRIAL)
    known = _known(workspace, spec, tasks)
    if head is not None and known is not None:
        return StageOutcome(head, is_changed=False, facts=_facts(workspace, spec, known, tasks))
    sides = {"candidate": here(candidate, trial)}
    if live is not None and live.digest != candidate.digest:
        sides["live"] = here(live, trial)
    with agents_running(workspace, sides) as ports:
        done = {name: _do(workspace, port, trial, tasks, name) for name, port in ports.items()}
    evidence = _evidence(candidate, live, tasks, trial, done)
    digest = write_evidence(workspace.settings, workspace.store, evidence)
    verdict = judge(spec, evidence, candidate, live, tasks)
    snapshot = Snapshot(
        stage=TRIAL,
        settings=candidate.digest,
        shards=(),
        counts={"tasks": len(tasks.tasks), "tries": len(tasks.tasks) * trial.trials},
        details={"evidence": digest, "verdict": str(verdict.status), "tasks": tasks.digest},
    )
    with workspace.writing(TRIAL, version) as held:
        held.move_head(snapshot, version)
    facts = _facts(workspace, spec, evidence, tasks)
    return StageOutcome.changed(snapshot, head, {"tasks": len(tasks.tasks)}, facts)


def judge(
    spec: AgentSpec,
    evidence: Evidence | None,
    candidate: AgentBehaviour,
    live: AgentBehaviour | None,
    tasks: TaskSet,
) -> Verdict:
    """The gate, on what the tasks gave."""
    trial = spec.trial
    assert trial is not None
    policy = GatePolicy(
        floors={PASSED_K: trial.pass_k_floor},
        compared=(PASSED_K,),
        minimum_effect=trial.minimum_effect,
        coverage_floor=1.0,
        minimum_samples=trial.minimum_tasks,
        sample_noun="tasks",
    )
    expected = Expected(
        COMPONENT, candidate.digest, _baseline(candidate, live), tasks.digest, conditions_of(trial)
    )
    return decide(evidence, policy, expected)


def rules_of(
    spec: AgentSpec, workspace: AppliedWorkspace, revision: ManifestRevision
) -> list[Rule]:
    """What applying asks of a revision beside its admission: its tasks, and its canary."""
    if spec.trial is None:
        return []
    return [partial(_trial_rule, workspace, spec, revision)]


def live_behaviour(workspace: AppliedWorkspace) -> AgentBehaviour | None:
    """The agent that the release log says is live; None before the first, or one of Kagent's."""
    revision = live_revision(workspace)
    return None if revision is None else behaviour_in(revision)


def behaviour_in(revision: ManifestRevision) -> AgentBehaviour | None:
    """The agent that a revision of manifests runs; None where it is not our program."""
    for manifest in revision.manifests:
        if manifest["kind"] != "Agent" or "byo" not in manifest["spec"]:
            continue
        for one in manifest["spec"]["byo"]["deployment"]["env"]:
            if one["name"] == VARIABLE:
                return behaviour_from_json(one["value"], where=revision.digest)
    return None


def load_tasks(workspace: AppliedWorkspace, trial: TrialSpec) -> TaskSet:
    """The declared tasks.

    Raises:
        ConfigurationError: a task is wrong. SourceNotFoundError: there is no such file.
    """
    return parse_tasks(read_text(workspace.settings, trial.tasks), where=trial.tasks)


def conditions_of(trial: TrialSpec) -> dict[str, Any]:
    """What both sides were tried under."""
    return {"trials": trial.trials, "k": trial.k}


def _trial_rule(
    workspace: AppliedWorkspace, spec: AgentSpec, revision: ManifestRevision, _: Evidence
) -> Sequence[Reason]:
    candidate, live = behaviour_in(revision), live_behaviour(workspace)
    if candidate is None or (live is not None and live.digest == candidate.digest):
        return ()  # only how many of it run has changed
    assert spec.trial is not None
    tasks = load_tasks(workspace, spec.trial)
    found = _known(workspace, spec, tasks)
    verdict = judge(spec, found, candidate, live, tasks)
    reasons = [
        replace(one, message=f"tasks: {one.message}")
        for one in verdict.reasons
        if one.status is not Status.PASS
    ]
    if spec.trial.canary is not None and live is not None:
        reasons.extend(_canary_reasons(workspace, candidate, live))
    return reasons


def _canary_reasons(
    workspace: AppliedWorkspace, candidate: AgentBehaviour, live: AgentBehaviour
) -> list[Reason]:
    head = read_head(workspace.store, CANARY)
    if head is None or head.details["sides"] != [candidate.digest, live.digest]:
        why = "it was not tried on a share of the requests beside what is live"
        return [Reason(Status.UNDECIDED, Code.MISSING, why)]
    return [
        Reason(Status.FAIL, CANARY_CODE, f"rolled back: {why}") for why in head.details["problems"]
    ]


def _sides(
    workspace: AppliedWorkspace, spec: AgentSpec
) -> tuple[TrialSpec, AgentBehaviour, AgentBehaviour | None]:
    assert spec.trial is not None
    return spec.trial, behaviour_of(spec), live_behaviour(workspace)


def _known(workspace: AppliedWorkspace, spec: AgentSpec, tasks: TaskSet) -> Evidence | None:
    """The stored evidence, if it is about these two sides and these tasks."""
    trial, candidate, live = _sides(workspace, spec)
    head = read_head(workspace.store, TRIAL)
    found = read_evidence(workspace.store, head.details["evidence"]) if head else None
    if found is None:
        return None
    about = (found.revision, found.baseline, found.golden_digest, dict(found.conditions))
    wanted = (
        candidate.digest, _baseline(candidate, live), tasks.digest, conditions_of(trial),
    )  # fmt: skip
    return found if about == wanted else None


def _baseline(candidate: AgentBehaviour, live: AgentBehaviour | None) -> str | None:
    return None if live is None or live.digest == candidate.digest else live.digest


def _do(
    workspace: AppliedWorkspace, port: int, trial: TrialSpec, tasks: TaskSet, side: str
) -> list[Tried]:
    found: list[Tried] = []
    for number, task in enumerate(tasks.tasks, start=1):
        workspace.deadline.check(f"task {task.id} of the {side}")
        workspace.progress(f"{side}: task {number} of {len(tasks.tasks)}")
        attempts: list[Attempt] = []
        for _ in range(trial.trials):
            attempt = ask(port, task, seconds=trial.seconds).attempt
            attempts.append(replace(attempt, problems=problems_of(task, attempt)))
        found.append(Tried(task, tuple(attempts)))
    return found


def _evidence(
    candidate: AgentBehaviour,
    live: AgentBehaviour | None,
    tasks: TaskSet,
    trial: TrialSpec,
    done: dict[str, list[Tried]],
) -> Evidence:
    before = {one.task.id: _outcome(one, trial) for one in done.get("live", ())}
    rows = tuple(
        SampleRow(one.task.id, one.task.slices, _outcome(one, trial), before.get(one.task.id))
        for one in done["candidate"]
    )
    return make_evidence(
        Evidence(
            component=COMPONENT,
            revision=candidate.digest,
            baseline=_baseline(candidate, live),
            golden_digest=tasks.digest,
            conditions=conditions_of(trial),
            metrics=METRICS,
            samples=len(rows),
            rows=rows,
        )
    )


def _outcome(tried: Tried, trial: TrialSpec) -> Outcome:
    attempts = tried.attempts
    right, tries = right_of(attempts), len(attempts)
    details: dict[str, Any] = {
        "right": right,
        "tries": tries,
        "calls": [[one.tool for one in attempt.calls] for attempt in attempts],
        "steps": [attempt.steps for attempt in attempts],
        "problems": sorted({why for attempt in attempts for why in attempt.problems}),
    }
    scores = {PASSED: right / tries, PASSED_K: pass_hat_k(right, tries, trial.k)}
    if all(attempt.error for attempt in attempts):
        return Outcome({PASSED: 0.0, PASSED_K: 0.0}, Failure.ERROR, details)
    return Outcome(scores, None, details)


def _facts(
    workspace: AppliedWorkspace, spec: AgentSpec, evidence: Evidence, tasks: TaskSet
) -> dict[str, Any]:
    _, candidate, live = _sides(workspace, spec)
    return {
        "evidence": evidence,
        "verdict": judge(spec, evidence, candidate, live, tasks),
        "tasks": tasks,
    }
