"""Jobs that no run follows are found, and only those are deleted."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from platform_pipelines.compute.pod_specs import OWNER
from platform_pipelines.gateways.cluster.jobs import OpenJob
from platform_pipelines.stages.road.sweeping import find_orphans, sweep_orphans


@dataclass
class Remembered:
    """Jobs in memory: what `Jobs` says of them, and which were deleted."""

    there: dict[str, OpenJob]
    deleted: list[str] = field(default_factory=list[str])

    def unfinished(self, labels: Mapping[str, str]) -> list[OpenJob]:
        assert labels == {"app.kubernetes.io/managed-by": "platform-pipelines"}
        return list(self.there.values())

    def delete(self, name: str) -> None:
        self.deleted.append(name)


def jobs(**owners: str) -> Any:
    return Remembered({n: OpenJob(n, f"uid-{n}", {OWNER: o}) for n, o in owners.items()})


def test_a_job_whose_owner_has_a_run_is_left() -> None:
    """It may be about to be adopted by that run."""
    there = jobs(a="handbook", b="policies")
    assert find_orphans(there, {"handbook"}) == ("b/uid-b",)
    assert find_orphans(there, {"handbook", "policies"}) == ()


def test_only_what_was_found_before_and_is_an_orphan_still_is_deleted() -> None:
    """Made again under its name it is another Job; an owner that runs again wants it back."""
    there = jobs(a="handbook", b="policies", c="handbook")
    named = ("a/uid-a", "b/uid-b", "c/uid-of-before", "gone/uid-gone")
    assert sweep_orphans(there, named, {"policies"}) == ("a",)
    assert there.deleted == ["a"]
