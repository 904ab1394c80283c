"""Collecting what nobody needs: collections and shard files outside kept releases and heads.

Only what is this platform's is ever dropped: another one may use the same server for a knowledge
base of the same name.
"""

from collections.abc import Sequence
from dataclasses import replace

from platform_pipelines.compute.plans import TASKS
from platform_pipelines.core.knowledge_base.revision import Revision
from platform_pipelines.core.knowledge_base.slots import Slot, SlotState, shape
from platform_pipelines.core.road.releases import ReleaseEntry, retained
from platform_pipelines.gateways.vector_store import VectorStore
from platform_pipelines.stages.knowledge_base.findings import FOLDER as FINDINGS
from platform_pipelines.stages.knowledge_base.findings import findings_path
from platform_pipelines.stages.knowledge_base.layers import with_bases
from platform_pipelines.stages.knowledge_base.revisions import find_revision
from platform_pipelines.stages.knowledge_base.slots import forget_slots, read_slots, write_slot
from platform_pipelines.stages.knowledge_base.terms import FOLDER as TERMS
from platform_pipelines.stages.knowledge_base.terms import terms_key
from platform_pipelines.stages.knowledge_base.workspace import STAGES, Workspace

# Plans and records of tasks are needed until their stage has moved its head.
SHARD_FOLDERS = ("documents", "chunks", "vectors", FINDINGS, TERMS, TASKS)


def collect(
    workspace: Workspace,
    store: VectorStore,
    entries: Sequence[ReleaseEntry],
    newest: Revision,
    collection: str,
) -> list[str]:
    """Keep `release.keep` releases, the candidate in `collection` and one spare; drop the others.

    The spare is unloaded; rollback does not offer it, since the next candidate may be made of it.
    """
    keep = workspace.spec.release.keep
    slots = read_slots(workspace, store)
    protected = {collection, store.alias(workspace.alias)}
    loose = [s for s in slots.loose(entries, keep) if s.collection not in protected]
    spare = next((s for s in loose if _is_fit(workspace, s, newest)), None)
    if spare is not None:
        _unload(workspace, store, spare)
    dropped = [s.collection for s in loose if s is not spare]
    for one in dropped:
        workspace.deadline.check("dropping old collections")
        store.drop(one)
    stays = slots.kept(entries, keep) | protected
    gone = slots.records.keys() - slots.existing - stays
    forget_slots(workspace, sorted({*dropped, *gone}))
    kept = retained(entries, keep, existing=slots.intact(entries))
    _collect_files(workspace, {newest.digest, *(r.revision for r in kept)}, spare)
    return sorted(dropped)


def _is_fit(workspace: Workspace, slot: Slot, newest: Revision) -> bool:
    """Whether the next candidate can be made of a collection."""
    if not slot.is_whole or slot.dead_share > workspace.spec.index.max_dead_share:
        return False
    revision = find_revision(workspace.store, slot.revision)
    return revision is not None and shape(revision) == shape(newest)


def _unload(workspace: Workspace, store: VectorStore, spare: Slot) -> None:
    if spare.state is not SlotState.SPARE:
        write_slot(workspace, replace(spare, state=SlotState.SPARE))
    store.unload(spare.collection)


def _collect_files(workspace: Workspace, revisions: set[str], spare: Slot | None) -> None:
    wanted: set[str] = set()
    for stage in STAGES:
        head, _ = workspace.head(stage)
        wanted |= {shard.path for shard in head.shards} if head else set()
    for digest in revisions:
        revision = find_revision(workspace.store, digest)
        if revision is not None:
            wanted |= {s.path for s in (*revision.chunks, *revision.vectors)}
            wanted.add(terms_key(revision))
    base = find_revision(workspace.store, spare.revision) if spare else None
    wanted |= {s.path for s in base.chunks} if base else set()  # to know which rows differ
    wanted |= {findings_path(path) for path in wanted if path.startswith("chunks/")}
    wanted = with_bases(wanted)
    stored = (
        item.key
        for folder in SHARD_FOLDERS
        for batch in workspace.store.list_objects(folder)
        for item in batch
    )
    workspace.store.delete([key for key in stored if key not in wanted])
