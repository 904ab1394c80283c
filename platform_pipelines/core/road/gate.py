"""The gate: evidence and a policy in; `pass`, `fail` or `undecided` with all its reasons out.

Only `pass` releases. Evidence that is absent is `undecided`: evaluating will tell.
Evidence about something else, or with a number that is not finite, is `fail`. A metric that is
undefined for a question counts as 0 for it.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from platform_pipelines.core.knowledge_base.metrics import METRICS
from platform_pipelines.core.road.evidence import Evidence, Failure, Outcome, QuestionRow
from platform_pipelines.core.road.statistics import (
    bootstrap_interval,
    holm,
    paired_differences,
    probability_not_below,
    samples_needed,
    small_sample_allowance,
)
from platform_pipelines.errors import ConfigurationError


class Status(StrEnum):
    """A verdict. As the status of a reason, `pass` is a note."""

    PASS = "pass"  # noqa: S105 - no password
    UNDECIDED = "undecided"
    FAIL = "fail"


class Code(StrEnum):
    """What a reason is about."""

    MISSING = "missing"
    NOT_FINITE = "not_finite"
    FOREIGN_REVISION = "foreign_revision"
    FOREIGN_BASELINE = "foreign_baseline"
    FOREIGN_GOLDEN_SET = "foreign_golden_set"
    FOREIGN_K = "foreign_k"
    COUNTS = "counts"
    OWN_DOCUMENT = "own_document"
    UNPROVEN = "unproven"
    TOO_FEW_QUESTIONS = "too_few_questions"
    COVERAGE = "coverage"
    FLOOR = "floor"
    SLICE_FLOOR = "slice_floor"
    SMALL_SLICE = "small_slice"
    BASELINE_COVERAGE = "baseline_coverage"
    REGRESSION = "regression"
    UNCERTAIN = "uncertain"
    SLICE_REGRESSION = "slice_regression"


@dataclass(frozen=True, slots=True)
class GatePolicy:
    """What a knowledge base declares. Check it with `check_policy` when it is loaded."""

    floors: Mapping[str, float] = field(default_factory=dict[str, float])
    slice_floors: Mapping[str, float] = field(default_factory=dict[str, float])
    compared: tuple[str, ...] = ("ndcg",)  # with the live revision; one, or power is spent on many
    minimum_effect: float = 0.02  # how much worse than live is still "not worse"
    coverage_floor: float = 0.98
    minimum_questions: int = 20
    minimum_slice_questions: int = 8  # smaller slices are noted, not gated
    confidence: float = 0.95
    own_document_floor: float = 0.9  # evidence without labels
    resamples: int = 4000
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Reason:
    """One finding. `metric` and `slice` are empty where they do not apply."""

    status: Status
    code: Code
    message: str
    metric: str = ""
    slice: str = ""
    more_samples: int | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """The worst status of all reasons. `proven`: a pass that rests on known answers."""

    status: Status
    reasons: tuple[Reason, ...]
    more_samples: int | None  # further questions that would decide it, where a number would
    proven: bool


def check_policy(policy: GatePolicy) -> None:
    """Refuse a policy that could not mean what it says.

    Raises:
        ConfigurationError: names the field, its value and what is allowed.
    """
    for name in ("floors", "slice_floors"):
        for metric, floor in getattr(policy, name).items():
            _check(f"{name}.{metric}", metric, allowed=metric in METRICS, expected=str(METRICS))
            _check(f"{name}.{metric}", floor, allowed=0.0 <= floor <= 1.0, expected="0..1")
    known = bool(policy.compared) and set(policy.compared) <= set(METRICS)
    _check("compared", policy.compared, allowed=known, expected=f"some of {METRICS}")
    for name in ("minimum_effect", "coverage_floor", "own_document_floor"):
        share = getattr(policy, name)
        _check(name, share, allowed=0.0 <= share <= 1.0, expected="0..1")
    confident = 0.5 <= policy.confidence < 1.0
    _check("confidence", policy.confidence, allowed=confident, expected="0.5 <= c < 1")
    for name in ("minimum_questions", "minimum_slice_questions"):
        _check(name, getattr(policy, name), allowed=getattr(policy, name) >= 1, expected=">= 1")
    _check("resamples", policy.resamples, allowed=policy.resamples >= 1000, expected=">= 1000")


def decide(
    evidence: Evidence | None,
    policy: GatePolicy,
    *,
    expect_revision: str,
    expect_baseline: str | None,
    expect_golden_digest: str | None,
    expect_k: int,
) -> Verdict:
    """Judge a revision by its evidence. What is expected is what the release itself knows.

    `expect_baseline` is the live revision, None before the first release; `expect_golden_digest` is
    None for a knowledge base that declares no golden set; `expect_k` is how many chunks count.

    Raises:
        ConfigurationError: the policy is refused by `check_policy`.
    """
    check_policy(policy)
    if evidence is None:
        missing = f"there is no evidence about revision {expect_revision}; evaluate it first"
        return _verdict([Reason(Status.UNDECIDED, Code.MISSING, missing)], proven=False)
    expected = (expect_revision, expect_baseline, expect_golden_digest, expect_k)
    unfit = [*_not_finite(evidence), *_foreign(evidence, expected)]
    if unfit:
        return _verdict(unfit, proven=False)
    if evidence.golden_digest is None:
        reasons = [*_counts(evidence), *_own_document(evidence, policy)]
        return _verdict(reasons, proven=False)
    reasons = [
        *_counts(evidence),
        *_enough(evidence, policy),
        *_floors(evidence, policy),
        *_slice_floors(evidence, policy),
        *_against_live(evidence, policy),
    ]
    return _verdict(reasons, proven=True)


def _check(name: str, value: object, *, allowed: bool, expected: str) -> None:
    if not allowed:
        raise ConfigurationError(
            f"gate: `{name}` is not allowed", where=f"gate.{name}", stored=value, expected=expected
        )


def _verdict(reasons: Sequence[Reason], *, proven: bool) -> Verdict:
    found = {r.status for r in reasons}
    status = next((s for s in (Status.FAIL, Status.UNDECIDED) if s in found), Status.PASS)
    more = [r.more_samples for r in reasons if r.more_samples is not None]
    return Verdict(
        status=status,
        reasons=tuple(reasons),
        more_samples=max(more) if more and status is Status.UNDECIDED else None,
        proven=proven and status is Status.PASS,
    )


def _not_finite(evidence: Evidence) -> list[Reason]:
    broken = [r.question_id for r in evidence.rows if _broken(r.candidate) or _broken(r.baseline)]
    if not broken:
        return []
    message = f"scores of {len(broken)} questions are not finite: {', '.join(broken[:5])}"
    return [Reason(Status.FAIL, Code.NOT_FINITE, message)]


def _broken(outcome: Outcome | None) -> bool:
    if outcome is None:
        return False
    values = (s for s in outcome.scores.values() if s is not None)
    return outcome.failure is Failure.NOT_FINITE or not all(math.isfinite(v) for v in values)


def _foreign(evidence: Evidence, expected: tuple[str, str | None, str | None, int]) -> list[Reason]:
    pairs = (
        (Code.FOREIGN_REVISION, "revision", evidence.revision, expected[0]),
        (Code.FOREIGN_BASELINE, "live revision", evidence.baseline, expected[1]),
        (Code.FOREIGN_GOLDEN_SET, "golden set", evidence.golden_digest, expected[2]),
        (Code.FOREIGN_K, "k =", evidence.k, expected[3]),
    )
    return [
        Reason(Status.FAIL, code, f"evidence is about {noun} {found}, not {wanted}; evaluate again")
        for code, noun, found, wanted in pairs
        if found != wanted
    ]


def _counts(evidence: Evidence) -> list[Reason]:
    counts = evidence.counts
    if counts.reconcile:
        return []
    message = f"the index holds {counts.stored} rows and the manifest names {counts.expected}"
    return [Reason(Status.FAIL, Code.COUNTS, message)]


def _own_document(evidence: Evidence, policy: GatePolicy) -> list[Reason]:
    share = evidence.sample.share_at_k if evidence.sample else None
    if share is None:
        message = "no sentence was sampled; evaluate again"
        return [Reason(Status.UNDECIDED, Code.MISSING, message)]
    note = "answers are unproven: declare a golden set to prove them"
    reasons = [Reason(Status.PASS, Code.UNPROVEN, note)]
    if not share >= policy.own_document_floor:
        message = f"{share:.3f} of the sampled sentences find their own document"
        message += f"; the floor is {policy.own_document_floor}"
        reasons.append(Reason(Status.FAIL, Code.OWN_DOCUMENT, message))
    return reasons


def _enough(evidence: Evidence, policy: GatePolicy) -> list[Reason]:
    reasons: list[Reason] = []
    coverage = evidence.coverage
    lacking = policy.minimum_questions - coverage.questions
    if lacking > 0:
        message = f"{coverage.questions} questions; at least {policy.minimum_questions} are needed"
        reasons.append(
            Reason(Status.UNDECIDED, Code.TOO_FEW_QUESTIONS, message, more_samples=lacking)
        )
    if not coverage.share >= policy.coverage_floor:
        message = (
            f"{coverage.judged} of {coverage.questions} questions judged, "
            f"{coverage.unresolved_references} of {coverage.references} references found nowhere, "
            "or with other numbers; "
            f"the floor is {policy.coverage_floor:.0%}: correct the golden set's quotes"
        )
        reasons.append(Reason(Status.FAIL, Code.COVERAGE, message))
    return reasons


def _floors(evidence: Evidence, policy: GatePolicy) -> list[Reason]:
    reasons: list[Reason] = []
    means = evidence.metrics
    for metric, floor in sorted(policy.floors.items()):
        score = means[metric].mean
        if score is not None and score >= floor:
            continue
        message = f"{metric} is {_shown(score)}; the floor is {floor}"
        reasons.append(Reason(Status.FAIL, Code.FLOOR, message, metric=metric))
    return reasons


def _slice_floors(evidence: Evidence, policy: GatePolicy) -> list[Reason]:
    if not policy.slice_floors:
        return []
    least = policy.minimum_slice_questions
    gated = {n: rows for n, rows in evidence.slices.items() if len(rows) >= least}
    reasons = [
        Reason(Status.PASS, Code.SMALL_SLICE, f"fewer than {least} questions: not gated", slice=n)
        for n in evidence.slices
        if n not in gated
    ]
    means = evidence.slice_metrics
    tests = len(gated) * len(policy.slice_floors)
    for name in gated:
        for metric, floor in sorted(policy.slice_floors.items()):
            mean = means[name][metric]
            slack = small_sample_allowance(
                floor, mean.questions, confidence=policy.confidence, tests=tests
            )
            if mean.mean is not None and mean.mean >= floor - slack:
                continue
            message = f"{metric} is {_shown(mean.mean)}; the floor is {floor} - {slack:.3f}"
            reasons.append(Reason(Status.FAIL, Code.SLICE_FLOOR, message, metric, name))
    return reasons


def _against_live(evidence: Evidence, policy: GatePolicy) -> list[Reason]:
    if evidence.baseline is None:
        return []
    paired = [r for r in evidence.rows if _comparable(r.baseline)]
    share = len(paired) / evidence.questions if evidence.questions else 0.0
    if not share >= policy.coverage_floor:
        message = f"{len(paired)} of {evidence.questions} questions were judged on live"
        return [Reason(Status.UNDECIDED, Code.BASELINE_COVERAGE, message)]
    overall = [r for metric in policy.compared for r in _not_worse(paired, metric, policy)]
    return overall + _slice_regressions(evidence, policy)


def _comparable(baseline: Outcome | None) -> bool:
    """A live revision that lacks the document rightly scores 0; one that failed says nothing."""
    return baseline is not None and baseline.failure in {None, Failure.UNRESOLVED}


def _not_worse(rows: Sequence[QuestionRow], metric: str, policy: GatePolicy) -> list[Reason]:
    """Non-inferiority: pass when the whole interval is above -minimum_effect, fail when below it.

    Passing needs every compared metric, so it needs no correction; failing needs only one, so its
    interval is Bonferroni-corrected.
    """
    differences = _differences(rows, metric)
    margin = -policy.minimum_effect
    sampling = {"resamples": policy.resamples, "seed": policy.seed}
    interval = bootstrap_interval(differences, confidence=policy.confidence, **sampling)
    if interval.low >= margin:
        return []
    strict = 1.0 - (1.0 - policy.confidence) / len(policy.compared)
    wide = bootstrap_interval(differences, confidence=strict, **sampling)
    shown = f"{metric} differs from live by {interval.estimate:+.4f}"
    shown += f" [{interval.low:+.4f}, {interval.high:+.4f}]; {margin:+} is allowed"
    if wide.high < margin:
        return [Reason(Status.FAIL, Code.REGRESSION, shown, metric=metric)]
    needed = samples_needed(differences, margin, confidence=policy.confidence)
    more = None if needed is None else max(1, needed - len(differences))
    return [Reason(Status.UNDECIDED, Code.UNCERTAIN, shown, metric=metric, more_samples=more)]


def _slice_regressions(evidence: Evidence, policy: GatePolicy) -> list[Reason]:
    """Slices that are clearly worse than live. Half of the error rate is theirs, shared by Holm."""
    tested: list[tuple[str, str, float]] = []
    for name, rows in evidence.slices.items():
        paired = [r for r in rows if _comparable(r.baseline)]
        if len(paired) < policy.minimum_slice_questions:
            continue
        for metric in policy.compared:
            p = probability_not_below(
                _differences(paired, metric),
                -policy.minimum_effect,
                resamples=policy.resamples,
                seed=policy.seed,
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


def _differences(rows: Sequence[QuestionRow], metric: str) -> list[float]:
    asked = [(r.candidate.value(metric), r.baseline.value(metric)) for r in rows if r.baseline]
    return paired_differences([c for c, _ in asked], [b for _, b in asked])


def _shown(score: float | None) -> str:
    return "undefined" if score is None else f"{score:.4f}"
