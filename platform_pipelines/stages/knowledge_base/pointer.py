"""The pointer that readers of a knowledge base follow: the alias of its collection."""

from collections.abc import Collection
from dataclasses import dataclass

from platform_pipelines.gateways.vector_store import VectorStore
from platform_pipelines.stages.knowledge_base.owned import refuse_foreign_alias
from platform_pipelines.stages.knowledge_base.slots import read_slots
from platform_pipelines.stages.knowledge_base.workspace import Workspace
from platform_pipelines.stages.road.connect import release_log


@dataclass(frozen=True, slots=True)
class Alias:
    """A `ReleaseTarget`: targets are collections."""

    workspace: Workspace
    store: VectorStore

    def pointed(self) -> str | None:
        """The collection that readers search."""
        return self.store.alias(self.workspace.alias)

    def point(self, target: str) -> None:
        """Let readers search a collection; idempotent.

        Raises:
            OwnershipError: the alias belongs to another platform.
            UnknownNameError: the collection is gone.
        """
        refuse_foreign_alias(self.workspace, self.store)
        self.store.point_alias(self.workspace.alias, target)

    def existing(self) -> Collection[str]:
        """The collections that hold, whole, the revision that was last released there."""
        entries = release_log(self.workspace.store, self.workspace.name).entries()
        return read_slots(self.workspace, self.store).intact(entries)
