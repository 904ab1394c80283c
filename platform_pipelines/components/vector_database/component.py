"""`VectorDatabase`: Milvus by its operator, indexes built on GPUs."""

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
from platform_pipelines.core.vector_database.declaration import (
    BucketSpec,
    EtcdSpec,
    GpuSpec,
    PartSpec,
    VectorDatabaseSpec,
)
from platform_pipelines.core.vector_database.render import render_vector_database
from platform_pipelines.stages.road.clusters import Applied


def _part(sentence: str) -> Any:
    return Field(default_factory=dict, **nested(PartSpec, sentence))


class VectorDatabase(Declaring):
    """A Milvus cluster (`milvus.io/v1beta1`): its parts, etcd, S3, and what is on a GPU.

    Gives the assets manifests -> applied, the checks rules_hold, admitted and no_drift, the jobs
    NAME_apply, NAME_drift and NAME_rollback, and a schedule (off until switched on).
    """

    name: str = Field(description="lower-case letters, digits and single underscores")
    description: str = Field(default="", **described("one sentence for the asset pages"))
    owner: str = Field(default="team:platform", **described("`team:name` or an e-mail address"))
    namespace: str = Field(default="milvus", **described("of all its pods"))
    version: str = Field(**described("of the server, 2.6 or newer, like v2.6.4"))
    image: str = Field(default="milvusdb/milvus", **described("without its tag"))
    storage: dict[str, Any] = Field(**nested(BucketSpec, "Where its segments are."))
    etcd: dict[str, Any] = Field(default_factory=dict, **nested(EtcdSpec, "Where its metadata is."))
    coordinator: dict[str, Any] = _part("Who assigns work.")
    proxy: dict[str, Any] = _part("Who is asked.")
    query: dict[str, Any] = _part("Who searches.")
    data: dict[str, Any] = _part("Who compacts and builds indexes.")
    streaming: dict[str, Any] = _part("Who writes the log.")
    gpu: dict[str, Any] | None = Field(
        default_factory=dict, **nested(GpuSpec, "What is on a GPU; null: nothing.")
    )
    apply: dict[str, Any] = Field(
        default_factory=dict, **nested(ApplySpec, "How it reaches the cluster.")
    )

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """Assets, checks, jobs and schedule of this database.

        Raises:
            ConfigurationError: names the field, its value and what is allowed.
        """
        attributes = self.model_dump(exclude_unset=True)
        spec = declared(VectorDatabaseSpec, attributes, context.path, noun="a vector database")
        return build_applied(Applied("vector_database", spec, lambda: render_vector_database(spec)))
