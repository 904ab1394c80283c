"""The pointer that readers of a knowledge base follow: the alias of its collection."""

from collections.abc import Collection
from dataclasses import dataclass

from platform_pipelines.core.knowledge_base.revision import alias_name, collection_prefix
from platform_pipelines.gateways.vector_store import VectorStore
from platform_pipelines.stages.knowledge_base.collect import refuse_foreign_alias
from platform_pipelines.stages.knowledge_base.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Alias:
    """A `ReleaseTarget`: targets are collections."""

    workspace: Workspace
    store: VectorStore

    def pointed(self) -> str | None:
        """The collection that readers search."""
        return self.store.alias(alias_name(self.workspace.name))

    def point(self, target: str) -> None:
        """Let readers search a collection; idempotent.

        Raises:
            ConfigurationError: the alias belongs to another store.
            UnknownNameError: the collection is gone.
        """
        refuse_foreign_alias(self.workspace, self.pointed())
        self.store.point_alias(alias_name(self.workspace.name), target)

    def existing(self) -> Collection[str]:
        """The collections of this knowledge base."""
        return self.store.collections(collection_prefix(self.workspace.name))
