"""The rollout's controller: reads the state, makes the world so, looks, and writes where it goes.

The state is one object of the store, replaced by compare-and-swap before anything is done about it.
Two controllers do not disturb each other: who loses the swap reads again. Killed at any point, the
next one goes on from what is written.
"""

import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

from platform_pipelines.core.model_rollout.machine import (
    Health,
    Phase,
    Rollout,
    Seen,
    abandon,
    advance,
    begin,
    rollout_from_record,
    rollout_record,
    wanted,
)
from platform_pipelines.core.model_rollout.operations import (
    Window,
    findings,
    sample_from_record,
    window,
)
from platform_pipelines.core.road.evidence import Evidence, Outcome, make_evidence
from platform_pipelines.core.road.gate import decide
from platform_pipelines.core.road.identity import canonical_json
from platform_pipelines.core.road.model_questions import (
    ANSWER_F1,
    METRICS,
    ModelGoldenSet,
    unanswered,
)
from platform_pipelines.core.road.releases import Candidate, ReleaseEntry
from platform_pipelines.core.road.served_model import ModelRef
from platform_pipelines.core.road.verdicts import Expected, GatePolicy, Reason, Status, Verdict
from platform_pipelines.errors import ConflictError, GateFailedError
from platform_pipelines.gateways.model_registry import CANDIDATE, ModelRegistry
from platform_pipelines.stages.model_rollout.targets import open_world
from platform_pipelines.stages.model_rollout.workspace import Workspace
from platform_pipelines.stages.model_rollout.world import World
from platform_pipelines.stages.road import models
from platform_pipelines.stages.road.asking import ask_all, load_questions, sample_rows
from platform_pipelines.stages.road.evidence import read_evidence, write_evidence
from platform_pipelines.stages.road.models import ChampionAlias
from platform_pipelines.stages.road.release import Judged, release

VERSION = "1"  # raise it when equal input would give other output
STATE = "rollout.json"
TICK_SECONDS = 1.0


@dataclass
class Controller:
    """One controller of one rollout. `answers` are of the step in which they were asked."""

    workspace: Workspace
    registry: ModelRegistry
    world: World
    golden: ModelGoldenSet
    answers: dict[str, dict[str, Outcome]] = field(default_factory=dict[str, dict[str, Outcome]])
    alias_was: str | None = None  # what the registry's readers followed, if that was not the log's

    def run(self) -> Rollout | None:
        """Bring the rollout to its end; None when there is nothing to roll out.

        The champion serves before, meanwhile and afterwards.
        """
        self._repair()
        rollout, version = self.read()
        if rollout is None or rollout.has_ended:
            rollout, version = self._begin(rollout, version)
        if rollout is None:
            self._serve_champion()
            return None
        while not rollout.has_ended:
            self.workspace.deadline.check(f"rolling out, {rollout.phase}")
            rollout, version = self.tick(rollout, version)
        self._end(rollout)
        return rollout

    @property
    def alias(self) -> ChampionAlias:
        """What the registry's readers follow."""
        return ChampionAlias(self.registry, self.workspace.name)

    def read(self) -> tuple[Rollout | None, str | None]:
        """The stored state and its version."""
        return read_rollout(self.workspace)

    def tick(self, rollout: Rollout, version: str | None) -> tuple[Rollout, str | None]:
        """One look, and one entry in the state at most."""
        spec = self.workspace.spec
        try:
            if rollout.phase is Phase.PROMOTING:
                self._release(rollout)  # before the old one is drained: a refusal finds it serving
            settled = self.world.settle(wanted(rollout, spec), rollout.candidate, rollout.champion)
            if rollout.phase is Phase.STEPPING and settled and not rollout.samples:
                return self._write(replace(rollout, samples=self._samples(rollout)), version)
            after = advance(rollout, self._look(rollout, settled=settled), spec)
        except GateFailedError as error:
            after = replace(rollout, phase=Phase.STEPPING)
            after = abandon(after, now=self._now(), reason=error.what)
        if after is rollout:
            self.workspace.clock.sleep(TICK_SECONDS)
            return rollout, version
        entered = after.history[-1]
        self.answers = {}
        why = f" ({'; '.join(entered.reasons)})" if entered.reasons else ""
        self.workspace.progress(f"{describe(after, spec.steps)}{why}")
        return self._write(after, version)

    def _repair(self) -> None:
        """A `champion` that was set by hand, or not at all, is put right: the log is the truth."""
        self.alias_was = models.put_champion_right(self.workspace, self.registry)

    def _begin(
        self, last: Rollout | None, version: str | None
    ) -> tuple[Rollout | None, str | None]:
        candidate = models.version_named(self.registry, self.workspace.name, CANDIDATE)
        serves = models.champion(self.workspace.tools, self.registry, self.workspace.name)
        if candidate is None or candidate.digest == serves.digest:
            return None, version
        if last and last.phase is Phase.ROLLED_BACK and last.candidate == candidate:
            self.workspace.progress(f"version {candidate.version} was rolled back; it is held")
            self._end(last)  # its run may have been killed before it took the alias away
            return None, version
        return self._write(begin(candidate, serves, now=self._now()), version)

    def _serve_champion(self) -> None:
        serves = models.champion(self.workspace.tools, self.registry, self.workspace.name)
        idle = begin(serves, serves, now=self._now())
        while not self.world.settle(
            replace(wanted(idle, self.workspace.spec), runs=(serves,)), serves, serves
        ):
            self.workspace.deadline.check("starting the champion")
            if self.world.health(serves) is Health.GONE:
                self.world.servers.start(serves, self.workspace.spec.serving)
            self.workspace.clock.sleep(TICK_SECONDS)

    def _look(self, rollout: Rollout, *, settled: bool) -> Seen:
        seen = Seen(self._now(), self.world.health(rollout.candidate), settled)
        if rollout.phase is not Phase.STEPPING or not rollout.samples or not settled:
            return seen
        step = self.workspace.spec.steps[rollout.step]
        if seen.now - rollout.since < step.hold_seconds:
            reasons, facts = self._operations(rollout)
            failed = tuple(r for r in reasons if r.status is Status.FAIL)
            verdict = Status.FAIL if failed else None
            return replace(seen, verdict=verdict, reasons=failed, facts=facts)
        evidence = self._evidence(rollout)
        verdict = judge(self.workspace, evidence, self._expected(rollout))
        digest = write_evidence(self.workspace.settings, self.workspace.store, evidence)
        return replace(
            seen,
            now=self._now(),
            verdict=verdict.status,
            reasons=verdict.reasons,
            facts={**evidence.facts["operations"], "answer_f1": _f1(evidence)},
            evidence=digest,
        )

    def _evidence(self, rollout: Rollout) -> Evidence:
        """Answers of both sides, asked once a step, and what both sides did until now."""
        if not self.answers:
            self.workspace.progress(f"asking both sides {len(self.golden.questions)} questions")
            with ThreadPoolExecutor(2) as pool:
                both = pool.map(self._ask, (rollout.candidate, rollout.champion))
                self.answers = dict(zip(("candidate", "champion"), both, strict=True))
        reasons, operations = self._operations(rollout)
        about = self._expected(rollout)
        return make_evidence(
            Evidence(
                component=about.component,
                revision=about.revision,
                baseline=about.baseline,
                golden_digest=about.golden_digest,
                conditions=about.conditions,
                metrics=METRICS,
                samples=len(self.golden.questions),
                rows=sample_rows(self.golden, self.answers["candidate"], self.answers["champion"]),
                facts={
                    "percent": self.workspace.spec.steps[rollout.step].percent,
                    "operations": operations,
                    "findings": [[str(r.status), r.code, r.message] for r in reasons],
                },
            )
        )

    def _ask(self, model: ModelRef) -> dict[str, Outcome]:
        address = self.world.servers.address(model)
        tokens = self.workspace.spec.judge.answer_tokens
        if address is None:
            return {q.id: unanswered("its server is gone") for q in self.golden.questions}
        check = self.workspace.deadline.check
        return ask_all(
            address, self.golden, max_tokens=tokens, check=lambda: check("asking questions")
        )

    def _operations(self, rollout: Rollout) -> tuple[list[Reason], dict[str, Any]]:
        windows = {side: self._window(rollout, side) for side in ("candidate", "champion")}
        reasons = findings(windows["candidate"], windows["champion"], self.workspace.spec.judge)
        return reasons, {side: w.record() if w else None for side, w in windows.items()}

    def _window(self, rollout: Rollout, side: str) -> Window | None:
        before = rollout.samples.get(side)
        model = rollout.candidate if side == "candidate" else rollout.champion
        return window(sample_from_record(before) if before else None, self.world.sample(model))

    def _samples(self, rollout: Rollout) -> Mapping[str, Any]:
        """Both sides' counters now; a lost one is None, and found when it is compared."""
        sides = {"candidate": rollout.candidate, "champion": rollout.champion}
        found = {side: self.world.sample(model) for side, model in sides.items()}
        return {side: sample.record() if sample else None for side, sample in found.items()}

    def _release(self, rollout: Rollout) -> None:
        """Append to the release log, and let the registry show it. Idempotent."""
        digest = rollout.candidate.digest

        def judged(live: ReleaseEntry | None) -> Judged:
            about = self._expected(rollout)
            if live is not None:
                about = replace(about, baseline=live.target)
            found = read_evidence(self.workspace.store, rollout.evidence or "none")
            return Judged(judge(self.workspace, found, about), found.digest if found else None)

        candidate = Candidate(self.workspace.name, digest, digest, rollout.evidence or "")
        release(self.workspace, candidate, self.alias, judged, allow_rolled_back=True)

    def _expected(self, rollout: Rollout) -> Expected:
        spec = self.workspace.spec
        return Expected(
            component=self.workspace.name,
            revision=rollout.candidate.digest,
            baseline=rollout.champion.digest,
            golden_digest=self.golden.digest,
            conditions={
                "serving": spec.serving.digest,
                "answer_tokens": spec.judge.answer_tokens,
            },
        )

    def _end(self, rollout: Rollout) -> None:
        """A refused candidate is no candidate any more."""
        name = self.workspace.name
        if rollout.phase is Phase.ROLLED_BACK:
            found = models.version_named(self.registry, name, CANDIDATE)
            if found is not None and found.digest == rollout.candidate.digest:
                self.registry.delete_alias(name, CANDIDATE)

    def _write(self, rollout: Rollout, version: str | None) -> tuple[Rollout, str | None]:
        data = canonical_json(rollout_record(rollout)).encode()
        try:
            store = self.workspace.store
            new = store.put(STATE, data, if_absent=version is None, if_version=version)
        except ConflictError:
            stored, newer = self.read()
            if stored is None:
                raise
            return stored, newer
        return rollout, new

    def _now(self) -> float:
        return self.workspace.clock.now().timestamp()


@dataclass(frozen=True, slots=True)
class Ended:
    """How a run of the controller ended. `rollout` is None when there was no candidate."""

    rollout: Rollout | None
    alias_was: str | None  # what `champion` named, if that was not what the log says


def run_rollout(workspace: Workspace) -> Ended:
    """Roll the registry's candidate out, or go on with what is under way.

    Raises:
        UnknownNameError: there is no model to serve yet.
        StageTimeoutError: the run's time is over; the next run goes on.
    """
    with workspace.tools.registry() as registry:
        one = controller(workspace, registry)
        return Ended(one.run(), one.alias_was)


def stop_serving(workspace: Workspace) -> None:
    """End the gateway and the servers of this machine: nobody is served any more."""
    with workspace.tools.registry() as registry:
        known = [ModelRef(v.digest, v.source, v.version) for v in registry.versions(workspace.name)]
    open_world(workspace).stop(known)


def controller(workspace: Workspace, registry: ModelRegistry) -> Controller:
    """A controller of this machine's servers and gateway."""
    golden = load_questions(workspace.settings, workspace.spec.judge.golden_set)
    return Controller(workspace, registry, open_world(workspace), golden)


def read_rollout(workspace: Workspace) -> tuple[Rollout | None, str | None]:
    """The stored state of a model's rollout and its version; (None, None) before the first.

    Raises:
        IntegrityError: it is damaged.
    """
    if not workspace.store.exists(STATE):
        return None, None
    data, version = workspace.store.get(STATE)
    where = f"{workspace.store.url}/{STATE}"
    return rollout_from_record(json.loads(data), where=where), version


def judge(workspace: Workspace, evidence: Evidence | None, about: Expected) -> Verdict:
    """The gate on answers and operations together."""
    declared = workspace.spec.judge
    policy = GatePolicy(
        floors=declared.floors,
        compared=(ANSWER_F1.name,),
        minimum_effect=declared.minimum_effect,
        minimum_samples=declared.minimum_questions,
        sample_noun="questions",
    )
    return decide(evidence, policy, about, rules=(operations_rule,))


def operations_rule(evidence: Evidence) -> list[Reason]:
    """What was found in each side's own numbers; evidence without it never passes."""
    found = evidence.facts.get("findings")
    if found is None:
        return [Reason(Status.FAIL, "metrics_lost", "the evidence holds no operations")]
    return [Reason(Status(status), code, message) for status, code, message in found]


def describe(rollout: Rollout, steps: Any) -> str:
    """One line for the log."""
    models_of = f"version {rollout.candidate.version} against {rollout.champion.version}"
    if rollout.phase is Phase.STEPPING:
        step = steps[rollout.step]
        share = "mirrored" if step.mirror else f"{step.percent} %"
        return f"{models_of}: step {rollout.step + 1} of {len(steps)}, {share}"
    return f"{models_of}: {str(rollout.phase).replace('_', ' ')}"


def _f1(evidence: Evidence) -> dict[str, float | None]:
    """Mean of both sides."""
    return {
        "candidate": evidence.means[ANSWER_F1.name].mean,
        "champion": evidence.baseline_means[ANSWER_F1.name].mean,
    }
