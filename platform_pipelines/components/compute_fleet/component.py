"""`ComputeFleet`: the nodes, queues and GPU sharing that the compute profiles need."""

from functools import partial

import dagster as dg

from platform_pipelines.components.shared.applied import build_applied
from platform_pipelines.components.shared.declaring import declared, declaring
from platform_pipelines.core.compute_fleet.declaration import FleetSpec
from platform_pipelines.core.compute_fleet.render import render_fleet
from platform_pipelines.stages.road.clusters import Applied


class ComputeFleet(declaring(FleetSpec)):
    """Karpenter's or Auto Mode's node pools, Kueue's queues, MIG and time-slicing, quota.

    All from the same records as the stages' pods (`PLATFORM_PROFILES`). Gives the assets manifests
    -> applied, the checks rules_hold, admitted and no_drift, the jobs NAME_apply, NAME_drift and
    NAME_rollback, and a schedule (off until switched on).
    """

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """Assets, checks, jobs and schedule of this fleet.

        Raises:
            ConfigurationError: names the field, its value and what is allowed.
        """
        spec = declared(FleetSpec, self.given, context.path, noun="a fleet")
        applied = Applied("compute_fleet", spec, partial(render_fleet, spec))
        return build_applied(applied)
