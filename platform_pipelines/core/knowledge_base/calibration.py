"""When to say "I do not know": a small logistic regression on the golden set, with honest rates."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from platform_pipelines.core.road.identity import Json
from platform_pipelines.errors import EvidenceError, IntegrityError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Floats: TypeAlias = npt.NDArray[np.float64]
    Flags: TypeAlias = npt.NDArray[np.bool_]

MINIMUM_OF_EACH_KIND = 8  # fewer questions of one kind say nothing about its error rate
_MOST_FOLDS = 10
_REPEATS = 8  # of the folds: of few questions, one way to deal them moves the threshold visibly
_RIDGE = 1.0  # in units of one sample: keeps weights finite when the classes separate
_NEWTON_STEPS = 25


@dataclass(frozen=True, slots=True)
class CalibrationSample:
    """What was measured for one golden question, and whether the corpus answers it.

    `supported`: whether the answer is in what was retrieved; None stands for `answerable`. An
    answerable question whose answer was not retrieved is one to refuse: the context lacks it.
    """

    features: tuple[float, ...]
    answerable: bool
    supported: bool | None = None

    @property
    def should_answer(self) -> bool:
        """What the right reply is."""
        return self.answerable and self.supported is not False


@dataclass(frozen=True, slots=True)
class Calibration:
    """A fitted threshold. Its error counts are of questions that the fit had not seen."""

    features: tuple[str, ...]
    means: tuple[float, ...]
    scales: tuple[float, ...]
    weights: tuple[float, ...]
    intercept: float
    threshold: float  # answer when the probability is at least this
    false_answer_cost: float  # in false refusals
    answerable: int
    unanswerable: int
    supported: int  # answerable, and the answer was retrieved
    false_answers: int  # of the unanswerable
    false_refusals: int  # of the supported
    unsupported_answers: int  # answerable, answered from a context that lacks the answer
    folds: int

    def probability(self, features: Sequence[float]) -> float:
        """Probability that the corpus answers the question. Not finite in, not finite out.

        Raises:
            EvidenceError: the number of features is not that of the fit.
        """
        if len(features) != len(self.weights):
            raise EvidenceError(
                "features are not those of the calibration",
                stored=len(features),
                expected=self.features,
            )
        terms = zip(self.weights, features, self.means, self.scales, strict=True)
        return _logistic(self.intercept + sum(w * (f - m) / s for w, f, m, s in terms))


@dataclass(frozen=True, slots=True)
class CalibrationOutcome:
    """A calibration, or the reason why there is none."""

    calibration: Calibration | None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class _Fit:
    means: "Floats"
    scales: "Floats"
    weights: "Floats"  # intercept first

    def probabilities(self, matrix: "Floats") -> "Floats":
        import numpy as np

        linear = self.weights[0] + ((matrix - self.means) / self.scales) @ self.weights[1:]
        return 1.0 / (1.0 + np.exp(-np.clip(linear, -500.0, 500.0)))


def calibrate(
    samples: Sequence[CalibrationSample],
    *,
    names: Sequence[str],
    false_answer_cost: float = 2.0,
    seed: int = 0,
) -> CalibrationOutcome:
    """Fit when to answer: minimise false_answer_cost x false answers + false refusals.

    The threshold is chosen on out-of-fold probabilities. The error counts come from an outer round
    of stratified folds in which weights and threshold are made without the fold that they judge
    (Varma & Simon, Bias in error estimation when using cross-validation, 2006).

    Raises:
        EvidenceError: a feature is not finite, or their number differs from that of `names`.
    """
    import numpy as np

    _check(samples, names)
    labels = np.asarray([s.should_answer for s in samples], dtype=np.bool_)
    answerable = np.asarray([s.answerable for s in samples], dtype=np.bool_)
    supported, unanswerable = int(labels.sum()), int((~answerable).sum())
    if min(supported, unanswerable) < MINIMUM_OF_EACH_KIND:
        return CalibrationOutcome(None, _too_few(supported, unanswerable))
    matrix = np.asarray([s.features for s in samples], dtype=np.float64)
    fit = _fit(matrix, labels)
    answers, folds = _judged_unseen(matrix, labels, cost=false_answer_cost, seed=seed)
    calibration = Calibration(
        features=tuple(names),
        means=_floats(fit.means),
        scales=_floats(fit.scales),
        weights=_floats(fit.weights[1:]),
        intercept=float(fit.weights[0]),
        threshold=_threshold_out_of_fold(matrix, labels, cost=false_answer_cost, seed=seed),
        false_answer_cost=false_answer_cost,
        answerable=int(answerable.sum()),
        unanswerable=unanswerable,
        supported=supported,
        false_answers=int((answers & ~answerable).sum()),
        false_refusals=int((~answers & labels).sum()),
        unsupported_answers=int((answers & answerable & ~labels).sum()),
        folds=folds,
    )
    return CalibrationOutcome(calibration)


def calibration_record(calibration: Calibration) -> dict[str, Json]:
    """A calibration as a JSON object."""
    return {name: getattr(calibration, name) for name in Calibration.__slots__}


def calibration_from_record(record: Mapping[str, Any]) -> Calibration:
    """The inverse of `calibration_record`.

    Raises:
        IntegrityError: fields are missing or unknown.
    """
    expected = set(Calibration.__slots__)
    if set(record) != expected:
        raise IntegrityError(
            "not the record of a calibration", stored=sorted(record), expected=sorted(expected)
        )
    listed = ("features", "means", "scales", "weights")
    values: dict[str, Any] = {**record, **{name: tuple(record[name]) for name in listed}}
    return Calibration(**values)


def _check(samples: Sequence[CalibrationSample], names: Sequence[str]) -> None:
    for index, sample in enumerate(samples):
        if len(sample.features) != len(names):
            raise EvidenceError(
                "a sample's features do not fit their names",
                where=f"sample {index}",
                stored=len(sample.features),
                expected=len(names),
            )
        if not all(math.isfinite(f) for f in sample.features):
            raise EvidenceError(
                "a feature is not finite", where=f"sample {index}", stored=str(sample.features)
            )


def _too_few(supported: int, unanswerable: int) -> str:
    return (
        f"{supported} questions with a retrieved answer and {unanswerable} without any; at least "
        f"{MINIMUM_OF_EACH_KIND} of each are needed to calibrate"
    )


def _fit(matrix: "Floats", labels: "Flags") -> _Fit:
    """Ridge logistic regression by Newton's method; the intercept is not penalised."""
    import numpy as np

    means = matrix.mean(axis=0)
    spread = matrix.std(axis=0)
    scales = np.where(spread > 1e-9, spread, 1.0)
    design = np.column_stack([np.ones(len(matrix)), (matrix - means) / scales])
    penalty = np.full(design.shape[1], _RIDGE)
    penalty[0] = 1e-6  # only so that the equations can always be solved
    target = labels.astype(np.float64)
    weights = np.zeros(design.shape[1])
    for _ in range(_NEWTON_STEPS):
        guess = 1.0 / (1.0 + np.exp(-np.clip(design @ weights, -30.0, 30.0)))
        slope = design.T @ (guess - target) + penalty * weights
        curve = (design * (guess * (1.0 - guess))[:, None]).T @ design + np.diag(penalty)
        weights = weights - np.linalg.solve(curve, slope)
    return _Fit(means, scales, weights)


def _judged_unseen(
    matrix: "Floats", labels: "Flags", *, cost: float, seed: int
) -> "tuple[Flags, int]":
    """Whether each sample would be answered by a calibration that never saw it; how many folds."""
    import numpy as np

    fold_of, folds = _folds(labels, seed=seed)
    answers = np.zeros(len(labels), dtype=np.bool_)
    for fold in range(folds):
        seen, unseen = fold_of != fold, fold_of == fold
        fit = _fit(matrix[seen], labels[seen])
        threshold = _threshold_out_of_fold(matrix[seen], labels[seen], cost=cost, seed=seed)
        answers[unseen] = fit.probabilities(matrix[unseen]) >= threshold
    return answers, folds


def _threshold_out_of_fold(matrix: "Floats", labels: "Flags", *, cost: float, seed: int) -> float:
    """On each sample's mean probability over repeated folds that did not hold it."""
    import numpy as np

    unseen = np.zeros(len(labels))
    for repeat in range(_REPEATS):
        fold_of, folds = _folds(labels, seed=(seed, repeat))
        for fold in range(folds):
            inside = fold_of == fold
            unseen[inside] += _fit(matrix[~inside], labels[~inside]).probabilities(matrix[inside])
    return _cheapest_threshold(unseen / _REPEATS, labels, cost=cost)


def _folds(labels: "Flags", *, seed: int | tuple[int, int]) -> "tuple[npt.NDArray[np.int64], int]":
    """Stratified: each fold has its share of both kinds."""
    import numpy as np

    count = min(_MOST_FOLDS, int(labels.sum()), int((~labels).sum()))
    generator = np.random.default_rng(seed)
    fold_of = np.zeros(len(labels), dtype=np.int64)
    for kind in (labels, ~labels):
        members = generator.permutation(np.flatnonzero(kind))
        fold_of[members] = np.arange(len(members)) % count
    return fold_of, count


def _cheapest_threshold(probabilities: "Floats", labels: "Flags", *, cost: float) -> float:
    """The cheapest cut between probabilities; of equals the widest gap, then the higher."""
    import numpy as np

    edges = np.unique(np.concatenate([[0.0], probabilities, [1.0]]))
    cuts = (edges[:-1] + edges[1:]) / 2.0
    answered = probabilities[None, :] >= cuts[:, None]
    false_answers = (answered & ~labels).sum(axis=1)
    false_refusals = (~answered & labels).sum(axis=1)
    costs = cost * false_answers + false_refusals
    gaps = edges[1:] - edges[:-1]
    return float(cuts[np.lexsort((-cuts, -gaps, costs))[0]])


def _floats(vector: "Floats") -> tuple[float, ...]:
    return tuple(float(v) for v in vector)


def _logistic(value: float) -> float:
    if math.isnan(value):
        return math.nan
    return 1.0 / (1.0 + math.exp(-min(max(value, -500.0), 500.0)))
