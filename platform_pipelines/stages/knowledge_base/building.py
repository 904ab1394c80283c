"""Making a collection hold a revision: a fresh one, or one that nobody reads, brought to it.

The slot is written before the first change and after each step (see `core.knowledge_base.slots`),
so that what a killed run leaves converges by the same difference.
"""

from collections import deque
from collections.abc import Collection
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import count

from platform_pipelines.core.knowledge_base.ids import ids_mark
from platform_pipelines.core.knowledge_base.revision import Revision, collection_of
from platform_pipelines.core.knowledge_base.slots import (
    Difference,
    Slot,
    SlotState,
    difference,
    shape,
)
from platform_pipelines.errors import EvidenceError, IntegrityError
from platform_pipelines.gateways.vector_store import CollectionSpec, VectorStore
from platform_pipelines.stages.knowledge_base.owned import require_owned
from platform_pipelines.stages.knowledge_base.revisions import find_revision
from platform_pipelines.stages.knowledge_base.rows import chunk_ids, compare_rows, row_batches
from platform_pipelines.stages.knowledge_base.slots import Slots, read_slots, write_slot
from platform_pipelines.stages.knowledge_base.workspace import Workspace
from platform_pipelines.stages.road import connect as road

INSERTERS = 2
SEAL_SECONDS = 1800.0


@dataclass(frozen=True, slots=True)
class Built:
    """Where a revision is now, and what that took."""

    collection: str
    inserted: int = 0
    deleted: int = 0
    how: str = "it stood already"

    @property
    def told(self) -> str:
        """For people."""
        return f"{self.inserted:,} inserted, {self.deleted:,} deleted: {self.how}"


@dataclass(frozen=True, slots=True)
class _Chosen:
    """The collection to work on, and how its rows differ where that is known from the files."""

    slot: Slot
    how: str
    exists: bool
    known: Difference | None = None


def collection_spec(revision: Revision, collection: str) -> CollectionSpec:
    """What a collection is in the vector store when it holds the revision."""
    index = revision.index
    return CollectionSpec(
        name=collection,
        dimension=revision.dimension,
        metric=index["metric"],
        index_kind=index["kind"],
        keyword=index["keyword"],
        index_parameters=index["index_parameters"],
        search_parameters=index["search_parameters"],
    )


def is_whole(store: VectorStore, revision: Revision, collection: str) -> bool:
    """Whether all rows are in and sealed; counted last: a server counts only what is loaded."""
    sealed = store.is_sealed(collection_spec(revision, collection))
    return sealed and store.count(collection) == revision.rows


def ensure_collection(
    workspace: Workspace,
    store: VectorStore,
    revision: Revision,
    *,
    at: str = "",
    recycle: bool = False,
) -> Built:
    """Let a collection hold a revision, from the revision's own files.

    Args:
        workspace: under the writer's lease.
        store: where the collection is.
        revision: a candidate, or a live revision whose collection was lost.
        at: the collection that has to hold it; without, the one that does, or another.
        recycle: a collection that nobody reads may be changed for it.

    Raises:
        IntegrityError: its files do not agree, or the store does not hold what was inserted.
        OwnershipError: another platform made a collection of that name.
    """
    slots = read_slots(workspace, store)
    slot = slots.records.get(at) if at else slots.of(revision)
    exists = slot is not None and slot.collection in slots.existing
    if slot and exists and _holds(store, slot, revision):
        return Built(slot.collection)
    if slot is not None:
        chosen = _finishing(workspace, revision, slot, exists=exists)
    else:
        chosen = _choose(workspace, store, slots, revision, at=at, recycle=recycle)
    workspace.progress(f"index: {revision.rows:,} chunks in {chosen.slot.collection}, {chosen.how}")
    return _Building(workspace, store, revision, chosen).run()


def sealed_collection(workspace: Workspace, store: VectorStore, revision: Revision) -> str:
    """The collection that holds a revision whole.

    Raises:
        EvidenceError: none does now; another run is changing it, or it was lost.
    """
    slot = read_slots(workspace, store).of(revision)
    if slot is None or slot.state is not SlotState.SEALED or slot.revision != revision.digest:
        raise EvidenceError(
            "no collection holds the candidate",
            where=workspace.name,
            stored=f"{slot.collection} is {slot.state}" if slot else "none",
            expected=f"revision {revision.digest}",
            remedy=f"run the job {workspace.name}_refresh, or materialise index first",
        )
    return slot.collection


def _holds(store: VectorStore, slot: Slot, revision: Revision) -> bool:
    sealed = slot.revision == revision.digest and slot.state is SlotState.SEALED
    return sealed and is_whole(store, revision, slot.collection)


def _finishing(workspace: Workspace, revision: Revision, slot: Slot, *, exists: bool) -> _Chosen:
    """What a killed run left, or what was lost."""
    if not exists:
        return _Chosen(slot, "built afresh: the vector store lost it", exists=False)
    if slot.revision == revision.digest:
        return _Chosen(slot, "made whole again", exists=True)
    base = find_revision(workspace.store, slot.revision)
    # Without the files of what it held no row of it can be trusted: none is taken over.
    known = compare_rows(workspace, base, revision) if base else None
    return _Chosen(slot, f"recycled {slot.collection}, continued", exists=True, known=known)


def _choose(
    workspace: Workspace,
    store: VectorStore,
    slots: Slots,
    revision: Revision,
    *,
    at: str,
    recycle: bool,
) -> _Chosen:
    """A collection that nobody reads, or a fresh one and why."""
    why = "it was lost" if not recycle else "no collection is spare yet"
    for slot in _loose(workspace, slots) if recycle else ():
        base = find_revision(workspace.store, slot.revision)
        if base is None or shape(base) != shape(revision):
            why = f"{slot.collection} was made with another index, embedder, tenant or shards"
            continue
        known = compare_rows(workspace, base, revision)
        if known is None:
            why = f"the files that {slot.collection} was made of are gone"
            continue
        dead = replace(slot, dead=slot.dead + len(known.delete), rows=revision.rows).dead_share
        if dead > workspace.spec.index.max_dead_share:
            why = f"{dead:.0%} of {slot.collection} would be deleted rows (index.max_dead_share)"
            continue
        return _Chosen(slot, f"recycled {slot.collection}", exists=True, known=known)
    name = at or _fresh_name(workspace, store, revision, slots)
    if name in store.collections(workspace.collection_prefix):
        require_owned(workspace, store, name)
    owner, digest = workspace.identity().owner, revision.digest
    slot = Slot(name, owner, digest, digest, SlotState.FILLING, revision.rows)
    return _Chosen(slot, f"built afresh: {why}", exists=False)


def _loose(workspace: Workspace, slots: Slots) -> list[Slot]:
    entries = road.release_log(workspace.store, workspace.name).entries()
    return slots.loose(entries, workspace.spec.release.keep)


def _fresh_name(workspace: Workspace, store: VectorStore, revision: Revision, slots: Slots) -> str:
    """Named for its first revision; numbered where that collection holds another one by now."""
    name = collection_of(workspace.name, revision.digest, workspace.spec.index.prefix)
    taken = set(store.collections(name))
    for number in count(1):
        numbered = name if number == 1 else f"{name}_{number}"
        if numbered in taken and numbered not in slots.existing:
            require_owned(workspace, store, numbered)
        if numbered not in taken and numbered not in slots.records:
            return numbered
    raise AssertionError("numbers do not end")


class _Building:
    """One collection on its way to one revision."""

    def __init__(
        self, workspace: Workspace, store: VectorStore, revision: Revision, chosen: _Chosen
    ) -> None:
        self._workspace = workspace
        self._store = store
        self._revision = revision
        self._chosen = chosen
        self._slot = chosen.slot
        self._spec = collection_spec(revision, chosen.slot.collection)
        self._inserted = 0
        self._deleted = 0

    def run(self) -> Built:
        if not self._chosen.exists:
            self._fill_afresh()
        elif self._chosen.slot.is_whole and self._chosen.known is not None:
            self._apply(self._chosen.known)
        else:
            self._apply_listed()
        self._seal()
        if not self._is_exact():
            if self._chosen.exists:
                self._apply_listed()  # something else than this platform changed it
                self._seal()
            self._require_exact()
        self._write(SlotState.SEALED, revision=self._revision.digest)
        built = Built(self._spec.name, self._inserted, self._deleted, self._chosen.how)
        self._workspace.progress(f"index: {built.told}")
        return built

    def _fill_afresh(self) -> None:
        self._slot = replace(self._slot, dead=0)
        self._write(SlotState.FILLING, revision=self._revision.digest)
        self._store.create(self._spec, owner=self._slot.owner)
        self._insert(None)

    def _apply_listed(self) -> None:
        """By what the collection lists: a killed run left a part of it."""
        self._seal()  # what is not loaded cannot be listed
        wanted = frozenset(chunk_ids(self._workspace, self._revision))
        stale: Collection[str] = ()
        if self._slot.revision != self._revision.digest:
            stale = self._chosen.known.delete if self._chosen.known else wanted
        present = self._store.chunk_ids(self._spec.name)
        self._apply(difference(present, wanted, stale=stale))

    def _apply(self, found: Difference) -> None:
        """Rows that differ go, the slot says the new revision, its new rows come."""
        if self._slot.revision != self._revision.digest or found.delete:
            self._slot = replace(self._slot, dead=self._slot.dead + len(found.delete))
            self._write(SlotState.EMPTYING, revision=self._slot.revision)
            self._delete(found.delete)
        self._write(SlotState.FILLING, revision=self._revision.digest)
        self._insert(found.insert)

    def _write(self, state: SlotState, *, revision: str) -> None:
        self._slot = write_slot(
            self._workspace,
            replace(
                self._slot,
                state=state,
                revision=revision,
                target=self._revision.digest,
                rows=self._revision.rows,
            ),
        )

    def _delete(self, ids: Collection[str]) -> None:
        if ids:
            self._workspace.deadline.check("indexing")
            self._store.delete(self._spec.name, sorted(ids))
            self._deleted += len(ids)

    def _insert(self, only: Collection[str] | None) -> None:
        """While one batch is stored, one is encoded and one is made."""
        workspace, rows = self._workspace, self._revision.rows if only is None else len(only)
        waiting: deque[Future[int]] = deque()
        with ThreadPoolExecutor(max_workers=INSERTERS) as inserters:
            for batch in row_batches(workspace, self._revision, only):
                if len(waiting) == INSERTERS:
                    self._inserted += waiting.popleft().result()
                    workspace.progress(f"index: {self._inserted:,} of {rows:,} chunks inserted")
                workspace.deadline.check("indexing")
                waiting.append(inserters.submit(self._store.insert, self._spec.name, batch))
            self._inserted += sum(one.result() for one in waiting)

    def _seal(self) -> None:
        self._store.seal(self._spec, timeout_seconds=SEAL_SECONDS)

    def _is_exact(self) -> bool:
        """Whether exactly the revision's ids are stored; a fresh collection is only counted."""
        if not self._chosen.exists:
            return self._store.count(self._spec.name) == self._revision.rows
        wanted = ids_mark(chunk_ids(self._workspace, self._revision))
        return self._store.ids_mark(self._spec.name) == wanted

    def _require_exact(self) -> None:
        if not self._is_exact():
            raise IntegrityError(
                "the index does not hold what was inserted",
                where=self._spec.name,
                stored=f"{self._store.count(self._spec.name):,} chunks",
                expected=f"the {self._revision.rows:,} chunks of {self._revision.digest}",
                remedy="drop the collection and run again; it will be built anew",
            )
