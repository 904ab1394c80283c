"""What a candidate lacks: documents of the live revision, and parts that nobody could read."""

from collections.abc import Iterable

from platform_pipelines.core.knowledge_base.evidence import (
    Lost,
    Unread,
    lost_documents,
)
from platform_pipelines.core.knowledge_base.revision import Revision
from platform_pipelines.core.road.snapshot import ShardRecord
from platform_pipelines.gateways.object_store import ObjectStore
from platform_pipelines.stages.knowledge_base.documents import STAGE as DOCUMENTS
from platform_pipelines.stages.knowledge_base.documents_count import NOTE, NOTED
from platform_pipelines.stages.knowledge_base.layering import differing, take_rows
from platform_pipelines.stages.knowledge_base.tables import read_table
from platform_pipelines.stages.knowledge_base.workspace import Workspace


def lost_against(
    workspace: Workspace, revision: Revision, baseline: Revision | None
) -> Lost | None:
    """Documents of the live revision that the candidate lacks; only what differs is read."""
    if baseline is None:
        return None
    after = {shard.shard: shard for shard in revision.chunks}
    lost: set[str] = set()
    for was in baseline.chunks:
        is_now = after.get(was.shard)
        if is_now is None or is_now.path != was.path:
            lost |= _lost_of(workspace.store, was, is_now)
    # A document may have gone to another shard: then the revisions are of other shards.
    new = _documents(workspace.store, revision.chunks) if lost else set[str]()
    return lost_documents(lost, new, of=baseline.documents)


def _lost_of(store: ObjectStore, was: ShardRecord, is_now: ShardRecord | None) -> set[str]:
    """Documents that a shard had and has no more; of rows that stay nothing is read."""
    if is_now is None:
        return _documents(store, [was])
    places = differing(store, (was.path, was.rows), (is_now.path, is_now.rows))
    if places is None:
        return _documents(store, [was]) - _documents(store, [is_now])
    names = ["document_key"]
    gone, come = (
        set(take_rows(store, one.path, some.tolist(), names).column(0).to_pylist())
        for one, some in zip((was, is_now), places, strict=True)
    )
    changed = gone - come
    return changed - _documents(store, [is_now]) if changed else set()


def _documents(store: ObjectStore, shards: Iterable[ShardRecord]) -> set[str]:
    columns = (read_table(store, shard.path, ["document_key"]).column(0) for shard in shards)
    return {key for column in columns for key in column.unique().to_pylist()}


def unread_documents(workspace: Workspace) -> Unread | None:
    """What the stage `documents` noted; None where it stands no more, or noted nothing yet."""
    snapshot, _ = workspace.head(DOCUMENTS)
    if snapshot is None or NOTED not in snapshot.counts:
        return None
    prefix = f"{NOTE}:"
    kinds = {k.removeprefix(prefix): n for k, n in snapshot.counts.items() if k.startswith(prefix)}
    return Unread(snapshot.counts.get("parsed", 0), snapshot.counts[NOTED], kinds)
