"""Jobs of stages that no run follows any more: found twice, then deleted.

A run deletes its Jobs when it fails or is cancelled. What is left is of a run whose pod was lost
and that was not started again. A Job is an orphan when it has not ended and no run of its owner is
under way; it is deleted when two looks, one after the other, both found it, so that a run which is
just being started keeps what it is about to adopt.
"""

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from platform_pipelines.compute.pod_specs import MANAGED, OWNER

if TYPE_CHECKING:
    from platform_pipelines.gateways.cluster.jobs import Jobs


def find_orphans(jobs: "Jobs", busy: Collection[str]) -> tuple[str, ...]:
    """`name/uid` of every Job that has not ended and whose owner is not busy."""
    return tuple(
        sorted(
            f"{job.name}/{job.uid}"
            for job in jobs.unfinished(MANAGED)
            if job.labels.get(OWNER) not in busy
        )
    )


def sweep_orphans(jobs: "Jobs", named: Sequence[str], busy: Collection[str]) -> tuple[str, ...]:
    """Delete those of the named that are orphans still; their names."""
    still = set(find_orphans(jobs, busy)) & set(named)
    names = tuple(sorted(one.partition("/")[0] for one in still))
    for name in names:
        jobs.delete(name)
    return names
