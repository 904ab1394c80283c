"""What a metric is: its name, unit, direction and range, and what an undefined value means.

`None` is an undefined value, and a value of its own: it is never silently the best or the worst.
Each metric declares whether it counts as a failure, which then scores the worst of the range, or
leaves the sample out of that metric, which is then counted and shown.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum

from pydantic.dataclasses import dataclass

from platform_pipelines.core.road.records import CONFIG
from platform_pipelines.errors import ConfigurationError


class Direction(StrEnum):
    """Which way is better."""

    HIGHER = "higher"
    LOWER = "lower"


class Undefined(StrEnum):
    """What a sample without a score means."""

    FAILURE = "failure"  # it scores the worst of the range
    LEFT_OUT = "left_out"  # it is no sample of this metric


@dataclass(frozen=True, config=CONFIG)
class Metric:
    """One declared metric. `low` and `high` are the ends of its range; None is without end."""

    name: str
    unit: str = ""
    direction: Direction = Direction.HIGHER
    low: float | None = 0.0
    high: float | None = 1.0
    undefined: Undefined = Undefined.FAILURE

    @property
    def worst(self) -> float | None:
        """The worst end of the range, None where there is none."""
        return self.low if self.direction is Direction.HIGHER else self.high

    def gain(self, candidate: float, baseline: float) -> float:
        """How much better the candidate is, in the metric's unit; negative when it is worse."""
        difference = candidate - baseline
        return difference if self.direction is Direction.HIGHER else -difference

    def reaches(self, score: float, bound: float) -> bool:
        """Whether a score is at the bound or on its better side; a NaN never is."""
        return score >= bound if self.direction is Direction.HIGHER else score <= bound

    def value(self, score: float | None) -> float | None:
        """A score as it counts: undefined and not finite as declared, None when left out."""
        if score is not None and math.isfinite(score):
            return score
        return self.worst if self.undefined is Undefined.FAILURE else None

    def fits(self, score: float) -> bool:
        """Whether a finite score lies in the range."""
        above = self.low is None or score >= self.low
        return above and (self.high is None or score <= self.high)


@dataclass(frozen=True, config=CONFIG)
class MeanScore:
    """A mean over all samples that count. Failures score the worst in it, and are counted."""

    mean: float | None  # None when there was no sample
    samples: int
    failures: int
    left_out: int = 0


def check_metrics(metrics: Sequence[Metric]) -> None:
    """Refuse a declaration that could not mean what it says.

    Raises:
        ConfigurationError: two of one name, an empty range, or failures without a worst score.
    """
    names = [m.name for m in metrics]
    for metric in metrics:
        where = f"metric {metric.name}"
        if names.count(metric.name) > 1:
            raise ConfigurationError("a metric is declared twice", where=where)
        if metric.low is not None and metric.high is not None and metric.low >= metric.high:
            raise ConfigurationError(
                "the range is empty", where=where, stored=(metric.low, metric.high)
            )
        if metric.undefined is Undefined.FAILURE and metric.worst is None:
            raise ConfigurationError(
                "a failure has no worst score",
                where=where,
                expected=f"an end of the range, or undefined: {Undefined.LEFT_OUT}",
            )


def by_name(metrics: Iterable[Metric]) -> Mapping[str, Metric]:
    """Metrics by their names."""
    return {metric.name: metric for metric in metrics}


def mean_score(metric: Metric, scores: Sequence[float | None]) -> MeanScore:
    """Mean in which a failure scores the worst: it is never averaged away (design.md §6)."""
    values = [v for s in scores if (v := metric.value(s)) is not None]
    broken = sum(s is None or not math.isfinite(s) for s in scores)
    left_out = len(scores) - len(values)
    return MeanScore(
        mean=math.fsum(values) / len(values) if values else None,
        samples=len(values),
        failures=broken - left_out,
        left_out=left_out,
    )
