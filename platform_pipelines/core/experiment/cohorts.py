"""Who sees which arm: sticky by the hash of a key, and whether the arms got their shares."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from platform_pipelines.core.road.cohort_hash import cohort_hash
from platform_pipelines.errors import ConfigurationError

_CONCENTRATION = 10_000.0  # of the prior around the declared shares: what a small bug looks like


@dataclass(frozen=True, slots=True)
class RatioCheck:
    """Whether assignment is broken. Valid however often it is looked at (see `sample_ratio`)."""

    log_evidence: float  # natural logarithm; over -log(alpha) is proof
    is_broken: bool


def cohort_of(experiment: str, key: str) -> str:
    """What a caller sends as `x-cohort`. The experiment's name is in it, so that two experiments do
    not share their cohorts.
    """
    return f"{experiment}:{key}"


def arm_of(experiment: str, key: str, shares: Mapping[str, int]) -> str:
    """The arm of a caller: the same for ever, in every process, whatever else runs.

    It is the arm that a gateway with these weights, in the order of their names, sends the cohort
    to (`x-cohort`, Envoy's `use_hash_policy`).

    Raises:
        ConfigurationError: no arm has a share.
    """
    total = sum(shares.values())
    if total <= 0 or min(shares.values()) < 0:
        raise ConfigurationError(
            "shares are not negative and one is over 0", where=experiment, stored=dict(shares)
        )
    point = cohort_hash(cohort_of(experiment, key)) % total
    for arm in sorted(shares):
        point -= shares[arm]
        if point < 0:
            return arm
    raise AssertionError("a point below the total is in an arm")


def sample_ratio(
    counts: Mapping[str, int], shares: Mapping[str, int], *, alpha: float = 0.001
) -> RatioCheck:
    """Whether the arms got other shares than declared.

    A Bayes factor of a Dirichlet prior around the shares against the shares themselves: a
    martingale while assignment is right, so that looking daily keeps the error at `alpha` (Ville;
    Lindon and Malek, 2022, "Anytime-Valid Inference for Multinomial Count Data").
    """
    total, whole = sum(shares.values()), sum(counts.values())
    log_evidence = math.lgamma(_CONCENTRATION) - math.lgamma(_CONCENTRATION + whole)
    for arm, share in shares.items():
        part, count = share / total, counts.get(arm, 0)
        prior = _CONCENTRATION * part
        log_evidence += math.lgamma(prior + count) - math.lgamma(prior) - count * math.log(part)
    return RatioCheck(log_evidence, log_evidence > -math.log(alpha))
