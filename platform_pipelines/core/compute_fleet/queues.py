"""Kueue: a flavor a profile, one queue a team, one cohort in which they lend to each other.

Source: Kueue, "Cluster Queue" and "Resource Flavor" (v1beta2). All resources are in one group, so
that a pod's CPU, memory and GPU come from one flavor: the one whose labels its profile selects.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from platform_pipelines.core.compute_fleet.declaration import FleetSpec, QueueSpec
from platform_pipelines.core.compute_fleet.nodes import parts_of_a_card
from platform_pipelines.core.road.compute_profiles import GPU, ComputeProfile
from platform_pipelines.core.road.manifests import Manifest
from platform_pipelines.core.road.rendering import kube

_API = "kueue.x-k8s.io/v1beta2"


def render_queues(
    spec: FleetSpec, profiles: Sequence[ComputeProfile], labels: dict[str, str]
) -> Iterator[Manifest]:
    """Flavors, then queues."""
    queued = [profile for profile in profiles if not profile.devices]
    for profile in queued:
        yield _flavor(profile, labels)
    for name, queue in spec.queues.items():
        yield _queue(spec, name, queue, queued, labels)
        for namespace in queue.namespaces:
            yield kube(
                _API, "LocalQueue", name, namespace=namespace, labels=labels,
                spec={"clusterQueue": name},
            )  # fmt: skip


def _flavor(profile: ComputeProfile, labels: dict[str, str]) -> Manifest:
    spec: dict[str, Any] = {}
    if nodes := profile.node_labels():
        spec["nodeLabels"] = nodes
    if profile.tolerations:  # only what bears them: a flavor's tolerations would let anybody in
        spec["nodeTaints"] = profile.taints()
    return kube(_API, "ResourceFlavor", profile.name, labels=labels, spec=spec)


def _queue(
    spec: FleetSpec,
    name: str,
    queue: QueueSpec,
    profiles: Sequence[ComputeProfile],
    labels: dict[str, str],
) -> Manifest:
    gpus = sorted({profile.gpu_resource for profile in profiles if profile.gpu} | {GPU})
    flavors = [
        {
            "name": profile.name,
            "resources": [
                _resource("cpu", spec.cpus * 1000, queue, unit="m"),
                _resource("memory", spec.memory_gib, queue, unit="Gi"),
                *(_resource(gpu, _devices(spec, profile, gpu), queue) for gpu in gpus),
            ],
        }
        for profile in profiles
    ]
    group = {"coveredResources": ["cpu", "memory", *gpus], "flavors": flavors}
    return kube(
        _API, "ClusterQueue", name, labels=labels,
        spec={
            "cohortName": spec.slug,
            "namespaceSelector": {},
            "queueingStrategy": "BestEffortFIFO",
            "resourceGroups": [group],
            "preemption": {
                "reclaimWithinCohort": "Any" if queue.reclaim else "Never",
                "withinClusterQueue": "LowerPriority",
            },
        },
    )  # fmt: skip


def _resource(name: str, whole: int, queue: QueueSpec, *, unit: str = "") -> dict[str, Any]:
    quota = whole * queue.share_percent // 100
    told: dict[str, Any] = {"name": name, "nominalQuota": f"{quota}{unit}" if quota else "0"}
    if not queue.borrow:
        told["borrowingLimit"] = "0"
    return told


def _devices(spec: FleetSpec, profile: ComputeProfile, resource: str) -> int:
    """How many of a device all nodes of a pool can have: cards, or parts of cards."""
    nodes = profile.nodes
    if profile.gpu_resource != resource or nodes is None or nodes.gpu_limit is None:
        return 0
    return nodes.gpu_limit * parts_of_a_card(spec, profile)
