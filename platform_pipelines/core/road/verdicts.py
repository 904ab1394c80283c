"""What a gate is told and what it answers: policy, expectation, reasons, verdict."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from platform_pipelines.core.road.evidence import Evidence


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
