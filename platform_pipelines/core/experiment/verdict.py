"""When an experiment stops, and what it says then. Days are looked at in order, each once.

The first day on which a rule holds ends it: what is observed later changes nothing.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum

from platform_pipelines.core.experiment.cohorts import sample_ratio
from platform_pipelines.core.experiment.declaration import ExperimentSpec
from platform_pipelines.core.experiment.observations import DayTally
from platform_pipelines.core.experiment.sequential import Look, Standing, Tally, look
from platform_pipelines.core.road.evidence import Evidence
from platform_pipelines.core.road.metrics import Direction
from platform_pipelines.core.road.verdicts import Reason, Status

MISASSIGNED_SHARE = 0.01  # of the keys: a proxy that was restarted sends a few elsewhere
RATIO_ERROR = 0.001


class State(StrEnum):
    """Of an experiment."""

    BASELINE = "baseline"  # about the arm that served before it began
    RUNNING = "running"
    BROKEN = "broken"  # the arms did not get their shares: nothing else is said
    HARM = "harm"  # the candidate is worse by more than a margin
    WON = "won"  # the candidate is better, and no guard is worse
    EQUAL = "equal"  # no difference that matters
    UNDECIDED = "undecided"  # the days are over


@dataclass(frozen=True, slots=True)
class DayLook:
    """What was seen at the end of a day: all days up to it."""

    day: str
    keys: Mapping[str, int]
    misassigned: int
    log_evidence: float  # of broken assignment
    looks: Mapping[str, Look]


@dataclass(frozen=True, slots=True)
class Conclusion:
    """Where the experiment stands; `looks` end on the day that ended it."""

    state: State
    why: str
    looks: tuple[DayLook, ...]

    @property
    def is_over(self) -> bool:
        """Whether nobody needs to be sent to the candidate any more for its sake."""
        return self.state is not State.RUNNING


def conclude(spec: ExperimentSpec, days: Sequence[DayTally]) -> Conclusion:
    """Look at each day with all days before it, and stop at the first that says to."""
    looks: list[DayLook] = []
    keys = dict.fromkeys(spec.arms, 0)
    misassigned = 0
    sums: dict[str, dict[str, Tally]] = {a: dict.fromkeys(spec.metrics, Tally()) for a in spec.arms}
    for day in sorted(days, key=lambda one: one.day):
        misassigned += day.misassigned
        for arm in spec.arms:
            keys[arm] += day.keys[arm]
            for name in spec.metrics:
                sums[arm][name] += day.tallies[arm][name]
        ratio = sample_ratio(keys, spec.shares, alpha=RATIO_ERROR)
        seen = {name: _look(spec, name, sums) for name in spec.metrics}
        looks.append(DayLook(day.day, dict(keys), misassigned, ratio.log_evidence, seen))
        stopped = _broken(spec, looks[-1]) or _stopped(spec, seen)
        if stopped is not None:
            return Conclusion(*stopped, tuple(looks))
    if looks and looks[-1].day >= spec.last_day.isoformat():
        return Conclusion(State.UNDECIDED, f"{spec.days} days did not tell", tuple(looks))
    return Conclusion(State.RUNNING, f"day {len(looks)} of {spec.days}", tuple(looks))


def days_to_read(spec: ExperimentSpec, today: date) -> list[str]:
    """The whole days so far, of the experiment's zone."""
    last = min(spec.last_day, today - timedelta(days=1))
    count = (last - spec.start).days + 1
    return [(spec.start + timedelta(days=n)).isoformat() for n in range(max(count, 0))]


def conclusion_rule(evidence: Evidence) -> list[Reason]:
    """The gate's rule: only a candidate that won passes, or what served before it began."""
    state, why = State(evidence.facts["state"]), str(evidence.facts["why"])
    if state in (State.WON, State.BASELINE):
        return []
    failed = state in (State.HARM, State.BROKEN)
    return [Reason(Status.FAIL if failed else Status.UNDECIDED, f"experiment_{state}", why)]


def _look(spec: ExperimentSpec, name: str, sums: Mapping[str, Mapping[str, Tally]]) -> Look:
    measure = spec.metrics[name]
    return look(
        sums[spec.candidate][name], sums[spec.baseline][name], margin=measure.margin,
        direction=Direction(measure.direction), alpha=spec.error, minimum=spec.minimum,
    )  # fmt: skip


def _broken(spec: ExperimentSpec, seen: DayLook) -> tuple[State, str] | None:
    total = sum(seen.keys.values())
    if seen.log_evidence > -math.log(RATIO_ERROR):
        shares = ", ".join(f"{a} {n / total:.2%}" for a, n in seen.keys.items())
        return State.BROKEN, f"keys were sent {shares}; declared: {spec.shares}"
    if seen.misassigned > max(total * MISASSIGNED_SHARE, 5):
        return State.BROKEN, f"{seen.misassigned} of {total} keys were served another arm"
    return None


def _stopped(spec: ExperimentSpec, seen: Mapping[str, Look]) -> tuple[State, str] | None:
    worse = [name for name, one in seen.items() if one.standing is Standing.WORSE]
    if worse:
        return State.HARM, "; ".join(_told(spec, name, seen[name]) for name in worse)
    guards = {n: one for n, one in seen.items() if n != spec.decides}
    if not all(one.low > -spec.metrics[n].margin for n, one in guards.items()):
        return None
    deciding = seen[spec.decides]
    if deciding.standing is Standing.BETTER:
        return State.WON, _told(spec, spec.decides, deciding)
    if deciding.standing is Standing.EQUAL:
        return State.EQUAL, _told(spec, spec.decides, deciding)
    return None


def _told(spec: ExperimentSpec, name: str, seen: Look) -> str:
    unit = f" {spec.metrics[name].unit}".rstrip()
    return f"{name} gains {seen.gain:+.4g}{unit} [{seen.low:+.4g}, {seen.high:+.4g}]"
