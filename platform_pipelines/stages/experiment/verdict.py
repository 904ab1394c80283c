"""The stage `verdict`: the conclusion as evidence, through the gate, and who is sent where.

`assignment.json` is what routers read: shares of 100 by arm. While the experiment runs they are the
declared ones; when it ends they are the live arm's alone. A harm or a broken assignment so takes
the candidate from everybody, without anybody's word. Who is promoted is for the policy to say.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from platform_pipelines.compute.environments import ensure
from platform_pipelines.core.experiment.declaration import ExperimentSpec, GatewaySpec
from platform_pipelines.core.experiment.gateway import gateway_of, render_routes
from platform_pipelines.core.experiment.observations import DayTally
from platform_pipelines.core.experiment.verdict import Conclusion, State, conclusion_rule
from platform_pipelines.core.road.assignments import FILE, Assignment
from platform_pipelines.core.road.evidence import Evidence, Outcome, SampleRow, make_evidence
from platform_pipelines.core.road.gate import decide
from platform_pipelines.core.road.identity import digest_text
from platform_pipelines.core.road.manifests import revision_of
from platform_pipelines.core.road.releases import Candidate, ReleaseEntry, current
from platform_pipelines.core.road.verdicts import Expected, GatePolicy, Status, Verdict
from platform_pipelines.gateways.router import LocalEnvoy
from platform_pipelines.stages.experiment.looks import read_conclusion
from platform_pipelines.stages.experiment.workspace import FOLDER, Workspace
from platform_pipelines.stages.road import release as road
from platform_pipelines.stages.road.applied import check_owners
from platform_pipelines.stages.road.clusters import open_cluster
from platform_pipelines.stages.road.connect import release_log
from platform_pipelines.stages.road.evidence import read_evidence, write_evidence

ASSIGNMENT = FILE
POLICY = GatePolicy(coverage_floor=1.0, minimum_samples=1, sample_noun="days")


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the gate said, what that changed, and who is sent where now."""

    conclusion: Conclusion
    verdict: Verdict
    evidence: Evidence
    status: str  # of the release, or why there is none
    live: str  # the arm that serves whoever is in no experiment
    shares: dict[str, int]


class ArmTarget:
    """The release target: the arm that serves, in what routers read."""

    def __init__(self, workspace: Workspace, conclusion: Conclusion) -> None:
        self._workspace = workspace
        self._conclusion = conclusion

    def pointed(self) -> str | None:
        """The arm that serves; None before the first assignment."""
        store = self._workspace.store
        return json.loads(store.get(ASSIGNMENT)[0])["live"] if store.exists(ASSIGNMENT) else None

    def point(self, target: str) -> None:
        """Let an arm serve; while the experiment runs, its shares are sent to both."""
        spec = self._workspace.spec
        shares = shares_now(spec, self._conclusion, target)
        targets = {name: arm.target for name, arm in spec.arms.items()}
        state = str(self._conclusion.state)
        hashing, candidate = spec.hashing, spec.candidate
        made = Assignment(spec.name, target, shares, targets, state, hashing, candidate)
        data = made.to_json().encode()
        store = self._workspace.store
        if not store.exists(ASSIGNMENT) or store.get(ASSIGNMENT)[0] != data:
            store.put(ASSIGNMENT, data)
        if spec.gateway is not None:
            apply_to_gateway(self._workspace, spec.gateway, shares)
        if spec.routes is not None:
            apply_to_cluster(self._workspace, shares, target)

    def existing(self) -> list[str]:
        """Both arms."""
        return sorted(self._workspace.spec.arms)


def apply_to_gateway(workspace: Workspace, gateway: GatewaySpec, shares: Mapping[str, int]) -> None:
    """Let the declared Envoy send the keys as it is assigned; returns when it does.

    Raises:
        UnavailableError: it does not start. IntegrityError: it refuses the routes.
    """
    settings = workspace.settings
    wanted = gateway_of(shares, gateway.addresses)
    binary = ensure("proxy", settings.environments_home, workspace.progress).parent / "envoy"
    folder = settings.home / "gateways" / f"experiment-{workspace.name}"
    router = LocalEnvoy(folder, binary=binary, port=gateway.port, admin_port=gateway.admin_port)
    router.start()
    router.route(wanted.endpoints, wanted.shares)


def apply_to_cluster(workspace: Workspace, shares: Mapping[str, int], live: str) -> None:
    """Let the declared Gateway send the keys as it is assigned; outside production it is only
    admitted.

    Raises:
        OwnershipError: a route of that name is somebody else's.
        UnavailableError: no API server answers.
    """
    settings = workspace.settings
    manifests = render_routes(workspace.spec, shares, live)
    installation = digest_text(settings.store_url)[:12]
    revision = revision_of(f"experiment-{workspace.name}", installation, manifests)
    cluster = open_cluster(settings)
    check_owners(cluster, revision)
    for manifest in revision.stamped:
        cluster.apply(manifest, dry_run=settings.environment != "production", force=True)


def shares_now(spec: ExperimentSpec, conclusion: Conclusion, live: str) -> dict[str, int]:
    """Who is sent where: the declared shares while it runs and its baseline serves."""
    if conclusion.is_over or live != spec.baseline:
        return {arm: 100 * (arm == live) for arm in sorted(spec.arms)}
    return dict(sorted(spec.shares.items()))


def refresh_verdict(workspace: Workspace) -> Judgement:
    """Judge what was looked at; promote a winner where the policy says so.

    Raises:
        EvidenceError: nothing was looked at yet.
    """
    spec = workspace.spec
    head, days, conclusion = read_conclusion(workspace)
    target = ArmTarget(workspace, conclusion)
    live = _first(workspace, target) or current(_log(workspace))
    assert live is not None
    baseline = None if live.target == spec.candidate else live.revision
    evidence = _evidence(spec, head.digest, spec.candidate, baseline, conclusion, days)
    digest = write_evidence(workspace.settings, workspace.store, evidence)
    verdict = judge(workspace, digest, spec.candidate, baseline, head.digest)
    status = _promote(workspace, target, verdict, digest, live)
    now = current(_log(workspace)) or live
    target.point(now.target)
    return Judgement(
        conclusion, verdict, evidence, status, now.target,
        shares_now(spec, conclusion, now.target),
    )  # fmt: skip


def roll_back_verdict(
    workspace: Workspace, *, to_revision: str | None, reason: str
) -> ReleaseEntry:
    """Let the arm before the live one serve again.

    Raises:
        UnknownNameError: there is none.
    """
    _, _, conclusion = read_conclusion(workspace)
    target = ArmTarget(workspace, conclusion)
    return road.roll_back(workspace, target, to_revision=to_revision, reason=reason)


def judge(
    workspace: Workspace, digest: str, arm: str, baseline: str | None, observations: str
) -> Verdict:
    """The gate, on evidence as it is stored."""
    spec = workspace.spec
    expected = Expected(FOLDER, spec.revision(arm), baseline, observations, conditions_of(spec))
    evidence = read_evidence(workspace.store, digest)
    return decide(evidence, POLICY, expected, rules=(conclusion_rule,))


def conditions_of(spec: ExperimentSpec) -> dict[str, str]:
    """What every look was made under."""
    return {"experiment": spec.digest, "method": "mixture sequential probability ratio test"}


def _promote(
    workspace: Workspace, target: ArmTarget, verdict: Verdict, digest: str, live: ReleaseEntry
) -> str:
    spec = workspace.spec
    if live.target == spec.candidate:
        return "live already"
    if verdict.status is not Status.PASS:
        return "not promoted: the gate does not pass"
    if spec.promote != "winner":
        return "not promoted: the declaration says `promote: never`"
    observations = workspace.require_head("looks").digest

    def judged(found: ReleaseEntry | None) -> road.Judged:
        baseline = found.revision if found else None
        return road.Judged(judge(workspace, digest, spec.candidate, baseline, observations), digest)

    candidate = Candidate(spec.name, spec.revision(spec.candidate), spec.candidate, digest)
    return road.release(workspace, candidate, target, judged).status


def _first(workspace: Workspace, target: ArmTarget) -> ReleaseEntry | None:
    """What served before the experiment is its first release: there is something to go back to."""
    if _log(workspace):
        return None
    spec = workspace.spec
    before = Conclusion(State.BASELINE, f"{spec.baseline} served before the experiment", ())
    evidence = _evidence(spec, spec.digest, spec.baseline, None, before, ())
    digest = write_evidence(workspace.settings, workspace.store, evidence)

    def judged(found: ReleaseEntry | None) -> road.Judged:
        baseline = found.revision if found else None
        verdict = judge(workspace, digest, spec.baseline, baseline, spec.digest)
        return road.Judged(verdict, digest)

    arm = Candidate(spec.name, spec.revision(spec.baseline), spec.baseline, digest)
    return road.release(workspace, arm, target, judged).live


def _log(workspace: Workspace) -> Sequence[ReleaseEntry]:
    return release_log(workspace.store, workspace.name).entries()


def _evidence(
    spec: ExperimentSpec,
    observations: str,
    arm: str,
    baseline: str | None,
    conclusion: Conclusion,
    days: Sequence[DayTally],
) -> Evidence:
    looked = {one.day for one in conclusion.looks}
    rows = tuple(
        SampleRow(day.day, {}, _outcome(day, spec.candidate), _outcome(day, spec.baseline))
        for day in days
        if day.day in looked
    ) or (SampleRow("before", {}, Outcome({})),)
    facts = {
        "state": str(conclusion.state),
        "why": conclusion.why,
        "looks": {
            one.day: {
                name: [seen.gain, seen.low, seen.high, str(seen.standing)]
                for name, seen in one.looks.items()
                if seen.high - seen.low < float("inf")
            }
            for one in conclusion.looks
        },
    }
    return make_evidence(
        Evidence(
            FOLDER, spec.revision(arm), baseline, observations, conditions_of(spec),
            spec.road_metrics(), len(rows), rows, facts,
        )
    )  # fmt: skip


def _outcome(day: DayTally, arm: str) -> Outcome:
    tallies = day.tallies[arm]
    return Outcome({name: one.mean if one.count else None for name, one in tallies.items()})
