"""A candidate against what is live, on the same samples: not worse, as a whole and by slice."""

from collections.abc import Sequence
from dataclasses import replace

from platform_pipelines.core.road.evidence import LOOKS, Evidence, Failure, Outcome, SampleRow
from platform_pipelines.core.road.statistics import (
    bootstrap_interval,
    holm,
    paired_differences,
    probability_not_below,
    samples_needed,
    samples_to_detect,
    spent_confidence,
)
from platform_pipelines.core.road.verdicts import Code, GatePolicy, Reason, Status


def spent(policy: GatePolicy, evidence: Evidence) -> GatePolicy:
    """Who looks again and again sees chance: each look at one comparison may err less often."""
    looks = evidence.facts.get(LOOKS)
    if looks is None:
        return policy
    return replace(policy, confidence=spent_confidence(policy.confidence, int(looks)))


def detects(evidence: Evidence, policy: GatePolicy) -> dict[str, int]:
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


def against_live(evidence: Evidence, policy: GatePolicy) -> list[Reason]:
    """What speaks against the candidate beside what is live; nothing where nothing is compared."""
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
