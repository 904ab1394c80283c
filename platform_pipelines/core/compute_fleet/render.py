"""All objects of a fleet: node pools and their class, queues and flavors, quota, GPU sharing."""

from collections.abc import Iterator

from platform_pipelines.core.compute_fleet.declaration import FleetSpec
from platform_pipelines.core.compute_fleet.gpu_sharing import render_sharing
from platform_pipelines.core.compute_fleet.nodes import render_nodes
from platform_pipelines.core.compute_fleet.queues import render_queues
from platform_pipelines.core.road import rendering
from platform_pipelines.core.road.compute_profiles import ComputeProfile
from platform_pipelines.core.road.manifests import Manifest
from platform_pipelines.core.road.quantities import bytes_of, cores_of
from platform_pipelines.core.road.rendering import kube


def render_fleet(spec: FleetSpec) -> tuple[Manifest, ...]:
    """What a cluster should hold so that every profile's pods find a node."""
    labels = rendering.labels("compute-fleet", "compute", spec.slug)
    profiles = list(spec.compute_profiles().values())
    return (
        *render_nodes(spec, profiles, labels),
        *render_queues(spec, profiles, labels),
        *_claims(spec, profiles, labels),
        _quota(spec, profiles, labels),
        *render_sharing(spec, profiles, labels),
    )


def _claims(
    spec: FleetSpec, profiles: list[ComputeProfile], labels: dict[str, str]
) -> Iterator[Manifest]:
    """Devices by claim: the first alternative that the scheduler can serve.

    Source: Kubernetes, "Dynamic resource allocation", prioritized list. Karpenter makes no node for
    a claim yet: such profiles run on nodes that are there.
    """
    for profile in profiles:
        if not profile.devices:
            continue
        alternatives = [
            {
                "name": f"choice-{place}",
                "deviceClassName": choice.device_class,
                "count": choice.count,
                **(
                    {"selectors": [{"cel": {"expression": one}} for one in choice.selectors]}
                    if choice.selectors
                    else {}
                ),
            }
            for place, choice in enumerate(profile.devices)
        ]
        request = {"name": "devices", "firstAvailable": alternatives}
        yield kube(
            "resource.k8s.io/v1", "ResourceClaimTemplate", profile.name,
            namespace=spec.namespace, labels=labels,
            spec={"spec": {"devices": {"requests": [request]}}},
        )  # fmt: skip


def _quota(spec: FleetSpec, profiles: list[ComputeProfile], labels: dict[str, str]) -> Manifest:
    """Of the stages' namespace: each profile once at its full width. Kueue waits before that."""
    hard: dict[str, int] = {"pods": 0, "cpu": 0, "memory": 0}
    for profile in profiles:
        width = profile.parallelism
        hard["pods"] += width
        for part in (profile, profile.engine) if profile.engine else (profile,):
            hard["cpu"] += round(cores_of(part.cpu_request) * width * 1000)
            hard["memory"] += bytes_of(part.memory) * width
        if profile.gpu and not profile.devices:
            name = f"requests.{profile.gpu_resource}"
            hard[name] = hard.get(name, 0) + profile.gpu * width
    pods, cpu, memory = hard.pop("pods"), hard.pop("cpu"), hard.pop("memory")
    told = {
        "pods": str(pods),
        "requests.cpu": f"{cpu}m",
        "requests.memory": f"{memory // 2**20}Mi",
        **{name: str(count) for name, count in sorted(hard.items())},
    }
    return kube(
        "v1", "ResourceQuota", "stages", namespace=spec.namespace, labels=labels,
        spec={"hard": told},
    )  # fmt: skip
