"""Compute profiles: what a stage's tasks run on, one typed record each.

On one machine every profile is a process here. In a cluster the record is all that the pods of a
stage are made from (`pod_specs`), and the node pools and queues that serve them. The seed profiles
are shipped; a deployment changes fields of them, or adds profiles, in a file (`read_profiles`).
"""

from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from platform_pipelines.errors import ConfigurationError

GPU = "nvidia.com/gpu"


class Toleration(BaseModel):
    """A taint that a profile's pods bear."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str
    value: str | None = None  # None: whatever the value
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] = "NoSchedule"


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


def _spot() -> tuple[Toleration, ...]:
    return (Toleration(key=GPU), Toleration(key="spot-instance", value="true"))


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
    ),
    ComputeProfile(
        name="gpu-mig",
        gpu=1,
        gpu_resource="nvidia.com/mig-1g.10gb",
        memory="8Gi",
        node_selector={"workload-type": "gpu-inference"},
        tolerations=(Toleration(key=GPU),),
        capacity_type="on-demand",
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

    profiles = seed_profiles()
    try:
        declared = yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        raise ConfigurationError(f"not YAML: {error}", where=where) from error
    if not isinstance(declared, dict):
        raise ConfigurationError(
            "profiles are a mapping", where=where, stored=type(declared).__name__,
            expected="profile name: {field: value}",
        )  # fmt: skip
    for name, fields in declared.items():
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
