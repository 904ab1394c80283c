"""The gate: evidence and a policy in; `pass`, `fail` or `undecided` with all its reasons out.

Only `pass` releases. Evidence that is absent is `undecided`: evaluating will tell.
Evidence about something else, or with a number that is not finite, is `fail`. What a metric that is
undefined for a sample means is declared with the metric.
"""

import math
from collections.abc import Mapping, Sequence

from platform_pipelines.core.road.evidence import Evidence, Failure, Outcome
from platform_pipelines.core.road.gate_comparison import against_live, detects, spent
from platform_pipelines.core.road.metrics import (
    Direction,
    MeanScore,
    Metric,
    Undefined,
    by_name,
)
from platform_pipelines.core.road.verdicts import (
    Code,
    Expected,
    GatePolicy,
    Reason,
    Rule,
    Status,
    Verdict,
)
from platform_pipelines.errors import ConfigurationError


def check_policy(policy: GatePolicy, metrics: Sequence[Metric]) -> None:
    """Refuse a policy that could not mean what it says.

    Raises:
        ConfigurationError: names the field, its value and what is allowed.
    """
    known = by_name(metrics)
    for name, floor in policy.floors.items():
        where = f"floors.{name}"
        _check(where, name, allowed=name in known, expected=", ".join(known))
        fits = math.isfinite(floor) and known[name].fits(floor)
        _check(where, floor, allowed=fits, expected=f"{known[name].low}..{known[name].high}")
    for name in ("compared", "minimum_effects"):
        named = getattr(policy, name)
        _check(name, named, allowed=set(named) <= set(known), expected=", ".join(known))
    for name in {*policy.compared, *policy.minimum_effects}:
        _check_effect(name, policy.effect(name), known[name], single=name in policy.minimum_effects)
    covered = 0.0 <= policy.coverage_floor <= 1.0
    _check("coverage_floor", policy.coverage_floor, allowed=covered, expected="0..1")
    confident = 0.5 <= policy.confidence < 1.0
    _check("confidence", policy.confidence, allowed=confident, expected="0.5 <= c < 1")
    for name in ("minimum_samples", "minimum_slice_samples"):
        _check(name, getattr(policy, name), allowed=getattr(policy, name) >= 1, expected=">= 1")
    _check("resamples", policy.resamples, allowed=policy.resamples >= 1000, expected=">= 1000")


def _check_effect(name: str, effect: float, metric: Metric, *, single: bool) -> None:
    """A margin as wide as the metric's range passes everything: 2 (percent, meant) of a share."""
    span = math.inf if metric.low is None or metric.high is None else metric.high - metric.low
    field_name = f"minimum_effects.{name}" if single else "minimum_effect"
    allowed = math.isfinite(effect) and 0.0 <= effect <= span
    _check(field_name, effect, allowed=allowed, expected=f"0 to {span:g} {metric.unit}".rstrip())


def decide(
    evidence: Evidence | None,
    policy: GatePolicy,
    expected: Expected,
    *,
    rules: Sequence[Rule] = (),
) -> Verdict:
    """Judge a revision by its evidence. `rules` are the component's own, about its facts.

    Raises:
        ConfigurationError: the policy is refused by `check_policy`.
    """
    if evidence is None:
        missing = f"there is no evidence about revision {expected.revision}; evaluate it first"
        return _verdict([Reason(Status.UNDECIDED, Code.MISSING, missing)], proven=False)
    policy = spent(policy, evidence)
    unfit = [
        *_not_finite(evidence, policy),
        *_foreign(evidence, expected),
        *_unknown_metrics(evidence, policy),
    ]
    if unfit:
        return _verdict(unfit, proven=False)
    check_policy(policy, evidence.metrics)
    found = [reason for rule in rules for reason in rule(evidence)]
    if evidence.golden_digest is None:
        return _verdict(_unlabelled(found, rules), proven=False)
    reasons = [
        *found,
        *_enough(evidence, policy),
        *_floors(evidence, policy),
        *against_live(evidence, policy),
    ]
    return _verdict(reasons, proven=True, detects=detects(evidence, policy))


def _check(name: str, value: object, *, allowed: bool, expected: str) -> None:
    if not allowed:
        raise ConfigurationError(
            f"gate: `{name}` is not allowed", where=f"gate.{name}", stored=value, expected=expected
        )


def _verdict(
    reasons: Sequence[Reason], *, proven: bool, detects: Mapping[str, int] | None = None
) -> Verdict:
    found = {r.status for r in reasons}
    status = next((s for s in (Status.FAIL, Status.UNDECIDED) if s in found), Status.PASS)
    more = [r.more_samples for r in reasons if r.more_samples is not None]
    return Verdict(
        status=status,
        reasons=tuple(reasons),
        more_samples=max(more) if more and status is Status.UNDECIDED else None,
        proven=proven and status is Status.PASS,
        detects=detects or {},
    )


def _unlabelled(found: Sequence[Reason], rules: Sequence[Rule]) -> list[Reason]:
    """Evidence without labels rests on the component's rules; without a rule it says nothing."""
    if rules:
        note = "answers are unproven: declare a golden set to prove them"
        return [*found, Reason(Status.PASS, Code.UNPROVEN, note)]
    message = "neither samples nor a rule of the component: nothing was looked at"
    return [Reason(Status.UNDECIDED, Code.MISSING, message)]


def _not_finite(evidence: Evidence, policy: GatePolicy) -> list[Reason]:
    broken = [r.sample_id for r in evidence.rows if _broken(r.candidate) or _broken(r.baseline)]
    if not broken:
        return []
    message = f"scores of {len(broken)} {policy.sample_noun} are not finite: "
    return [Reason(Status.FAIL, Code.NOT_FINITE, message + ", ".join(broken[:5]))]


def _broken(outcome: Outcome | None) -> bool:
    if outcome is None:
        return False
    values = (s for s in outcome.scores.values() if s is not None)
    return outcome.failure is Failure.NOT_FINITE or not all(math.isfinite(v) for v in values)


def _foreign(evidence: Evidence, expected: Expected) -> list[Reason]:
    pairs = (
        (Code.FOREIGN_COMPONENT, "component", evidence.component, expected.component),
        (Code.FOREIGN_REVISION, "revision", evidence.revision, expected.revision),
        (Code.FOREIGN_BASELINE, "live revision", evidence.baseline, expected.baseline),
        (Code.FOREIGN_GOLDEN_SET, "golden set", evidence.golden_digest, expected.golden_digest),
    )
    others = [
        Reason(Status.FAIL, code, f"evidence is about {noun} {found}, not {wanted}; evaluate again")
        for code, noun, found, wanted in pairs
        if found != wanted
    ]
    names = sorted({*evidence.conditions, *expected.conditions})
    values = [(n, evidence.conditions.get(n), expected.conditions.get(n)) for n in names]
    return others + [
        Reason(
            Status.FAIL,
            Code.FOREIGN_CONDITIONS,
            f"evidence was made with {name} = {found}, not {wanted}; evaluate again",
        )
        for name, found, wanted in values
        if found != wanted
    ]


def _unknown_metrics(evidence: Evidence, policy: GatePolicy) -> list[Reason]:
    """A metric that the policy asks for and nobody measured is no metric that passed."""
    measured = by_name(evidence.metrics)
    wanted = sorted({*policy.floors, *policy.compared, *policy.minimum_effects} - set(measured))
    return [
        Reason(Status.FAIL, Code.UNKNOWN_METRIC, f"{name} was not measured; evaluate again", name)
        for name in wanted
    ]


def _enough(evidence: Evidence, policy: GatePolicy) -> list[Reason]:
    reasons: list[Reason] = []
    noun = policy.sample_noun
    lacking = policy.minimum_samples - evidence.samples
    if lacking > 0:
        message = f"{evidence.samples} {noun}; at least {policy.minimum_samples} are needed"
        reasons.append(
            Reason(Status.UNDECIDED, Code.TOO_FEW_SAMPLES, message, more_samples=lacking)
        )
    if not evidence.judged_share >= policy.coverage_floor:
        message = (
            f"{evidence.judged} of {evidence.samples} {noun} judged; "
            f"the floor is {policy.coverage_floor:.0%}"
        )
        reasons.append(Reason(Status.FAIL, Code.COVERAGE, message))
    return reasons


def _floors(evidence: Evidence, policy: GatePolicy) -> list[Reason]:
    """A floor is a ceiling where lower is better."""
    reasons: list[Reason] = []
    means = evidence.means
    for name, floor in sorted(policy.floors.items()):
        metric, mean = evidence.metric(name), means[name]
        if mean.mean is not None and metric.reaches(mean.mean, floor):
            reasons += _few_defined(name, mean, policy)
            continue
        bound = "floor" if metric.direction is Direction.HIGHER else "ceiling"
        left = f" over {mean.samples}" if metric.undefined is Undefined.LEFT_OUT else ""
        message = f"{name} is {_shown(mean.mean)}{left}; the {bound} is {floor}"
        reasons.append(Reason(Status.FAIL, Code.FLOOR, message, metric=name))
    return reasons


def _few_defined(name: str, mean: MeanScore, policy: GatePolicy) -> list[Reason]:
    """A floor that is reached by the few samples that were not left out is not reached yet."""
    lacking = policy.minimum_samples - mean.samples
    if not mean.left_out or lacking <= 0:
        return []
    message = (
        f"{name} is defined for {mean.samples} {policy.sample_noun}; "
        f"at least {policy.minimum_samples} are needed"
    )
    return [
        Reason(Status.UNDECIDED, Code.TOO_FEW_SAMPLES, message, metric=name, more_samples=lacking)
    ]


def _shown(score: float | None) -> str:
    return "undefined" if score is None else f"{score:.4f}"
