"""Collecting what nobody needs: collections and shard files outside kept releases and heads.

Only what this store has a revision record of is ever dropped: another store may use the same server
for a knowledge base of the same name.
"""

from collections.abc import Sequence

from platform_pipelines.compute.plans import TASKS
from platform_pipelines.core.knowledge_base.revision import (
    Revision,
    collection_of,
    collection_prefix,
)
from platform_pipelines.core.road.releases import ReleaseEntry, collectable, retained
from platform_pipelines.errors import ConfigurationError
from platform_pipelines.gateways.vector_store import VectorStore
from platform_pipelines.stages.knowledge_base.revisions import (
    REVISIONS,
    read_revision,
    revision_key,
)
from platform_pipelines.stages.knowledge_base.workspace import STAGES, Workspace

# Plans and records of tasks are needed until their stage has moved its head.
SHARD_FOLDERS = ("documents", "chunks", "vectors", TASKS)


def collect(
    workspace: Workspace,
    store: VectorStore,
    entries: Sequence[ReleaseEntry],
    newest: Revision,
) -> list[str]:
    """Drop what neither a kept release, the candidate nor a head refers to."""
    keep = workspace.spec.release.keep
    existing = set(store.collections(collection_prefix(workspace.name)))
    ours = existing & own_collections(workspace)
    dropped = collectable(sorted(ours), entries, keep=keep, protected=[newest.collection])
    for collection in dropped:
        workspace.deadline.check("dropping old collections")
        store.drop(collection)
    kept = [r.revision for r in retained(entries, keep, existing=existing)]
    _collect_files(workspace, {newest.digest, *kept})
    return dropped


def own_collections(workspace: Workspace) -> set[str]:
    """The collections that this store has a record of, whether they still exist or not."""
    return {
        collection_of(workspace.name, item.key.rpartition("/")[2].removesuffix(".json"))
        for batch in workspace.store.list_objects(REVISIONS)
        for item in batch
    }


def refuse_foreign_alias(workspace: Workspace, points_to: str | None) -> None:
    """Another store's release under the same name must not be taken over.

    Raises:
        ConfigurationError: the alias points to a collection that this store never made.
    """
    if points_to is None or points_to in own_collections(workspace):
        return
    raise ConfigurationError(
        f"the alias of {workspace.name!r} points to a collection that this store did not make",
        where=workspace.store.url,
        stored=points_to,
        remedy="another store uses this vector store for a knowledge base of the same name: "
        "give one of them another name or another server",
    )


def _collect_files(workspace: Workspace, revisions: set[str]) -> None:
    wanted: set[str] = set()
    for stage in STAGES:
        head, _ = workspace.head(stage)
        wanted |= {shard.path for shard in head.shards} if head else set()
    for digest in revisions:
        if workspace.store.exists(revision_key(digest)):
            revision = read_revision(workspace.store, digest)
            wanted |= {s.path for s in (*revision.chunks, *revision.vectors)}
    stored = (
        item.key
        for folder in SHARD_FOLDERS
        for batch in workspace.store.list_objects(folder)
        for item in batch
    )
    workspace.store.delete([key for key in stored if key not in wanted])
