"""`Tenant`: whose work it is, and the walls around it."""

from functools import partial

import dagster as dg

from platform_pipelines.components.shared.applied import build_applied
from platform_pipelines.components.shared.declaring import declared, declaring
from platform_pipelines.core.tenant.declaration import TenantSpec
from platform_pipelines.core.tenant.render import render_tenant
from platform_pipelines.stages.road.clusters import Applied


class Tenant(declaring(TenantSpec)):
    """Namespaces with quotas, networks, rights, keys, queues and admission policies.

    Gives the assets manifests -> applied, the checks rules_hold, admitted and no_drift, the jobs
    NAME_apply, NAME_drift and NAME_rollback, and a schedule (off until switched on).
    """

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """Assets, checks, jobs and schedule of this tenant.

        Raises:
            ConfigurationError: names the field, its value and what is allowed.
        """
        spec = declared(TenantSpec, self.given, context.path, noun="a tenant")
        return build_applied(Applied("tenant", spec, partial(render_tenant, spec), spec.context))
