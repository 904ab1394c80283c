"""Compute profiles: what a stage's tasks run on, one typed record each.

On one machine every profile is a process here. In a cluster the record is all that the pods of a
stage are made from (`pod_specs`), and the node pools and queues that serve them. The seed profiles
are shipped; a deployment changes fields of them, or adds profiles, in a file (`read_profiles`).
"""

from collections.abc import Mapping
from typing import Any, Literal, cast

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from platform_pipelines.errors import ConfigurationError

GPU = "nvidia.com/gpu"
CAPACITY_LABEL = "karpenter.sh/capacity-type"


class Toleration(BaseModel):
    """A taint that a profile's pods bear."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str
    value: str | None = None  # None: whatever the value
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] = "NoSchedule"

    def manifest(self) -> dict[str, str]:
        """As a pod and a queue's flavor have it."""
        if self.value is None:
            return {"key": self.key, "effect": self.effect, "operator": "Exists"}
        return {"key": self.key, "effect": self.effect, "operator": "Equal", "value": self.value}


class NodePoolProfile(BaseModel):
    """The nodes that Karpenter makes for a profile, and when it takes them away again."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    families: tuple[str, ...] = ()  # instance families; with `types`, either
    types: tuple[str, ...] = ()  # instance types by name
    gpu_limit: int | None = Field(default=None, ge=1)  # whole GPUs of all its nodes together
    consolidate: Literal["WhenEmpty", "WhenEmptyOrUnderutilized"] = "WhenEmptyOrUnderutilized"
    consolidate_after: str = Field(default="5m", pattern=r"^(\d+(s|m|h))+$")
    disruption_budget: str = Field(default="20%", pattern=r"^\d+%?$")  # nodes going at a time
    disk_gib: int = Field(default=200, ge=20)
    mig: str | None = None  # a layout of the fleet: every GPU of the node is cut so
    time_sliced: bool = False  # each GPU is several `nvidia.com/gpu.shared`

    @model_validator(mode="after")
    def _whole(self) -> "NodePoolProfile":
        if not self.families and not self.types:
            raise ValueError("`families` or `types` says which instances may be made")
        if self.mig and self.time_sliced:
            raise ValueError("a GPU is cut by `mig` or shared by `time_sliced`, not both")
        return self


class EngineProfile(BaseModel):
    """A model server beside every worker of a stage, in the same pod, asked over loopback.

    It has the pod's GPUs. `served_as` is the name that a declaration's `embed.model` asks for.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["vllm", "tei", "nim"]
    image: str = Field(pattern=r"^[^\s]+(:[\w][\w.-]*|@sha256:[0-9a-f]{64})$")
    model: str = ""  # what it loads; a NIM holds its own
    served_as: str = ""  # vLLM only; empty: `model`
    serves: Literal["vectors", "answers"] = "vectors"  # `answers`: vLLM, for batch inference
    args: tuple[str, ...] = ()  # after those that the kind always gets
    command: tuple[str, ...] = ()  # instead of the kind's own
    port: int = Field(default=8000, ge=1024, le=65535)
    cpu_request: str = "500m"
    memory: str = "8Gi"
    start_seconds: int = Field(default=600, ge=10)  # from its start to its first answer
    restarts: int = Field(default=2, ge=0)  # in one pod; one more is a failure of the stage
    cache: str = "20Gi"  # size of the pod's own cache of model files
    cache_claim: str | None = None  # a volume claim that pods share instead

    @field_validator("image")
    @classmethod
    def _pinned(cls, value: str) -> str:
        if value.rpartition("/")[2].partition(":")[2] == "latest":
            raise ValueError("the tag moves: name a version or a digest")
        return value

    @model_validator(mode="after")
    def _whole(self) -> "EngineProfile":
        if self.kind != "nim" and not self.model:
            raise ValueError(f"`model` says what {self.kind} loads")
        if self.serves == "answers" and self.kind == "tei":
            raise ValueError("tei makes vectors: answers are served by vllm or nim")
        return self


class DeviceChoice(BaseModel):
    """One way to serve a pod's claim of devices (dynamic resource allocation)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    device_class: str = "gpu.nvidia.com"
    count: int = Field(default=1, ge=1)
    selectors: tuple[str, ...] = ()  # CEL over `device`


class ComputeProfile(BaseModel):
    """Image, resources, nodes and limits of a class of work. Quantities are Kubernetes' own."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[a-z]([a-z0-9-]*[a-z0-9])?$", max_length=40)
    image: str | None = None  # None: the image of the settings
    cpu_request: str = "500m"
    cpu_limit: str | None = None  # None: what the node has left; a limit throttles
    memory: str = "4Gi"  # request and limit: memory that is overcommitted is an eviction
    gpu: int = Field(default=0, ge=0)
    gpu_resource: str = GPU  # a MIG slice is a resource of its own: nvidia.com/mig-1g.10gb
    node_selector: Mapping[str, str] = Field(default_factory=dict)
    tolerations: tuple[Toleration, ...] = ()
    capacity_type: Literal["on-demand", "spot"] | None = None
    shared_memory: str | None = None  # size of /dev/shm; None: the runtime's 64 MiB
    scratch: str = "4Gi"  # size limit of /tmp, where HOME and PLATFORM_HOME are
    priority_class: str | None = None
    deadline_seconds: int = Field(default=4 * 3600, ge=60)
    retries: int = Field(default=2, ge=0)  # of one task; losing a node counts none
    parallelism: int = Field(default=8, ge=1)  # pods of a stage at a time
    spread: bool = False  # over nodes, where that is possible
    nodes: NodePoolProfile | None = None  # None: nodes that are there
    devices: tuple[DeviceChoice, ...] = ()  # in order of preference; instead of `gpu`
    engine: EngineProfile | None = None  # a model server in each pod: `embed`, batch inference
    start_seconds: int = Field(default=1800, ge=10)  # a stage of which no pod can start, fails then

    def node_labels(self) -> dict[str, str]:
        """What its pods' nodes are marked with."""
        capacity = {CAPACITY_LABEL: self.capacity_type} if self.capacity_type else {}
        return {**self.node_selector, **capacity}

    def taints(self) -> list[dict[str, str]]:
        """What keeps everybody else from its nodes."""
        return [
            {"key": one.key, "value": one.value or "true", "effect": one.effect}
            for one in self.tolerations
        ]


def _spot() -> tuple[Toleration, ...]:
    return (Toleration(key=GPU), Toleration(key="spot-instance", value="true"))


LARGE = ("p4d.24xlarge", "p5.48xlarge", "g5.48xlarge")
SEED = (
    ComputeProfile(name="cpu"),
    ComputeProfile(
        name="gpu-inference",
        gpu=1,
        memory="12Gi",
        node_selector={"workload-type": "gpu-inference"},
        tolerations=(Toleration(key=GPU),),
        capacity_type="on-demand",
        shared_memory="8Gi",
        nodes=NodePoolProfile(families=("g5", "g6"), gpu_limit=100),
    ),
    ComputeProfile(
        name="gpu-inference-large",
        gpu=8,
        cpu_request="32",
        memory="200Gi",
        node_selector={"workload-type": "gpu-inference-large"},
        tolerations=(Toleration(key=GPU),),
        capacity_type="on-demand",
        shared_memory="64Gi",
        scratch="100Gi",
        parallelism=1,
        nodes=NodePoolProfile(types=LARGE, gpu_limit=64, disk_gib=500),
    ),
    ComputeProfile(
        name="gpu-training",
        gpu=8,
        cpu_request="32",
        memory="200Gi",
        node_selector={"workload-type": "gpu-training"},
        tolerations=(Toleration(key=GPU),),
        capacity_type="on-demand",
        shared_memory="64Gi",
        scratch="200Gi",
        deadline_seconds=24 * 3600,
        parallelism=1,
        nodes=NodePoolProfile(types=LARGE, gpu_limit=64, disk_gib=500, consolidate="WhenEmpty"),
    ),
    ComputeProfile(
        name="gpu-spot",
        gpu=1,
        memory="12Gi",
        node_selector={"workload-type": "gpu-spot"},
        tolerations=_spot(),
        capacity_type="spot",
        shared_memory="8Gi",
        spread=True,
        nodes=NodePoolProfile(
            types=("g5.xlarge", "g5.2xlarge", "g6.xlarge"),
            gpu_limit=50,
            consolidate="WhenEmpty",
            consolidate_after="1m",
        ),
    ),
    ComputeProfile(
        name="gpu-mig",
        gpu=1,
        gpu_resource="nvidia.com/mig-1g.10gb",
        memory="8Gi",
        node_selector={"workload-type": "gpu-mig"},
        tolerations=(Toleration(key=GPU),),
        capacity_type="on-demand",
        nodes=NodePoolProfile(types=("p5.48xlarge",), gpu_limit=16, disk_gib=500, mig="dev"),
    ),
    ComputeProfile(
        name="gpu-shared",
        gpu=1,
        gpu_resource="nvidia.com/gpu.shared",
        memory="4Gi",
        node_selector={"workload-type": "gpu-shared"},
        tolerations=(Toleration(key=GPU),),
        capacity_type="on-demand",
        nodes=NodePoolProfile(families=("g5", "g6"), gpu_limit=8, time_sliced=True),
    ),
)


def seed_profiles() -> dict[str, ComputeProfile]:
    """The shipped profiles by their names."""
    return {profile.name: profile for profile in SEED}


def read_profiles(text: str, *, where: str) -> dict[str, ComputeProfile]:
    """The shipped profiles with the changes of a YAML text: profile name -> fields.

    Raises:
        ConfigurationError: names the profile, the field, its value and what is allowed.
    """
    import yaml

    try:
        declared: Any = yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        raise ConfigurationError(f"not YAML: {error}", where=where) from error
    if not isinstance(declared, dict):
        raise ConfigurationError(
            "profiles are a mapping", where=where, stored=type(declared).__name__,
            expected="profile name: {field: value}",
        )  # fmt: skip
    return changed_profiles(cast("dict[Any, dict[str, Any] | None]", declared), where=where)


def changed_profiles(
    changes: Mapping[Any, Mapping[str, Any] | None], *, where: str
) -> dict[str, ComputeProfile]:
    """The shipped profiles with changes: profile name -> fields that differ, or a new one's.

    Raises:
        ConfigurationError: names the profile, the field, its value and what is allowed.
    """
    profiles = seed_profiles()
    for name, fields in changes.items():
        base = profiles.get(str(name))
        before = base.model_dump() if base else {"name": str(name)}
        try:
            profiles[str(name)] = ComputeProfile.model_validate({**before, **(fields or {})})
        except (ValidationError, TypeError) as error:
            raise ConfigurationError(
                f"compute profile {name!r}: {error}",
                where=where,
                expected=", ".join(ComputeProfile.model_fields),
                remedy="correct the field",
            ) from error
    return profiles
