"""Node pools: Karpenter's, or those of EKS Auto Mode. One a profile that declares its nodes.

Sources: Karpenter, "NodePools" and "NodeClasses" (v1); AWS, "Create a node class for Amazon
EKS" and "Create a Node Pool for EKS Auto Mode", whose well-known labels have their own prefix.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from platform_pipelines.core.compute_fleet.declaration import FleetSpec
from platform_pipelines.core.road.compute_profiles import (
    CAPACITY_LABEL,
    GPU,
    ComputeProfile,
    NodePoolProfile,
)
from platform_pipelines.core.road.manifests import Manifest
from platform_pipelines.core.road.rendering import kube

DISCOVERY = "karpenter.sh/discovery"
MIG_CONFIG = "nvidia.com/mig.config"
PLUGIN_CONFIG = "nvidia.com/device-plugin.config"
TIME_SLICED = "time-sliced"
CARDS_OF_A_NODE = (1, 2, 4, 8)


def render_nodes(
    spec: FleetSpec, profiles: Sequence[ComputeProfile], labels: dict[str, str]
) -> Iterator[Manifest]:
    """A pool for each profile, and a class of nodes for each size of disk."""
    pools = [(profile, profile.nodes) for profile in profiles if profile.nodes is not None]
    for size in sorted({nodes.disk_gib for _, nodes in pools}):
        make = _ec2_class if spec.provisioner == "karpenter" else _auto_class
        yield make(spec, size, labels)
    for profile, nodes in pools:
        yield _pool(spec, profile, nodes, labels)
        if spec.provisioner == "karpenter":
            yield from _parts(spec, profile, nodes, labels)


def _class_name(spec: FleetSpec, disk_gib: int) -> str:
    return f"{spec.slug}-{disk_gib}gib"


def _found(spec: FleetSpec) -> dict[str, Any]:
    """Role and places of the nodes: alike in both kinds of class."""
    tagged = [{"tags": {DISCOVERY: spec.cluster}}]
    return {
        "role": spec.role,
        "subnetSelectorTerms": tagged,
        "securityGroupSelectorTerms": tagged,
        "tags": {DISCOVERY: spec.cluster},
    }


def _ec2_class(spec: FleetSpec, disk_gib: int, labels: dict[str, str]) -> Manifest:
    disk = {
        "volumeType": "gp3",
        "volumeSize": f"{disk_gib}Gi",
        "iops": spec.storage.iops,
        "throughput": spec.storage.mb_per_second,
        "encrypted": True,
        "deleteOnTermination": True,
    }
    return kube(
        "karpenter.k8s.aws/v1", "EC2NodeClass", _class_name(spec, disk_gib), labels=labels,
        spec={
            **_found(spec),
            "amiSelectorTerms": [{"alias": spec.ami}],
            "blockDeviceMappings": [{"deviceName": "/dev/xvda", "ebs": disk}],
            # A pod never reaches the node's identity: one hop ends before its network.
            "metadataOptions": {"httpTokens": "required", "httpPutResponseHopLimit": 1},
        },
    )  # fmt: skip


def _auto_class(spec: FleetSpec, disk_gib: int, labels: dict[str, str]) -> Manifest:
    return kube(
        "eks.amazonaws.com/v1", "NodeClass", _class_name(spec, disk_gib), labels=labels,
        spec={
            **_found(spec),
            "ephemeralStorage": {
                "size": f"{disk_gib}Gi",
                "iops": spec.storage.iops,
                "throughput": spec.storage.mb_per_second,
            },
        },
    )  # fmt: skip


def _pool(
    spec: FleetSpec, profile: ComputeProfile, nodes: NodePoolProfile, labels: dict[str, str]
) -> Manifest:
    karpenter = spec.provisioner == "karpenter"
    limits = {GPU: str(nodes.gpu_limit)} if nodes.gpu_limit else {}
    return kube(
        "karpenter.sh/v1", "NodePool", profile.name, labels=labels,
        spec={
            "template": {
                "metadata": {"labels": {**profile.node_selector, **_sharing_labels(nodes)}},
                "spec": {
                    "nodeClassRef": {
                        "group": "karpenter.k8s.aws" if karpenter else "eks.amazonaws.com",
                        "kind": "EC2NodeClass" if karpenter else "NodeClass",
                        "name": _class_name(spec, nodes.disk_gib),
                    },
                    "requirements": _requirements(profile, nodes, karpenter=karpenter),
                    "taints": profile.taints(),
                },
            },
            "disruption": {
                "consolidationPolicy": nodes.consolidate,
                "consolidateAfter": nodes.consolidate_after,
                "budgets": [{"nodes": nodes.disruption_budget}],
            },
            **({"limits": limits} if limits else {}),
        },
    )  # fmt: skip


def _sharing_labels(nodes: NodePoolProfile) -> dict[str, str]:
    """What the GPU Operator's managers look for on a node."""
    if nodes.mig:
        return {MIG_CONFIG: nodes.mig}
    return {PLUGIN_CONFIG: TIME_SLICED} if nodes.time_sliced else {}


def _parts(
    spec: FleetSpec, profile: ComputeProfile, nodes: NodePoolProfile, labels: dict[str, str]
) -> Iterator[Manifest]:
    """What a node will have once its cards are cut: without it Karpenter makes none for a part.

    Source: Karpenter, "NodeOverlays" (alpha; the feature gate NodeOverlay).
    """
    a_card = parts_of_a_card(spec, profile)
    if not (nodes.mig or nodes.time_sliced) or not a_card:
        return
    for cards in CARDS_OF_A_NODE:
        wanted = {
            "karpenter.sh/nodepool": profile.name,
            "karpenter.k8s.aws/instance-gpu-count": str(cards),
        }
        yield kube(
            "karpenter.sh/v1alpha1", "NodeOverlay", f"{profile.name}-{cards}", labels=labels,
            spec={
                "requirements": [
                    {"key": key, "operator": "In", "values": [value]}
                    for key, value in wanted.items()
                ],
                "capacity": {profile.gpu_resource: str(cards * a_card)},
            },
        )  # fmt: skip


def parts_of_a_card(spec: FleetSpec, profile: ComputeProfile) -> int:
    """How many of a profile's device one GPU is."""
    nodes = profile.nodes
    if nodes is not None and nodes.time_sliced:
        return spec.sharing.time_slices
    if nodes is not None and nodes.mig:
        return spec.sharing.mig[nodes.mig].get(profile.gpu_resource.rpartition("mig-")[2], 0)
    return 1


def _requirements(
    profile: ComputeProfile, nodes: NodePoolProfile, *, karpenter: bool
) -> list[dict[str, Any]]:
    prefix = "karpenter.k8s.aws" if karpenter else "eks.amazonaws.com"
    capacity = [profile.capacity_type] if profile.capacity_type else ["on-demand", "spot"]
    allowed = {
        CAPACITY_LABEL: capacity,
        "kubernetes.io/arch": ["amd64"],
        "kubernetes.io/os": ["linux"],
        f"{prefix}/instance-family": list(nodes.families),
        "node.kubernetes.io/instance-type": list(nodes.types),
    }
    return [
        {"key": key, "operator": "In", "values": values}
        for key, values in allowed.items()
        if values
    ]
