"""A canary's verdict: a share of the requests on the candidate, beside what the live agent did."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from platform_pipelines.core.agent.declaration import CanarySpec

CANDIDATE, LIVE = "candidate", "live"


@dataclass(frozen=True, slots=True)
class Side:
    """What one side did with its requests. `wrong`: answered, and not as the task asks."""

    requests: int = 0
    errors: int = 0
    wrong: int = 0
    seconds: float = 0.0  # of all of them together

    @property
    def failed_share(self) -> float:
        """Errors and wrong answers, of its requests."""
        return (self.errors + self.wrong) / self.requests if self.requests else 0.0

    @property
    def mean_seconds(self) -> float:
        """Of one request."""
        return self.seconds / self.requests if self.requests else 0.0

    def record(self) -> Mapping[str, Any]:
        """For people and for the store."""
        return {
            "requests": self.requests, "errors": self.errors, "wrong": self.wrong,
            "seconds": round(self.seconds, 3),
        }  # fmt: skip


def problems_of_canary(spec: CanarySpec, candidate: Side, live: Side) -> Sequence[str]:
    """Why the candidate goes back; nothing: it may have all requests."""
    found: list[str] = []
    if candidate.requests < spec.minimum:
        found.append(f"it got {candidate.requests} requests, {spec.minimum} are needed")
    more = candidate.failed_share - live.failed_share
    if more > spec.error_share:
        found.append(
            f"{candidate.failed_share:.0%} of its requests failed, {live.failed_share:.0%} of the "
            f"live agent's; {spec.error_share:.0%} more are allowed"
        )
    if live.requests and candidate.mean_seconds > spec.slower * live.mean_seconds + _JITTER_SECONDS:
        found.append(
            f"it takes {candidate.mean_seconds:.2f} s, the live agent {live.mean_seconds:.2f} s; "
            f"{spec.slower:g} times as much is allowed"
        )
    return found


_JITTER_SECONDS = 0.25  # of a shared machine: tasks of milliseconds say nothing by their times
