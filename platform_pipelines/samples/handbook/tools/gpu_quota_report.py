"""Report which teams hold more GPUs than their quota, from quota.csv and a list of running pods.

Run it before asking anybody to give GPUs back:

    kubectl get pods -A -o json > pods.json
    python gpu_quota_report.py --quota quota.csv --pods pods.json
"""

from __future__ import annotations

import argparse
import csv
import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

GPU_RESOURCE = "nvidia.com/gpu"

# A pod that has been pending for longer than this is counted as demand, not as usage.
PENDING_GRACE_SECONDS = 900


@dataclass(frozen=True, slots=True)
class Quota:
    """One row of quota.csv: what a team may use, and what it may borrow while others are idle."""

    team: str
    namespace: str
    nodepool: str
    gpus: int
    borrow_limit: int

    @property
    def ceiling(self) -> int:
        """The most GPUs a team can ever hold in this pool: its quota plus what it borrows."""
        return self.gpus + self.borrow_limit


def read_quotas(path: Path, *, cluster: str) -> list[Quota]:
    """The rows of the quota table that concern one cluster."""
    with path.open(encoding="utf-8", newline="") as file:
        return [
            Quota(
                team=row["team"],
                namespace=row["namespace"],
                nodepool=row["nodepool"],
                gpus=int(row["gpu_quota"]),
                borrow_limit=int(row["gpu_borrow_limit"]),
            )
            for row in csv.DictReader(file)
            if row["cluster"] == cluster
        ]


def gpus_of_pod(pod: dict[str, Any]) -> int:
    """GPUs that a pod asks for. Init containers are ignored: ours never ask for a GPU."""
    return sum(
        int(container.get("resources", {}).get("limits", {}).get(GPU_RESOURCE, 0))
        for container in pod["spec"]["containers"]
    )


def usage_by_pool(pods: list[dict[str, Any]]) -> Counter[tuple[str, str]]:
    """GPUs in use, by namespace and NodePool. Finished pods hold nothing."""
    used: Counter[tuple[str, str]] = Counter()
    for pod in pods:
        if pod["status"]["phase"] != "Running":
            continue
        pool = pod["spec"].get("nodeSelector", {}).get("karpenter.sh/nodepool", "unknown")
        used[(pod["metadata"]["namespace"], pool)] += gpus_of_pod(pod)
    return used


def verdict(quota: Quota, used: int) -> str:
    """`within`, `borrowing` (allowed, but taken back first) or `over` (a bug in the queue)."""
    if used <= quota.gpus:
        return "within"
    # Borrowed GPUs are reclaimed by Kueue without asking as soon as their owner submits a job.
    return "borrowing" if used <= quota.ceiling else "over"


def main() -> int:
    """Exit code 0 when nobody is over the ceiling, 3 when somebody is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quota", type=Path, required=True)
    parser.add_argument("--pods", type=Path, required=True)
    parser.add_argument("--cluster", default="byeol-prod")
    arguments = parser.parse_args()
    used = usage_by_pool(json.loads(arguments.pods.read_text(encoding="utf-8"))["items"])
    worst = 0
    for quota in read_quotas(arguments.quota, cluster=arguments.cluster):
        count = used[(quota.namespace, quota.nodepool)]
        state = verdict(quota, count)
        print(f"{quota.team:16} {quota.nodepool:14} {count:3} / {quota.gpus:3}  {state}")
        worst = max(worst, 3 if state == "over" else 0)
    return worst


if __name__ == "__main__":
    raise SystemExit(main())
