"""The one place for statistics: what few samples say of a mean, a rate or a difference."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, TypeAlias

from platform_pipelines.errors import EvidenceError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Vector: TypeAlias = npt.NDArray[np.float64]

_NORMAL = NormalDist()
_RESOLVED = 10  # resampled means beyond an end, below which their quantile is the extreme one
_ROUNDING = 1e-12  # scores that differ by less are equal
_DRAWS_AT_ONCE = 1 << 20  # bounds memory to about 16 MiB whatever the number of samples
POWER = 0.9  # with which a number of samples that is printed suffices
MOST_SAMPLES = 100_000  # beyond this "more samples" is no advice


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate and the two-sided interval around it, from `samples` values."""

    estimate: float
    low: float
    high: float
    confidence: float
    samples: int


def paired_differences(candidate: Sequence[float], baseline: Sequence[float]) -> list[float]:
    """candidate - baseline, question by question.

    Raises:
        EvidenceError: the lengths differ, or a value is not finite.
    """
    if len(candidate) != len(baseline):
        raise EvidenceError("samples are not paired", stored=len(candidate), expected=len(baseline))
    differences = [c - b for c, b in zip(candidate, baseline, strict=True)]
    return _finite(differences, least=0)


def bootstrap_interval(
    values: Sequence[float],
    *,
    confidence: float = 0.95,
    resamples: int = 4000,
    seed: int = 0,
) -> Interval:
    """BCa bootstrap interval of the mean (Efron, Better bootstrap confidence intervals, JASA 1987).

    Deterministic for a seed. Where few resampled means lie beyond the ends they cannot tell them:
    the interval is then no narrower than Student's. Equal values give an interval of no width:
    identical runs are certain.

    Raises:
        EvidenceError: no value, or one that is not finite.
    """
    import numpy as np

    sample = np.asarray(_finite(values), dtype=np.float64)
    mean = float(sample.mean())
    if float(np.ptp(sample)) < _ROUNDING:
        low, high = float(sample.min()), float(sample.max())
        return Interval(min(max(mean, low), high), low, high, confidence, len(values))
    means = np.sort(_resampled_means(sample, resamples=resamples, seed=seed))
    tail = (1.0 - confidence) / 2.0
    low_q, high_q = (_bca_quantile(sample, means, q) for q in (tail, 1.0 - tail))
    low, high = (float(np.quantile(means, q)) for q in (low_q, high_q))
    if tail * resamples < _RESOLVED:
        half = _student(1.0 - tail, len(values) - 1) * float(sample.std(ddof=1))
        half /= math.sqrt(len(values))
        low, high = min(low, mean - half), max(high, mean + half)
    return Interval(mean, low, high, confidence, len(values))


def _student(probability: float, freedom: int) -> float:
    """Student's quantile from the normal one (Abramowitz & Stegun 26.7.5, two terms)."""
    z = _NORMAL.inv_cdf(probability)
    return z + (z**3 + z) / (4 * freedom) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)


def _resampled_means(sample: "Vector", *, resamples: int, seed: int) -> "Vector":
    import numpy as np

    generator = np.random.default_rng(seed)
    n = len(sample)
    block = max(1, _DRAWS_AT_ONCE // n)
    parts: list[Vector] = []
    for start in range(0, resamples, block):
        rows = min(block, resamples - start)
        parts.append(sample[generator.integers(0, n, size=(rows, n))].mean(axis=1))
    return np.concatenate(parts)


def _bca_quantile(sample: "Vector", means: "Vector", quantile: float) -> float:
    """The quantile of the resampled means to read, corrected for bias and skew."""
    import numpy as np

    mean = sample.mean()
    # Half of the ties counts: the mean of a discrete sample is often hit exactly.
    below = float((means < mean).mean() + 0.5 * (means == mean).mean())
    limit = 1.0 / len(means)
    bias = _NORMAL.inv_cdf(min(max(below, limit), 1.0 - limit))
    centred = sample - mean
    spread = float((centred**2).sum())
    acceleration = float((centred**3).sum()) / (6.0 * spread**1.5)
    shifted = bias + _NORMAL.inv_cdf(quantile)
    corrected = bias + shifted / (1.0 - acceleration * shifted)
    return float(np.clip(_NORMAL.cdf(corrected), 0.0, 1.0))


def probability_not_below(
    values: Sequence[float], bound: float, *, resamples: int = 4000, seed: int = 0
) -> float:
    """One-sided p-value of "the mean is at least `bound`": small when the values are below it.

    Bootstrap of the values moved to the bound (Efron & Tibshirani, An Introduction to the
    Bootstrap, 1993, 16.4), with one added to both counts so that it is never 0.

    Raises:
        EvidenceError: no value, or one that is not finite.
    """
    import numpy as np

    sample = np.asarray(_finite(values), dtype=np.float64)
    mean = float(sample.mean())
    moved = _resampled_means(sample - mean + bound, resamples=resamples, seed=seed)
    return (1.0 + float((moved <= mean).sum())) / (resamples + 1.0)


def samples_needed(
    values: Sequence[float], bound: float, *, confidence: float = 0.95, power: float = POWER
) -> int | None:
    """How many samples in all would tell the mean from `bound`, if mean and spread stayed.

    n = ((z + z_power) * s / (mean - bound))^2, normal approximation: with so many it is told with
    probability `power` (0.5 would be a coin's). None when no sensible number would do.

    Raises:
        EvidenceError: fewer than 2 values, or one that is not finite.
    """
    checked = _finite(values, least=2)
    n = len(checked)
    mean = math.fsum(checked) / n
    variance = math.fsum((v - mean) ** 2 for v in checked) / (n - 1)
    distance = abs(mean - bound)
    z = _NORMAL.inv_cdf(0.5 + confidence / 2.0) + _NORMAL.inv_cdf(power)
    if distance * math.sqrt(MOST_SAMPLES) < z * math.sqrt(variance):
        return None
    return max(2, math.ceil(z * z * variance / distance**2)) if variance > 0.0 else n


def samples_to_detect(
    values: Sequence[float], distance: float, *, confidence: float = 0.95, power: float = POWER
) -> int | None:
    """How many samples tell a mean from one that is `distance` away, with these values' spread.

    Raises:
        EvidenceError: fewer than 2 values, or one that is not finite.
    """
    centred = [v - math.fsum(values) / len(values) for v in _finite(values, least=2)]
    return samples_needed(centred, distance, confidence=confidence, power=power)


def spent_confidence(confidence: float, look: int) -> float:
    """The confidence of the `look`-th look (from 1) at one comparison, so that all of them together
    err no more often than a single one: look k may spend 6 / (pi k)^2 of the error, whose sum is 1.

    Looks beyond the first thus cost power and no error, however many there will be (a union bound;
    Lan & DeMets, Discrete sequential boundaries for clinical trials, Biometrika 70, 1983).
    """
    return 1.0 - (1.0 - confidence) * 6.0 / (math.pi * look) ** 2


def wilson_interval(hits: int, trials: int, *, confidence: float = 0.95) -> Interval:
    """Interval of a rate (Wilson, Probable inference, JASA 22, 1927): honest near 0 and 1.

    Raises:
        EvidenceError: no trial, or hits outside 0..trials.
    """
    if trials < 1 or not 0 <= hits <= trials:
        raise EvidenceError(
            "a rate needs trials", stored=f"{hits} of {trials}", expected="0 <= hits <= trials >= 1"
        )
    z = _NORMAL.inv_cdf(0.5 + confidence / 2.0)
    rate = hits / trials
    scale = 1.0 + z * z / trials
    centre = (rate + z * z / (2 * trials)) / scale
    half = z / scale * math.sqrt(rate * (1 - rate) / trials + z * z / (4 * trials * trials))
    low = 0.0 if hits == 0 else max(0.0, centre - half)
    high = 1.0 if hits == trials else min(1.0, centre + half)
    return Interval(rate, low, high, confidence, trials)


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values in the order given (Holm, A simple sequentially rejective procedure, 1979).

    Raises:
        EvidenceError: a value is not finite.
    """
    checked = _finite(p_values, least=0)
    order = sorted(range(len(checked)), key=lambda i: checked[i])
    adjusted = [0.0] * len(checked)
    highest = 0.0
    for position, index in enumerate(order):
        highest = max(highest, min(1.0, (len(checked) - position) * checked[index]))
        adjusted[index] = highest
    return adjusted


def _finite(values: Sequence[float], *, least: int = 1) -> list[float]:
    checked = [float(v) for v in values]
    if not all(math.isfinite(v) for v in checked):
        raise EvidenceError(
            "a value is not finite", stored=[str(v) for v in checked if not math.isfinite(v)]
        )
    if len(checked) < least:
        raise EvidenceError("too few values", stored=len(checked), expected=f">= {least}")
    return checked
