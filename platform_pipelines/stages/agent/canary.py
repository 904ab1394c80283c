"""The stage `canary`: the candidate gets a share of the requests beside the live agent.

A gateway splits them by cohort, here as in a cluster. When it is over, or goes wrong, everybody is
sent to the live agent again: a candidate gets all requests by being applied, and is only applied
when its canary says nothing against it.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from platform_pipelines.compute.environments import ensure
from platform_pipelines.core.agent.behaviour import AgentBehaviour, behaviour_of
from platform_pipelines.core.agent.canary import CANDIDATE, LIVE, Side, problems_of_canary
from platform_pipelines.core.agent.declaration import AgentSpec, CanarySpec, TrialSpec
from platform_pipelines.core.agent.tasks import problems_of
from platform_pipelines.core.road.routes import Endpoint, weights
from platform_pipelines.core.road.snapshot import Snapshot
from platform_pipelines.gateways.local_program import free_port
from platform_pipelines.gateways.router import LocalEnvoy
from platform_pipelines.stages.agent.running import agents_running, ask, here
from platform_pipelines.stages.agent.trial import CANARY, live_behaviour, load_tasks
from platform_pipelines.stages.road.applied import AppliedWorkspace
from platform_pipelines.stages.road.outcome import StageOutcome

HELD, ROLLED_BACK, NOTHING = "held", "rolled_back", "nothing_is_live"
_HOST = "127.0.0.1"
_AFTERWARDS = 3  # requests that must all reach the live agent when it is over


def refresh_canary(workspace: AppliedWorkspace, spec: AgentSpec) -> StageOutcome:
    """Send a share of the tasks to the candidate, and say whether it may have all.

    Raises:
        UnavailableError: a program does not start.
    """
    trial = spec.trial
    assert trial is not None
    assert trial.canary is not None
    candidate, live = behaviour_of(spec), live_behaviour(workspace)
    head, version = workspace.head(CANARY)
    if live is None or live.digest == candidate.digest:
        snapshot = _snapshot(candidate, live, {}, (), NOTHING)
    elif head is not None and head.details["sides"] == [candidate.digest, live.digest]:
        return StageOutcome.unchanged(head)
    else:
        sides, returned = _try(workspace, trial, candidate, live)
        problems = problems_of_canary(trial.canary, sides[CANDIDATE], sides[LIVE])
        state = ROLLED_BACK if problems else HELD
        snapshot = _snapshot(candidate, live, sides, tuple(problems), state, returned)
    with workspace.writing(CANARY, version) as held:
        held.move_head(snapshot, version)
    return StageOutcome.changed(snapshot, head, {"requests": snapshot.counts["requests"]})


def _try(
    workspace: AppliedWorkspace,
    trial: TrialSpec,
    candidate: AgentBehaviour,
    live: AgentBehaviour,
) -> tuple[dict[str, Side], int]:
    spec = trial.canary
    assert spec is not None
    binary = ensure("proxy", workspace.settings.environments_home, workspace.progress)
    running = {CANDIDATE: here(candidate, trial), LIVE: here(live, trial)}
    with (
        agents_running(workspace, running) as ports,
        TemporaryDirectory(prefix="canary-") as folder,
    ):
        router = LocalEnvoy(
            Path(folder), binary=binary.parent / "envoy", port=(port := free_port()),
            admin_port=free_port(),
        )  # fmt: skip
        endpoints = [Endpoint(name, _HOST, one) for name, one in ports.items()]
        try:
            router.start()
            router.route(endpoints, weights(CANDIDATE, LIVE, spec.percent))
            sides = _send(workspace, trial, spec, port)
            router.route(endpoints, weights(CANDIDATE, LIVE, 0))
            task = load_tasks(workspace, trial).tasks[0]
            after = [
                ask(port, task, seconds=trial.seconds, cohort=f"after-{one}").side
                for one in range(_AFTERWARDS)
            ]
            return sides, after.count(LIVE)
        finally:
            router.stop()


def _send(
    workspace: AppliedWorkspace, trial: TrialSpec, spec: CanarySpec, port: int
) -> dict[str, Side]:
    """Requests until both are known, or the candidate is clearly bad: then nobody more gets it."""
    tasks = load_tasks(workspace, trial).tasks
    sides = {CANDIDATE: Side(), LIVE: Side()}
    for number in range(spec.requests):
        workspace.deadline.check("the canary")
        workspace.progress(f"canary: request {number + 1} of {spec.requests}")
        task = tasks[number % len(tasks)]
        asked = ask(port, task, seconds=trial.seconds, cohort=f"canary:{number}")
        if asked.side not in sides:
            continue  # the gateway answered itself
        attempt = asked.attempt
        is_wrong = not attempt.error and bool(problems_of(task, attempt))
        before = sides[asked.side]
        sides[asked.side] = replace(
            before,
            requests=before.requests + 1,
            errors=before.errors + bool(attempt.error),
            wrong=before.wrong + is_wrong,
            seconds=before.seconds + attempt.seconds,
        )
        enough = min(one.requests for one in sides.values()) >= spec.minimum
        if enough and problems_of_canary(spec, sides[CANDIDATE], sides[LIVE]):
            break
    return sides


def _snapshot(
    candidate: AgentBehaviour,
    live: AgentBehaviour | None,
    sides: Mapping[str, Side],
    problems: tuple[str, ...],
    state: str,
    returned: int = 0,
) -> Snapshot:
    return Snapshot(
        stage=CANARY,
        settings=candidate.digest,
        shards=(),
        counts={"requests": sum(one.requests for one in sides.values()), "returned": returned},
        details={
            "sides": [candidate.digest, live.digest if live else None],
            "seen": {name: dict(one.record()) for name, one in sides.items()},
            "problems": list(problems),
            "state": state,
        },
    )
