"""`Tenant`: whose work it is, and the walls around it."""

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
from platform_pipelines.core.road.declarations import ApplySpec
from platform_pipelines.core.tenant.declaration import (
    AdmissionSpec,
    NetworkSpec,
    PeopleSpec,
    SecretsSpec,
    SpaceSpec,
    TenantSpec,
    TlsSpec,
)
from platform_pipelines.core.tenant.render import render_tenant
from platform_pipelines.stages.road.clusters import Applied


class Tenant(Declaring):
    """Namespaces with quotas, networks, rights, keys, queues and admission policies.

    Gives the assets manifests -> applied, the checks rules_hold, admitted and no_drift, the jobs
    NAME_apply, NAME_drift and NAME_rollback, and a schedule (off until switched on).
    """

    name: str = Field(description="lower-case letters, digits and single underscores")
    description: str = Field(default="", **described("one sentence for the asset pages"))
    owner: str = Field(default="team:platform", **described("`team:name` or an e-mail address"))
    isolation: str = Field(
        default="namespace",
        **described("`namespace`, `node_pool` (nodes of its own) or `cluster` (its own cluster)"),
    )
    node_pool: str | None = Field(default=None, **described("`node_pool` only: the NodePool"))
    context: str | None = Field(default=None, **described("`cluster` only: kubeconfig context"))
    spaces: dict[str, dict[str, Any]] | None = Field(
        default=None,
        **described(
            "gateway, agents, data, inference -> what differs from the seed of its kind: "
            + ", ".join(SpaceSpec.model_fields)
        ),
    )
    people: dict[str, Any] = Field(default_factory=dict, **nested(PeopleSpec, "Who works in it."))
    network: dict[str, Any] = Field(
        default_factory=dict, **nested(NetworkSpec, "What its pods reach.")
    )
    secrets: dict[str, Any] | None = Field(
        default_factory=dict, **nested(SecretsSpec, "Where its secrets are.")
    )
    queue: str | None = Field(default="platform", **described("Kueue's ClusterQueue"))
    admission: dict[str, Any] = Field(
        default_factory=dict, **nested(AdmissionSpec, "What its pods may be.")
    )
    tls: dict[str, Any] = Field(default_factory=dict, **nested(TlsSpec, "TLS to its servers."))
    apply: dict[str, Any] = Field(
        default_factory=dict, **nested(ApplySpec, "How it reaches the cluster.")
    )

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """Assets, checks, jobs and schedule of this tenant.

        Raises:
            ConfigurationError: names the field, its value and what is allowed.
        """
        attributes = self.model_dump(exclude_unset=True)
        spec = declared(TenantSpec, attributes, context.path, noun="a tenant")
        applied = Applied("tenant", spec, lambda: render_tenant(spec), spec.context)
        return build_applied(applied)
