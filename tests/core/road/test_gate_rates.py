"""The gate's error rates and its power, by simulation with questions as they are judged.

Scores of a judge: most are 1, some between, and they move a little when they are judged again.
"""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from platform_pipelines.core.road.evidence import LOOKS, Evidence, Outcome, SampleRow
from platform_pipelines.core.road.statistics import samples_to_detect
from platform_pipelines.core.road.verdicts import GatePolicy, Status
from tests.core.road.judging import METRICS, golden, judge

EFFECT = 0.05
POLICY = GatePolicy(compared=("ndcg",), minimum_effect=EFFECT, resamples=1000)
RATE = (1.0 - POLICY.confidence) / 2.0  # stated: of a false pass, and of a false alarm
LANGUAGES = ("ko", "en")


def scores(count: int, loss: float, generator: np.random.Generator) -> tuple[list[float], ...]:
    """What live and a candidate score on the same questions; the candidate's mean is `loss` less.

    Clipping to 0..1 would move the mean: what leaves the range on one side is mirrored.
    """
    true = generator.beta(6.0, 3.0, count) * 0.6 + 0.2
    live = true + generator.normal(0.0, 0.06, count)
    new = true - loss + generator.normal(0.0, 0.06, count)
    return live.clip(0.0, 1.0).tolist(), new.clip(0.0, 1.0).tolist()


def evidence(count: int, loss: float, seed: int, *, slices: bool = False) -> Evidence:
    before, after = scores(count, loss, np.random.default_rng(seed))
    rows = tuple(
        SampleRow(
            f"q{i:04}",
            {"language": LANGUAGES[i % 2]} if slices else {},
            Outcome({"recall": 0.9, "ndcg": now}),
            Outcome({"recall": 0.9, "ndcg": then}),
        )
        for i, (then, now) in enumerate(zip(before, after, strict=True))
    )
    return golden(rows, metrics=METRICS)


def verdicts(runs: int, count: int, loss: float, *, slices: bool = False) -> Counter[Status]:
    found = [judge(evidence(count, loss, s, slices=slices), POLICY).status for s in range(runs)]
    return Counter(found)


def above(rate: float, runs: int) -> float:
    """What a true rate exceeds in one of a thousand simulations."""
    return rate + 3.1 * (rate * (1.0 - rate) / runs) ** 0.5


def test_an_a_a_run_is_no_false_alarm() -> None:
    """Two equal systems, each judged with noise, with two slices that may fail as well."""
    runs = 400
    found = verdicts(runs, 60, 0.0, slices=True)
    assert found[Status.FAIL] / runs <= above(2 * RATE, runs)
    assert found[Status.PASS] / runs >= 0.95


def test_a_candidate_at_the_limit_passes_and_fails_no_more_than_stated() -> None:
    """A loss of exactly the minimum effect: the hardest case of both errors."""
    runs = 400
    found = verdicts(runs, 60, EFFECT)
    assert found[Status.PASS] / runs <= above(RATE, runs)
    assert found[Status.FAIL] / runs <= above(RATE, runs)


def test_twice_the_minimum_effect_is_found_at_the_size_that_is_printed() -> None:
    """A first look with few questions prints how many are needed; with so many it is found."""
    runs = 300
    pilot = judge(evidence(30, 0.0, 10_000), POLICY)
    size = pilot.detects["ndcg"]
    assert 15 <= size <= 400
    found = verdicts(runs, max(size, POLICY.minimum_samples), 2 * EFFECT)
    assert found[Status.FAIL] / runs >= 0.9 - 3.1 * (0.09 / runs) ** 0.5


def test_the_size_is_the_one_of_a_known_spread() -> None:
    """(1.96 + 1.28)^2 s^2 / d^2 for a spread of one and a distance of one half: 43."""
    assert samples_to_detect([-1.0, 1.0] * 1000, 0.5) == pytest.approx(43, abs=1)


def test_looks_again_and_again_err_no_more_often_than_one() -> None:
    """A release at the limit, looked at ten times with new noise: without the spending of the
    error one of these looks fails more often than is stated."""
    runs, looks = 200, 10
    naive = spent = 0
    for run in range(runs):
        made = [evidence(40, EFFECT, 1000 * run + look) for look in range(looks)]
        bare = [judge(one, POLICY).status for one in made]
        counted = [
            judge(replace(one, facts={LOOKS: number}), POLICY).status
            for number, one in enumerate(made, start=1)
        ]
        naive += Status.FAIL in bare
        spent += Status.FAIL in counted
    assert spent / runs <= above(RATE, runs)
    assert naive / runs > above(RATE, runs)
