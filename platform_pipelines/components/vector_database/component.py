"""`VectorDatabase`: Milvus by its operator, indexes built on GPUs."""

from functools import partial

import dagster as dg

from platform_pipelines.components.shared.applied import build_applied
from platform_pipelines.components.shared.declaring import declared, declaring
from platform_pipelines.core.vector_database.declaration import VectorDatabaseSpec
from platform_pipelines.core.vector_database.render import render_vector_database
from platform_pipelines.stages.road.clusters import Applied


class VectorDatabase(declaring(VectorDatabaseSpec)):
    """A Milvus cluster (`milvus.io/v1beta1`): its parts, etcd, S3, and what is on a GPU.

    Gives the assets manifests -> applied, the checks rules_hold, admitted and no_drift, the jobs
    NAME_apply, NAME_drift and NAME_rollback, and a schedule (off until switched on).
    """

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """Assets, checks, jobs and schedule of this database.

        Raises:
            ConfigurationError: names the field, its value and what is allowed.
        """
        spec = declared(VectorDatabaseSpec, self.given, context.path, noun="a vector database")
        applied = Applied("vector_database", spec, partial(render_vector_database, spec))
        return build_applied(applied)
