"""What a vector database declares: Milvus' parts, where they run, and what is on a GPU."""

from pydantic import Field, model_validator

from platform_pipelines.core.road.compute_profiles import ComputeProfile, seed_profiles
from platform_pipelines.core.road.declarations import DNS_LABEL, ComponentSpec, ManifestSpec

QUANTITY = r"^[0-9]+(?:\.[0-9]+)?(?:m|k|M|G|T|Ki|Mi|Gi|Ti)?$"


class PartSpec(ManifestSpec):
    """One part of the server: how many, and what each gets."""

    replicas: int = Field(default=1, ge=1, description="pods")
    cpu: str = Field(default="2", pattern=QUANTITY, description="requested")
    memory: str = Field(default="8Gi", pattern=QUANTITY, description="requested and limit")


class GpuSpec(ManifestSpec):
    """What is on a GPU. Building is where it pays; searching there needs every vector in it."""

    build: bool = Field(default=True, description="data nodes: GPU_CAGRA with `adapt_for_cpu`")
    search: bool = Field(default=False, description="query nodes as well")
    count: int = Field(default=1, ge=1, description="cards of a pod")
    profile: str = Field(
        default="gpu-inference", description="compute profile whose nodes and taints are used"
    )
    pool_mib: tuple[int, int] = Field(
        default=(2048, 4096),
        description="memory pool of a card, initial and largest (MiB): what Milvus advises for "
        "temporary data since 2.4.1",
    )

    @model_validator(mode="after")
    def _ordered(self) -> "GpuSpec":
        first, most = self.pool_mib
        if not 0 < first <= most:
            raise ValueError("pool_mib is (initial, largest), both over 0, in that order")
        return self


class EtcdSpec(ManifestSpec):
    """Where Milvus keeps what it knows of its collections."""

    replicas: int = Field(default=3, ge=1, description="an odd number")
    disk: str = Field(default="50Gi", pattern=QUANTITY, description="of each")
    storage_class: str = Field(default="gp3", description="of its volumes")

    @model_validator(mode="after")
    def _odd(self) -> "EtcdSpec":
        if self.replicas % 2 == 0:
            raise ValueError("an even number of etcd members survives no more than one fewer")
        return self


class BucketSpec(ManifestSpec):
    """Where its segments are: S3, by the pods' own identity."""

    bucket: str = Field(min_length=3, max_length=63, description="its name")
    region: str = Field(min_length=1, description="its region")
    prefix: str = Field(default="milvus", min_length=1, description="of its objects' keys")
    service_account: str = Field(
        default="milvus", pattern=DNS_LABEL, description="with a Pod Identity association"
    )


class VectorDatabaseSpec(ComponentSpec):
    """A Milvus cluster of the operator."""

    namespace: str = Field(default="milvus", pattern=DNS_LABEL, description="of all its pods")
    version: str = Field(
        pattern=r"^v2\.(?:[6-9]|\d\d)\.\d+$", description="of the server, 2.6 or newer, like v2.6.4"
    )
    image: str = Field(default="milvusdb/milvus", description="without its tag")
    storage: BucketSpec = Field(description="where its segments are")
    etcd: EtcdSpec = Field(default=EtcdSpec(), description="where its metadata is")
    coordinator: PartSpec = Field(default=PartSpec(), description="`mixCoord`")
    proxy: PartSpec = Field(default=PartSpec(replicas=2), description="who is asked")
    query: PartSpec = Field(
        default=PartSpec(replicas=3, cpu="4", memory="16Gi"), description="who searches"
    )
    data: PartSpec = Field(
        default=PartSpec(replicas=2, cpu="4", memory="16Gi"),
        description="who compacts and builds indexes",
    )
    streaming: PartSpec = Field(
        default=PartSpec(replicas=2), description="who writes the log, by Woodpecker"
    )
    gpu: GpuSpec | None = Field(default=GpuSpec(), description="null: CPU only")

    @model_validator(mode="after")
    def _placed(self) -> "VectorDatabaseSpec":
        if self.gpu is not None and self.gpu.profile not in seed_profiles():
            raise ValueError(
                f"gpu.profile {self.gpu.profile!r} is none of {', '.join(seed_profiles())}"
            )
        return self

    def placement(self) -> ComputeProfile | None:
        """The profile whose nodes the parts on a GPU go to."""
        return seed_profiles()[self.gpu.profile] if self.gpu else None
