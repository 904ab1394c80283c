"""Collecting what nobody needs: collections and shard files outside kept releases and heads.

Only what is this platform's is ever dropped: another one may use the same server for a knowledge
base of the same name.
"""

from collections.abc import Sequence

from platform_pipelines.core.knowledge_base.revision import Revision
from platform_pipelines.core.road.releases import ReleaseEntry, collectable, retained
from platform_pipelines.gateways.vector_store import VectorStore
from platform_pipelines.stages.knowledge_base.owned import owned_collections
from platform_pipelines.stages.knowledge_base.revisions import read_revision, revision_key
from platform_pipelines.stages.knowledge_base.workspace import STAGES, Workspace

SHARD_FOLDERS = ("documents", "chunks", "vectors")


def collect(
    workspace: Workspace,
    store: VectorStore,
    entries: Sequence[ReleaseEntry],
    newest: Revision,
) -> list[str]:
    """Drop what neither a kept release, the candidate nor a head refers to."""
    keep = workspace.spec.release.keep
    existing = owned_collections(workspace, store)
    dropped = collectable(sorted(existing), entries, keep=keep, protected=[newest.collection])
    for collection in dropped:
        workspace.deadline.check("dropping old collections")
        store.drop(collection)
    kept = [r.revision for r in retained(entries, keep, existing=existing)]
    _collect_files(workspace, {newest.digest, *kept})
    return dropped


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
