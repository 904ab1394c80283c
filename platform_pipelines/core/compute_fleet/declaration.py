"""What a fleet declares: which nodes there may be, who waits for them, and how GPUs are shared."""

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from platform_pipelines.core.road.compute_profiles import ComputeProfile, changed_profiles
from platform_pipelines.core.road.declarations import DNS_LABEL, ComponentSpec, ManifestSpec
from platform_pipelines.errors import ConfigurationError

# Of an 80 GB card: seven small ones to develop on, three medium and a small one to serve from, and
# the whole card as one. Source: NVIDIA, "Multi-Instance GPU User Guide", profiles of H100 and A100.
LAYOUTS: dict[str, dict[str, int]] = {
    "dev": {"1g.10gb": 7},
    "prod": {"2g.20gb": 3, "1g.10gb": 1},
    "large": {"7g.80gb": 1},
}
SLICES = 7  # of compute; a card has no more


class QueueSpec(ManifestSpec):
    """A ClusterQueue: its part of every flavor, and what it does when that is not enough."""

    share_percent: int = Field(ge=1, le=100, description="of each pool's GPUs, CPUs and memory")
    borrow: bool = Field(default=True, description="what other queues leave, up to the whole")
    reclaim: bool = Field(
        default=True, description="takes back by preemption what others have borrowed of it"
    )
    namespaces: tuple[str, ...] = Field(
        default=(), description="a LocalQueue in each; `Tenant` makes those of its own"
    )


class StorageSpec(ManifestSpec):
    """The disk of a node. Its size is the pool's: `nodes.disk_gib` of the profile."""

    iops: int = Field(default=10_000, ge=3_000, le=80_000, description="of the gp3 volume")
    mb_per_second: int = Field(default=500, ge=125, le=2_000, description="of the gp3 volume")


class SharingSpec(ManifestSpec):
    """How a GPU is more than one."""

    mig: dict[str, dict[str, int]] = Field(
        default_factory=lambda: {name: dict(cut) for name, cut in LAYOUTS.items()},
        description="layout -> MIG profile -> how many a card; pools choose by `nodes.mig`",
    )
    driver: bool = Field(
        default=False, description="installed by the operator; accelerated images bring theirs"
    )
    toolkit: bool = Field(
        default=False, description="installed by the operator; accelerated images bring theirs"
    )
    time_slices: int = Field(
        default=4, ge=2, le=48, description="`nvidia.com/gpu.shared` a card, of `time_sliced` pools"
    )

    @field_validator("mig")
    @classmethod
    def _fits(cls, mig: dict[str, dict[str, int]]) -> dict[str, dict[str, int]]:
        for layout, cut in mig.items():
            slices = sum(int(profile.partition("g.")[0]) * n for profile, n in cut.items())
            if slices > SLICES:
                raise ValueError(f"layout {layout!r} takes {slices} of a card's {SLICES} slices")
        return mig


class FleetSpec(ComponentSpec):
    """Node pools, queues and GPU sharing of a cluster, from the same records as its pods."""

    cluster: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,99}$",
        description="EKS's name: subnets and security groups are found by "
        "`karpenter.sh/discovery: NAME`",
    )
    role: str = Field(description="IAM role of the nodes, its name")
    provisioner: Literal["karpenter", "auto_mode"] = Field(
        default="karpenter", description="Karpenter of your own, or EKS Auto Mode's"
    )
    ami: str | None = Field(
        default=None,
        pattern=r"^(al2023|bottlerocket)@v[0-9.]{3,20}$",
        description="`karpenter` only: an image alias with its version, like al2023@v20260828",
    )
    profiles: dict[str, dict[str, Any]] = Field(
        default_factory=dict,
        description="compute profile -> what differs from the shipped one, or a new one whole",
    )
    queues: dict[str, QueueSpec] = Field(
        default_factory=lambda: {"platform": QueueSpec(share_percent=100)},
        min_length=1,
        description="Kueue's ClusterQueues of one cohort; their shares are at most 100 together",
    )
    cpus: int = Field(default=256, ge=1, description="that all queues may use together")
    memory_gib: int = Field(default=1024, ge=1, description="that all queues may use together")
    namespace: str = Field(
        default="platform", pattern=DNS_LABEL, description="where the stages' Jobs run"
    )
    operator_namespace: str = Field(
        default="gpu-operator", pattern=DNS_LABEL, description="of NVIDIA's GPU Operator"
    )
    storage: StorageSpec = Field(default=StorageSpec(), description="the nodes' disks")
    sharing: SharingSpec = Field(default=SharingSpec(), description="MIG and time-slicing")

    @model_validator(mode="after")
    def _whole(self) -> "FleetSpec":
        if (self.provisioner == "karpenter") != (self.ami is not None):
            raise ValueError("`ami` goes with provisioner `karpenter`, and it needs it")
        total = sum(queue.share_percent for queue in self.queues.values())
        if total > 100:
            raise ValueError(f"the queues' shares are {total} % together; at most 100")
        try:
            known = self.compute_profiles()
        except ConfigurationError as error:
            raise ValueError(error.what) from error
        for profile in known.values():
            if profile.nodes and profile.nodes.mig not in (None, *self.sharing.mig):
                raise ValueError(
                    f"profile {profile.name!r} asks for the MIG layout {profile.nodes.mig!r}; "
                    f"sharing.mig has {', '.join(self.sharing.mig)}"
                )
        return self

    def compute_profiles(self) -> dict[str, ComputeProfile]:
        """The shipped profiles with this declaration's changes."""
        return changed_profiles(self.profiles, where=f"profiles of {self.name}")
