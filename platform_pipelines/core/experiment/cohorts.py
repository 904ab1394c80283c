"""Who sees which arm: sticky by the hash of a key, and whether the arms got their shares."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

_CONCENTRATION = 10_000.0  # of the prior around the declared shares: what a small bug looks like


@dataclass(frozen=True, slots=True)
class RatioCheck:
    """Whether assignment is broken. Valid however often it is looked at (see `sample_ratio`)."""

    log_evidence: float  # natural logarithm; over -log(alpha) is proof
    is_broken: bool


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
