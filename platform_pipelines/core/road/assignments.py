"""Who is sent to which arm: sticky by the hash of a key, wherever it is asked.

Envoy hashes `x-cohort` onto weights by XXH64; routes of the Gateway API cannot, so that there a
filter makes a number below 100 of the key, and the candidate has the numbers below its share. The
analysis, `serve` and the gateways say the same of a key.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

from platform_pipelines.core.road.cohort_filter import cohort_of as numbered
from platform_pipelines.core.road.cohort_hash import cohort_hash
from platform_pipelines.errors import ConfigurationError, IntegrityError

Hashing = Literal["xxh64", "numbers"]
FILE = "assignment.json"


@dataclass(frozen=True, slots=True)
class Assignment:
    """What routers read of an experiment: shares of 100, and what the arms are."""

    experiment: str
    live: str
    shares: Mapping[str, int]
    targets: Mapping[str, str]
    state: str = ""
    hashing: Hashing = "xxh64"
    candidate: str = ""  # who has the low numbers

    def arm(self, key: str) -> str:
        """The arm of a caller; without a key it is the live one."""
        if not key:
            return self.live
        return arm_of(self.experiment, key, self.shares, self.hashing, self.candidate)

    def to_json(self) -> str:
        """As it is stored."""
        record: dict[str, Any] = {
            "experiment": self.experiment, "live": self.live, "shares": dict(self.shares),
            "targets": dict(self.targets), "state": self.state,
        }  # fmt: skip
        if self.hashing != "xxh64":
            record |= {"hashing": self.hashing, "candidate": self.candidate}
        return json.dumps(record, ensure_ascii=False, indent=1)


def assignment_from_json(data: bytes, *, where: str) -> Assignment:
    """The inverse of `to_json`.

    Raises:
        IntegrityError: it is none.
    """
    try:
        raw: dict[str, Any] = json.loads(data)
        return Assignment(
            str(raw["experiment"]), str(raw["live"]),
            {str(k): int(v) for k, v in raw["shares"].items()},
            {str(k): str(v) for k, v in raw["targets"].items()}, str(raw.get("state", "")),
            cast("Hashing", raw.get("hashing", "xxh64")), str(raw.get("candidate", "")),
        )  # fmt: skip
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise IntegrityError(
            f"an assignment is damaged: {error!r}",
            where=where,
            remedy="look at it again: NAME_look",
        ) from error


def cohort_of(experiment: str, key: str) -> str:
    """What a caller sends as `x-cohort`. The experiment's name is in it, so that two experiments do
    not share their cohorts.
    """
    return f"{experiment}:{key}"


def arm_of(
    experiment: str,
    key: str,
    shares: Mapping[str, int],
    hashing: Hashing = "xxh64",
    candidate: str = "",
) -> str:
    """The arm of a caller: the same for ever, in every process, whatever else runs.

    By `xxh64` it is the arm that a gateway with these weights, in the order of their names, sends
    the cohort to (`x-cohort`, Envoy's `use_hash_policy`); by `numbers` the candidate has those
    below its share.

    Raises:
        ConfigurationError: no arm has a share.
    """
    total = sum(shares.values())
    if total <= 0 or min(shares.values()) < 0:
        raise ConfigurationError(
            "shares are not negative and one is over 0", where=experiment, stored=dict(shares)
        )
    cohort = cohort_of(experiment, key)
    by_number = hashing == "numbers"
    point = int(numbered(cohort)) if by_number else cohort_hash(cohort) % total
    for arm in sorted(shares, key=lambda one: (by_number and one != candidate, one)):
        point -= shares[arm]
        if point < 0:
            return arm
    raise AssertionError("a point below the total is in an arm")
