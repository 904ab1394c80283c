"""The gate: evidence and a policy in; `pass`, `fail` or `undecided` with all its reasons out.

Only `pass` releases. Evidence that is absent is `undecided`: evaluating will tell.
Evidence about something else, or with a number that is not finite, is `fail`. What a metric that is
undefined for a sample means is declared with the metric.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from platform_pipelines.core.road.evidence import LOOKS, Evidence, Failure, Outcome, SampleRow
from platform_pipelines.core.road.metrics import (
    Direction,
    MeanScore,
    Metric,
    Undefined,
    by_name,
)
from platform_pipelines.core.road.statistics import (
    bootstrap_interval,
    holm,
    paired_differences,
    probability_not_below,
    samples_needed,
    samples_to_detect,
    spent_confidence,
)
from platform_pipelines.errors import ConfigurationError


class Status(StrEnum):
    """A verdict. As the status of a reason, `pass` is a note."""

    PASS = "pass"  # noqa: S105 - no password
    UNDECIDED = "undecided"
    FAIL = "fail"


class Code(StrEnum):
    """What a reason of the road is about; a component's own rules have codes of their own."""

    MISSING = "missing"
    NOT_FINITE = "not_finite"
    FOREIGN_COMPONENT = "foreign_component"
    FOREIGN_REVISION = "foreign_revision"
    FOREIGN_BASELINE = "foreign_baseline"
    FOREIGN_GOLDEN_SET = "foreign_golden_set"
    FOREIGN_CONDITIONS = "foreign_conditions"
    UNKNOWN_METRIC = "unknown_metric"
    UNPROVEN = "unproven"
    TOO_FEW_SAMPLES = "too_few_samples"
    COVERAGE = "coverage"
    FLOOR = "floor"
    BASELINE_COVERAGE = "baseline_coverage"
    REGRESSION = "regression"
    UNCERTAIN = "uncertain"
    SLICE_REGRESSION = "slice_regression"


@dataclass(frozen=True, slots=True)
class GatePolicy:
    """What a component declares. Check it with `check_policy` when it is loaded.

    `minimum_effect` is how much worse than live is still "not worse", in each compared metric's
    unit; `minimum_effects` says it for single metrics.
    """

    floors: Mapping[str, float] = field(default_factory=dict[str, float])
    compared: tuple[str, ...] = ()  # with the live revision; one, or power is spent on many
    minimum_effect: float = 0.02
    minimum_effects: Mapping[str, float] = field(default_factory=dict[str, float])
    coverage_floor: float = 0.98
    minimum_samples: int = 20
    minimum_slice_samples: int = 8  # smaller slices are not gated
    confidence: float = 0.95
    resamples: int = 4000
    seed: int = 0
    sample_noun: str = "samples"  # for people: "questions", "requests"

    def effect(self, metric: str) -> float:
        """The minimum effect of a metric."""
        return self.minimum_effects.get(metric, self.minimum_effect)


@dataclass(frozen=True, slots=True)
class Expected:
    """What the release itself knows, and evidence must be about.

    `baseline` is the live revision, None before the first release; `golden_digest` is None where no
    golden set is declared; `conditions` are those of an evaluation made now.
    """

    component: str
    revision: str
    baseline: str | None
    golden_digest: str | None
    conditions: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True)
class Reason:
    """One finding. `metric` and `slice` are empty where they do not apply."""

    status: Status
    code: str
    message: str
    metric: str = ""
    slice: str = ""
    more_samples: int | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """The worst status of all reasons. `proven`: a pass that rests on known answers.

    `detects`: by compared metric, how many samples find a loss of twice the minimum effect with
    the power of `statistics.POWER`.
    """

    status: Status
    reasons: tuple[Reason, ...]
    more_samples: int | None  # further samples that would decide it, where a number would
    proven: bool
    detects: Mapping[str, int] = field(default_factory=dict[str, int])


Rule = Callable[[Evidence], Sequence[Reason]]


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
    policy = _spent(policy, evidence)
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
        *_against_live(evidence, policy),
    ]
    return _verdict(reasons, proven=True, detects=_detects(evidence, policy))


def _check(name: str, value: object, *, allowed: bool, expected: str) -> None:
    if not allowed:
        raise ConfigurationError(
            f"gate: `{name}` is not allowed", where=f"gate.{name}", stored=value, expected=expected
        )


def _spent(policy: GatePolicy, evidence: Evidence) -> GatePolicy:
    """Who looks again and again sees chance: each look at one comparison may err less often."""
    looks = evidence.facts.get(LOOKS)
    if looks is None:
        return policy
    return replace(policy, confidence=spent_confidence(policy.confidence, int(looks)))


def _detects(evidence: Evidence, policy: GatePolicy) -> dict[str, int]:
    """How many samples tell twice the minimum effect from the minimum effect."""
    found: dict[str, int] = {}
    confidence = 1.0 - (1.0 - policy.confidence) / max(1, len(policy.compared))
    for name in policy.compared if evidence.baseline else ():
        gains = _gains(evidence, evidence.rows, name)
        effect = policy.effect(name)
        if len(set(gains)) > 1 and effect > 0:
            size = samples_to_detect(gains, effect, confidence=confidence)
            if size is not None:
                found[name] = size
    return found


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


def _against_live(evidence: Evidence, policy: GatePolicy) -> list[Reason]:
    if evidence.baseline is None or not policy.compared:
        return []
    paired = [r for r in evidence.rows if _comparable(r.baseline)]
    share = len(paired) / evidence.samples if evidence.samples else 0.0
    if not share >= policy.coverage_floor:
        message = f"{len(paired)} of {evidence.samples} {policy.sample_noun} were judged on live"
        return [Reason(Status.UNDECIDED, Code.BASELINE_COVERAGE, message)]
    overall = [r for name in policy.compared for r in _not_worse(evidence, paired, name, policy)]
    return overall + _slice_regressions(evidence, policy)


def _comparable(baseline: Outcome | None) -> bool:
    """A live revision that lacks the sample's answer rightly scores the worst; one that failed
    says nothing.
    """
    return baseline is not None and baseline.failure in {None, Failure.UNRESOLVED}


def _not_worse(
    evidence: Evidence, rows: Sequence[SampleRow], name: str, policy: GatePolicy
) -> list[Reason]:
    """Non-inferiority: pass when the whole interval is above -minimum_effect, fail when below it.

    Passing needs every compared metric, so it needs no correction; failing needs only one, so its
    interval is Bonferroni-corrected.
    """
    gains = _gains(evidence, rows, name)
    if len(gains) < len(rows) * policy.coverage_floor or not gains:
        message = f"{name} is defined on both sides for {len(gains)} of {len(rows)}"
        return [Reason(Status.UNDECIDED, Code.BASELINE_COVERAGE, message, metric=name)]
    margin = -policy.effect(name)
    sampling = {"resamples": policy.resamples, "seed": policy.seed}
    interval = bootstrap_interval(gains, confidence=policy.confidence, **sampling)
    if interval.low >= margin:
        return []
    strict = 1.0 - (1.0 - policy.confidence) / len(policy.compared)
    wide = bootstrap_interval(gains, confidence=strict, **sampling)
    unit = f" {evidence.metric(name).unit}".rstrip()
    shown = f"{name} gains {interval.estimate:+.4f}{unit} on live"
    shown += f" [{interval.low:+.4f}, {interval.high:+.4f}]; {margin:+} is allowed"
    if wide.high < margin:
        return [Reason(Status.FAIL, Code.REGRESSION, shown, metric=name)]
    needed = samples_needed(gains, margin, confidence=strict) if len(gains) > 1 else None
    more = None if needed is None else max(1, needed - len(gains))
    return [Reason(Status.UNDECIDED, Code.UNCERTAIN, shown, metric=name, more_samples=more)]


def _slice_regressions(evidence: Evidence, policy: GatePolicy) -> list[Reason]:
    """Slices that are clearly worse than live. Half of the error rate is theirs, shared by Holm."""
    tested: list[tuple[str, str, float]] = []
    for name, rows in evidence.slices.items():
        paired = [r for r in rows if _comparable(r.baseline)]
        for metric in policy.compared:
            gains = _gains(evidence, paired, metric)
            if len(gains) < policy.minimum_slice_samples:
                continue
            p = probability_not_below(
                gains, -policy.effect(metric), resamples=policy.resamples, seed=policy.seed
            )
            tested.append((name, metric, p))
    level = (1.0 - policy.confidence) / 2.0
    adjusted = holm([p for _, _, p in tested])
    return [
        Reason(
            Status.FAIL,
            Code.SLICE_REGRESSION,
            f"{metric} is worse than live (p = {p:.4f} after Holm, level {level:.4f})",
            metric,
            name,
        )
        for (name, metric, _), p in zip(tested, adjusted, strict=True)
        if p < level
    ]


def _gains(evidence: Evidence, rows: Sequence[SampleRow], name: str) -> list[float]:
    """How much better the candidate is, sample by sample; those left out of the metric are not."""
    metric = evidence.metric(name)
    pairs = [
        (evidence.value(r.candidate, name), evidence.value(r.baseline, name))
        for r in rows
        if r.baseline is not None
    ]
    both = [(c, b) for c, b in pairs if c is not None and b is not None]
    paired_differences([c for c, _ in both], [b for _, b in both])  # refuses what is not finite
    return [metric.gain(c, b) for c, b in both]


def _shown(score: float | None) -> str:
    return "undefined" if score is None else f"{score:.4f}"
