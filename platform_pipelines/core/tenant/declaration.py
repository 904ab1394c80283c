"""What a tenant declares: its spaces, what they may use and reach, who works in them."""

from typing import Literal

from pydantic import Field, field_validator, model_validator

from platform_pipelines.core.road.declarations import DNS_LABEL, ComponentSpec, ManifestSpec

SpaceKind = Literal["gateway", "agents", "data", "inference"]
Level = Literal["privileged", "baseline", "restricted"]
QUANTITY = r"^[0-9]+(?:\.[0-9]+)?(?:m|k|M|G|T|Ki|Mi|Gi|Ti)?$"

LEVELS: dict[SpaceKind, Level] = {
    "gateway": "restricted",
    "agents": "baseline",
    "data": "baseline",
    # GPUs come through the device plugin: nothing of a model server needs more. Lower it where a
    # driver's own pods run in the same namespace.
    "inference": "restricted",
}


class QuotaSpec(ManifestSpec):
    """What all pods of a space may ask for together."""

    gpus: int = Field(default=4, ge=0, description="of `nvidia.com/gpu`")
    cpu: str = Field(default="20", pattern=QUANTITY, description="requested")
    cpu_limit: str = Field(default="40", pattern=QUANTITY, description="limits")
    memory: str = Field(default="40Gi", pattern=QUANTITY, description="requested")
    memory_limit: str = Field(default="80Gi", pattern=QUANTITY, description="limits")
    pods: int = Field(default=50, ge=1, description="at a time")
    services: int = Field(default=10, ge=0, description="at a time")
    claims: int = Field(default=10, ge=0, description="persistent volume claims")


QUOTAS: dict[SpaceKind, QuotaSpec] = {
    "gateway": QuotaSpec(gpus=0),
    "agents": QuotaSpec(pods=200),
    "data": QuotaSpec(gpus=0),
    "inference": QuotaSpec(
        gpus=32, cpu="100", cpu_limit="200", memory="500Gi", memory_limit="1Ti", claims=50
    ),
}


class ContainerSpec(ManifestSpec):
    """What a container gets that asks for nothing."""

    cpu: str = Field(default="100m", pattern=QUANTITY, description="requested")
    memory: str = Field(default="256Mi", pattern=QUANTITY, description="requested")
    cpu_limit: str = Field(default="2", pattern=QUANTITY, description="limit")
    memory_limit: str = Field(default="1Gi", pattern=QUANTITY, description="limit")


CONTAINERS: dict[SpaceKind, ContainerSpec] = {
    "gateway": ContainerSpec(),
    "agents": ContainerSpec(),
    "data": ContainerSpec(),
    "inference": ContainerSpec(cpu_limit="32", memory_limit="256Gi"),
}


class SpaceSpec(ManifestSpec):
    """One namespace of a tenant; what is not declared is the seed of its kind."""

    quota: QuotaSpec | None = Field(default=None, description="what its pods may use together")
    container: ContainerSpec | None = Field(default=None, description="defaults of a container")
    level: Level | None = Field(default=None, description="Pod Security: restricted or baseline")

    @field_validator("level")
    @classmethod
    def _contained(cls, level: Level | None) -> Level | None:
        if level == "privileged":
            raise ValueError("a tenant's pods never own their node")
        return level


def _all_spaces() -> dict[SpaceKind, SpaceSpec]:
    return {"agents": SpaceSpec(), "data": SpaceSpec(), "inference": SpaceSpec()}


class PeopleSpec(ManifestSpec):
    """Groups of the identity provider."""

    operators: str | None = Field(default=None, description="group that changes workloads")
    viewers: str | None = Field(default=None, description="group that reads them")


class SecretsSpec(ManifestSpec):
    """Where its secrets are: AWS Secrets Manager, by External Secrets."""

    store: str = Field(default="aws-secrets-manager", description="the ClusterSecretStore")
    prefix: str = Field(default="platform", description="of the secrets' names there")
    keys: tuple[str, ...] = Field(
        default=("GATEWAY_KEY",), min_length=1, description="properties to copy"
    )


PRIVATE_RANGES = (
    "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16",
)  # fmt: skip


class NetworkSpec(ManifestSpec):
    """What a tenant's pods reach, beside each other and DNS."""

    internet: bool = Field(default=True, description="port 443 of public addresses")
    private_ranges: tuple[str, ...] = Field(
        default=PRIVATE_RANGES,
        description="never reached from the internet rule; 169.254 is the node's metadata",
    )
    gateway_namespace: str = Field(
        default="gateway", pattern=DNS_LABEL, description="reaches it and is reached"
    )
    monitoring_namespace: str = Field(
        default="monitoring", pattern=DNS_LABEL, description="scrapes it"
    )


class TlsSpec(ManifestSpec):
    """The gateway speaks TLS to these Services and checks who answers."""

    services: tuple[str, ...] = Field(default=(), description="Services of the inference space")
    authority: str = Field(default="internal-ca", description="ConfigMap with `ca.crt`")


class AdmissionSpec(ManifestSpec):
    """What its pods may be."""

    registries: tuple[str, ...] = Field(
        default=(), description="prefixes of allowed images; empty allows every registry"
    )


class TenantSpec(ComponentSpec):
    """Whose work it is, and the walls around it."""

    isolation: Literal["namespace", "node_pool", "cluster"] = Field(
        default="namespace",
        description="`namespace`: shared nodes; `node_pool`: nodes of its own; `cluster`: its own",
    )
    node_pool: str | None = Field(default=None, description="`node_pool` only: its name")
    context: str | None = Field(default=None, description="`cluster` only: of kubeconfig")
    spaces: dict[SpaceKind, SpaceSpec] = Field(
        default_factory=_all_spaces,
        min_length=1,
        description="gateway, agents, data, inference: a namespace each",
    )
    people: PeopleSpec = Field(default=PeopleSpec(), description="who works in it")
    network: NetworkSpec = Field(default=NetworkSpec(), description="what it reaches")
    secrets: SecretsSpec | None = Field(default=SecretsSpec(), description="its keys")
    queue: str | None = Field(default="platform", description="Kueue's ClusterQueue; null: none")
    admission: AdmissionSpec = Field(default=AdmissionSpec(), description="what pods may be")
    tls: TlsSpec = Field(default=TlsSpec(), description="between the gateway and its servers")

    @model_validator(mode="after")
    def _complete(self) -> "TenantSpec":
        for isolation, name in (("node_pool", "node_pool"), ("cluster", "context")):
            if (self.isolation == isolation) != (getattr(self, name) is not None):
                raise ValueError(f"`{name}` goes with isolation `{isolation}`, and it needs it")
        return self

    def namespace(self, kind: SpaceKind) -> str:
        """Of a space."""
        return f"{self.slug}-{kind}"

    def quota(self, kind: SpaceKind) -> QuotaSpec:
        """Declared, or the seed of its kind."""
        return self.spaces[kind].quota or QUOTAS[kind]

    def container(self, kind: SpaceKind) -> ContainerSpec:
        """Declared, or the seed of its kind."""
        return self.spaces[kind].container or CONTAINERS[kind]

    def level(self, kind: SpaceKind) -> Level:
        """Declared, or that of its kind."""
        return self.spaces[kind].level or LEVELS[kind]
