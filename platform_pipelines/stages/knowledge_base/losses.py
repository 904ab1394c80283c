"""What a candidate lacks: documents of the live revision, and parts that nobody could read."""

from platform_pipelines.core.knowledge_base.evidence import (
    Lost,
    Unread,
    lost_documents,
)
from platform_pipelines.core.knowledge_base.revision import Revision
from platform_pipelines.stages.knowledge_base.documents import NOTE, NOTED
from platform_pipelines.stages.knowledge_base.documents import STAGE as DOCUMENTS
from platform_pipelines.stages.knowledge_base.tables import read_table
from platform_pipelines.stages.knowledge_base.workspace import Workspace


def lost_against(
    workspace: Workspace, revision: Revision, baseline: Revision | None
) -> Lost | None:
    """Documents of the live revision that the candidate lacks; only shards that differ are read."""
    if baseline is None:
        return None
    same = {shard.path for shard in revision.chunks} & {shard.path for shard in baseline.chunks}
    live, new = (
        {
            key
            for shard in one.chunks
            if shard.path not in same
            for key in read_table(workspace.store, shard.path, ["document_key"])
            .column("document_key")
            .unique()
            .to_pylist()
        }
        for one in (baseline, revision)
    )
    return lost_documents(live, new, of=baseline.documents)


def unread_documents(workspace: Workspace) -> Unread | None:
    """What the stage `documents` noted; None where it stands no more, or noted nothing yet."""
    snapshot, _ = workspace.head(DOCUMENTS)
    if snapshot is None or NOTED not in snapshot.counts:
        return None
    prefix = f"{NOTE}:"
    kinds = {k.removeprefix(prefix): n for k, n in snapshot.counts.items() if k.startswith(prefix)}
    return Unread(snapshot.counts.get("parsed", 0), snapshot.counts[NOTED], kinds)
