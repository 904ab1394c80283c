"""The pointer that readers follow: the alias is the projection of the release log."""

from platform_pipelines.core.knowledge_base.revision import alias_name, collection_prefix
from platform_pipelines.core.road.releases import ReleaseEntry, drift
from platform_pipelines.gateways.vector_store import VectorStore
from platform_pipelines.stages.knowledge_base import connect
from platform_pipelines.stages.knowledge_base.collect import refuse_foreign_alias
from platform_pipelines.stages.knowledge_base.workspace import POINTER, Workspace


def point(workspace: Workspace, store: VectorStore, entry: ReleaseEntry) -> None:
    """Let readers follow an entry of the log; idempotent.

    Raises:
        ConfigurationError: the alias belongs to another store.
        UnknownNameError: the collection is gone.
    """
    alias = alias_name(workspace.name)
    refuse_foreign_alias(workspace, store.alias(alias))
    store.point_alias(alias, entry.collection)


def repair_alias(workspace: Workspace, store: VectorStore) -> None:
    """Finish what a run that was killed between the log and the alias left undone."""
    log = connect.release_log(workspace.store, workspace.name)
    live = log.head()
    if drift(live, store.alias(alias_name(workspace.name))) is None:
        return
    with workspace.lease(POINTER):
        live = log.head()
        existing = store.collections(collection_prefix(workspace.name))
        if live is not None and live.collection in existing:
            point(workspace, store, live)
            workspace.progress(f"release {live.sequence}: readers are pointed to it again")
