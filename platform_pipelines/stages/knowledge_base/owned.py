"""Whose a collection is: nobody adopts, changes or drops what another platform made."""

from collections.abc import Iterable

from platform_pipelines.core.knowledge_base.revision import collection_of
from platform_pipelines.core.road.ownership import refuse_foreign
from platform_pipelines.gateways.vector_store import VectorStore
from platform_pipelines.stages.knowledge_base.revisions import revision_names
from platform_pipelines.stages.knowledge_base.workspace import Workspace

REMEDY = (
    "another platform uses this vector store for a knowledge base of the same name: declare an "
    "`index.prefix` of your own, or use another name or another server"
)


def owned_collections(workspace: Workspace, store: VectorStore) -> set[str]:
    """The collections of this knowledge base that exist and are this platform's."""
    return owned(workspace, store, store.collections(workspace.collection_prefix))


def owned(workspace: Workspace, store: VectorStore, collections: Iterable[str]) -> set[str]:
    """Those of some existing collections that are this platform's."""
    identity = workspace.identity()
    owners = {one: store.owner(one) for one in collections}
    known = recorded_collections(workspace) if None in owners.values() else set[str]()
    return {one for one, mark in owners.items() if identity.owns(mark, recorded=one in known)}


def require_owned(workspace: Workspace, store: VectorStore, collection: str) -> None:
    """Whether an existing collection may be changed.

    Raises:
        OwnershipError: it is another platform's; names both owners.
    """
    if collection not in owned(workspace, store, [collection]):
        raise refuse_foreign(
            f"the collection {collection}",
            store.owner(collection),
            workspace.identity(),
            remedy=REMEDY,
        )


def refuse_foreign_alias(
    workspace: Workspace, store: VectorStore, points_to: str | None = None
) -> None:
    """Another platform's release under the same name must not be taken over.

    Raises:
        OwnershipError: the alias points to a collection of another platform.
    """
    target = points_to or store.alias(workspace.alias)
    if target is None or target in owned(workspace, store, [target]):
        return
    raise refuse_foreign(
        f"what the alias {workspace.alias} points to, {target},",
        store.owner(target),
        workspace.identity(),
        remedy=REMEDY,
    )


def recorded_collections(workspace: Workspace) -> set[str]:
    """The collections that earlier versions made, which marked none, whether they still exist."""
    prefix = workspace.spec.index.prefix
    names = revision_names(workspace.store)
    return {collection_of(workspace.name, digest, prefix) for digest in names}
