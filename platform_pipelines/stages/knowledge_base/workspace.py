"""What every stage of a knowledge base works with: the road's workspace and the declaration."""

from collections.abc import Collection
from dataclasses import dataclass

from platform_pipelines.core.knowledge_base.declaration import KnowledgeBaseSpec
from platform_pipelines.core.knowledge_base.revision import alias_name, collection_prefix
from platform_pipelines.stages.knowledge_base import connect
from platform_pipelines.stages.knowledge_base.layers import with_bases
from platform_pipelines.stages.road import workspace as road

STAGES = ("documents", "chunks", "vectors", "index", "evidence", "release")


@dataclass(frozen=True, slots=True, kw_only=True)
class Workspace(road.Workspace):
    """One knowledge base, as one run sees it."""

    spec: KnowledgeBaseSpec

    @property
    def alias(self) -> str:
        """The alias that readers follow."""
        return alias_name(self.name, self.spec.index.prefix)

    @property
    def collection_prefix(self) -> str:
        """What the names of all its collections start with."""
        return collection_prefix(self.name, self.spec.index.prefix)

    def read_from(self, path: str) -> Collection[str]:
        """See `stages.road.workspace.Workspace`."""
        return with_bases([path])


open_workspace = road.opener(Workspace, connect.FOLDER)
