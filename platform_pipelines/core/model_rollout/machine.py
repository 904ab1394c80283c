"""The rollout's state machine: where it stands, what the world must look like, where it goes next.

The state is stored by compare-and-swap before anything is done about it; then the world is made to
look as the state says (`wanted`), by steps that change nothing the second time. A controller that
is killed anywhere is followed by one that reads the state and does the same.

    starting -> stepping (0, 1, ...) -> promoting -> promoted
         \\___________\\____________________\\-> rolling_back -> rolled_back
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from platform_pipelines.core.model_rollout.declaration import ModelRolloutSpec
from platform_pipelines.core.road.identity import digest_parts
from platform_pipelines.core.road.served_model import ModelRef, model_ref
from platform_pipelines.core.road.verdicts import Reason, Status
from platform_pipelines.errors import IntegrityError

FORMAT = 1
_SHOWN_REASONS = 8


class Phase(StrEnum):
    """Where a rollout stands."""

    STARTING = "starting"  # the candidate starts and warms up; nobody is sent to it
    STEPPING = "stepping"
    PROMOTING = "promoting"  # judged well at 100 %: released, then the old one is drained
    PROMOTED = "promoted"
    ROLLING_BACK = "rolling_back"  # nobody is sent to the candidate; then it is drained
    ROLLED_BACK = "rolled_back"


ENDED = frozenset((Phase.PROMOTED, Phase.ROLLED_BACK))


class Health(StrEnum):
    """Of one server."""

    READY = "ready"
    STARTING = "starting"
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class Entered:
    """One line of the history: what was entered, when, and why."""

    phase: Phase
    step: int
    at: float  # seconds since 1970
    reasons: tuple[str, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True)
class Rollout:
    """The stored state. `samples` are both sides' counters when the step was entered."""

    candidate: ModelRef
    champion: ModelRef
    phase: Phase
    step: int
    since: float  # seconds since 1970: when the phase or the step was entered
    history: tuple[Entered, ...]
    samples: Mapping[str, Any] = field(default_factory=dict[str, Any])
    evidence: str | None = None  # digest of the last judgement's

    @property
    def id(self) -> str:
        """Names this rollout: this candidate against this champion, begun then."""
        return digest_parts(self.candidate.digest, self.champion.digest, str(self.history[0].at))

    @property
    def has_ended(self) -> bool:
        """Whether nothing is left to do."""
        return self.phase in ENDED


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the world must look like in a state."""

    weight: int  # of the candidate, in percent; the champion has the rest
    mirror: bool
    runs: tuple[ModelRef, ...]
    drains: tuple[ModelRef, ...]  # no requests, then ended


@dataclass(frozen=True, slots=True)
class Seen:
    """What a look at the world gave. `settled`: the world looks as the state wants it."""

    now: float
    candidate: Health
    settled: bool
    verdict: Status | None = None
    reasons: tuple[Reason, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict[str, Any])
    evidence: str | None = None


def begin(candidate: ModelRef, champion: ModelRef, *, now: float) -> Rollout:
    """A new rollout."""
    first = Entered(Phase.STARTING, 0, now)
    return Rollout(candidate, champion, Phase.STARTING, 0, now, (first,))


def wanted(rollout: Rollout, spec: ModelRolloutSpec) -> Wanted:
    """What the world must look like. The weights of both sides are 100 together, always."""
    both = (rollout.champion, rollout.candidate)
    match rollout.phase:
        case Phase.STARTING:
            return Wanted(0, False, both, ())
        case Phase.STEPPING:
            step = spec.steps[rollout.step]
            return Wanted(step.percent, step.mirror, both, ())
        case Phase.PROMOTING | Phase.PROMOTED:
            return Wanted(100, False, (rollout.candidate,), (rollout.champion,))
        case Phase.ROLLING_BACK | Phase.ROLLED_BACK:
            return Wanted(0, False, (rollout.champion,), (rollout.candidate,))


def advance(rollout: Rollout, seen: Seen, spec: ModelRolloutSpec) -> Rollout:
    """The state after a look at the world; the same object when there is nothing to enter."""
    match rollout.phase:
        case Phase.STARTING:
            return _starting(rollout, seen, spec)
        case Phase.STEPPING:
            return _stepping(rollout, seen, spec)
        case Phase.PROMOTING:
            return _enter(rollout, seen, Phase.PROMOTED) if seen.settled else rollout
        case Phase.ROLLING_BACK:
            return _enter(rollout, seen, Phase.ROLLED_BACK) if seen.settled else rollout
        case Phase.PROMOTED | Phase.ROLLED_BACK:
            return rollout


def abandon(rollout: Rollout, *, now: float, reason: str) -> Rollout:
    """Roll back because somebody says so; one that has ended, or rolls back, stays as it is."""
    if rollout.phase in {*ENDED, Phase.ROLLING_BACK, Phase.PROMOTING}:
        return rollout
    return _back(rollout, Seen(now, Health.READY, settled=False), reason)


def _starting(rollout: Rollout, seen: Seen, spec: ModelRolloutSpec) -> Rollout:
    if seen.candidate is Health.READY and seen.settled:
        return _enter(rollout, seen, Phase.STEPPING)
    waited = seen.now - rollout.since
    if seen.candidate is Health.GONE:
        return _back(rollout, seen, "the candidate's server ended while it started")
    if waited > spec.serving.start_seconds:
        return _back(rollout, seen, f"the candidate was not ready after {waited:.0f} s")
    return rollout


def _stepping(rollout: Rollout, seen: Seen, spec: ModelRolloutSpec) -> Rollout:
    step = spec.steps[rollout.step]
    waited = seen.now - rollout.since
    if seen.candidate is not Health.READY:
        return _back(rollout, seen, f"the candidate's server is {seen.candidate}")
    if seen.verdict is Status.FAIL:
        return _back(rollout, seen)
    if not seen.settled or seen.verdict is None or waited < step.hold_seconds:
        return rollout
    if seen.verdict is Status.PASS:
        return _onward(rollout, seen, spec)
    if waited > step.hold_seconds + spec.judge.patience_seconds:
        return _back(rollout, seen, f"still undecided {waited:.0f} s after the step began")
    return rollout


def _onward(rollout: Rollout, seen: Seen, spec: ModelRolloutSpec) -> Rollout:
    if rollout.step + 1 == len(spec.steps):
        return _enter(rollout, seen, Phase.PROMOTING)
    return _enter(rollout, seen, Phase.STEPPING, step=rollout.step + 1)


def _back(rollout: Rollout, seen: Seen, *reasons: str) -> Rollout:
    return _enter(rollout, seen, Phase.ROLLING_BACK, reasons=reasons)


def _enter(
    rollout: Rollout,
    seen: Seen,
    phase: Phase,
    *,
    step: int | None = None,
    reasons: Sequence[str] = (),
) -> Rollout:
    told = [*reasons, *(f"{r.status} {r.code}: {r.message}" for r in seen.reasons)]
    number = rollout.step if step is None else step
    entered = Entered(phase, number, seen.now, tuple(told[:_SHOWN_REASONS]), seen.facts)
    return replace(
        rollout,
        phase=phase,
        step=number,
        since=seen.now,
        history=(*rollout.history, entered),
        samples={},
        evidence=seen.evidence or rollout.evidence,
    )


def rollout_record(rollout: Rollout) -> dict[str, Any]:
    """The state as JSON."""
    return {
        "format": FORMAT,
        "candidate": rollout.candidate.record(),
        "champion": rollout.champion.record(),
        "phase": str(rollout.phase),
        "step": rollout.step,
        "since": rollout.since,
        "samples": dict(rollout.samples),
        "evidence": rollout.evidence,
        "history": [
            {
                "phase": str(e.phase),
                "step": e.step,
                "at": e.at,
                "reasons": list(e.reasons),
                "facts": dict(e.facts),
            }
            for e in rollout.history
        ],
    }


def rollout_from_record(record: Mapping[str, Any], *, where: str) -> Rollout:
    """The inverse of `rollout_record`.

    Raises:
        IntegrityError: not the state of a rollout, or of a newer format.
    """
    try:
        if int(record["format"]) > FORMAT:
            raise ValueError(f"format {record['format']}")
        history = tuple(
            Entered(Phase(e["phase"]), e["step"], e["at"], tuple(e["reasons"]), e["facts"])
            for e in record["history"]
        )
        return Rollout(
            candidate=model_ref(record["candidate"]),
            champion=model_ref(record["champion"]),
            phase=Phase(record["phase"]),
            step=int(record["step"]),
            since=float(record["since"]),
            samples=record["samples"],
            evidence=record["evidence"],
            history=history,
        )
    except (KeyError, ValueError, TypeError) as error:
        raise IntegrityError(
            "not the state of a rollout",
            where=where,
            stored=f"{type(error).__name__}: {error}",
            expected=f"format {FORMAT} or less",
            remedy="if it is damaged, delete it: readers stay with the champion",
        ) from error
