"""`ComputeFleet`: the nodes, queues and GPU sharing that the compute profiles need."""

from typing import Any

import dagster as dg
from pydantic import Field

from platform_pipelines.components.shared.applied import build_applied
from platform_pipelines.components.shared.declaring import (
    Declaring,
    declared,
    described,
    nested,
)
from platform_pipelines.core.compute_fleet.declaration import (
    FleetSpec,
    QueueSpec,
    SharingSpec,
    StorageSpec,
)
from platform_pipelines.core.compute_fleet.render import render_fleet
from platform_pipelines.core.road.declarations import ApplySpec
from platform_pipelines.stages.road.clusters import Applied


class ComputeFleet(Declaring):
    """Karpenter's or Auto Mode's node pools, Kueue's queues, MIG and time-slicing, quota.

    All from the same records as the stages' pods (`PLATFORM_PROFILES`). Gives the assets manifests
    -> applied, the checks rules_hold, admitted and no_drift, the jobs NAME_apply, NAME_drift and
    NAME_rollback, and a schedule (off until switched on).
    """

    name: str = Field(description="lower-case letters, digits and single underscores")
    description: str = Field(default="", **described("one sentence for the asset pages"))
    owner: str = Field(default="team:platform", **described("`team:name` or an e-mail address"))
    cluster: str = Field(**described("EKS's name: subnets and security groups are tagged with it"))
    role: str = Field(**described("IAM role of the nodes, its name"))
    provisioner: str = Field(
        default="karpenter", **described("`karpenter`, or `auto_mode` for EKS Auto Mode")
    )
    ami: str | None = Field(
        default=None, **described("`karpenter` only: an image alias with its version")
    )
    profiles: dict[str, dict[str, Any]] = Field(
        default_factory=dict,
        **described("compute profile -> what differs from the shipped one, or a new one whole"),
    )
    queues: dict[str, dict[str, Any]] | None = Field(
        default=None,
        **described("ClusterQueue -> " + ", ".join(QueueSpec.model_fields)),
    )
    cpus: int = Field(default=256, **described("that all queues may use together"))
    memory_gib: int = Field(default=1024, **described("that all queues may use together"))
    namespace: str = Field(default="platform", **described("where the stages' Jobs run"))
    operator_namespace: str = Field(default="gpu-operator", **described("of NVIDIA's GPU Operator"))
    storage: dict[str, Any] = Field(
        default_factory=dict, **nested(StorageSpec, "The nodes' disks.")
    )
    sharing: dict[str, Any] = Field(
        default_factory=dict, **nested(SharingSpec, "MIG and time-slicing.")
    )
    apply: dict[str, Any] = Field(
        default_factory=dict, **nested(ApplySpec, "How it reaches the cluster.")
    )

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """Assets, checks, jobs and schedule of this fleet.

        Raises:
            ConfigurationError: names the field, its value and what is allowed.
        """
        attributes = self.model_dump(exclude_unset=True)
        spec = declared(FleetSpec, attributes, context.path, noun="a fleet")
        return build_applied(Applied("compute_fleet", spec, lambda: render_fleet(spec)))
