"""The slots of a knowledge base in its store: one record a collection that is this platform's."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from platform_pipelines.core.knowledge_base.revision import Revision, collection_of
from platform_pipelines.core.knowledge_base.slots import Slot, SlotState, intact, slot_from_json
from platform_pipelines.core.road.records import VERSION
from platform_pipelines.core.road.releases import ReleaseEntry, retained
from platform_pipelines.gateways.vector_store import VectorStore
from platform_pipelines.stages.knowledge_base.owned import owned_collections
from platform_pipelines.stages.knowledge_base.revisions import revision_names
from platform_pipelines.stages.knowledge_base.workspace import Workspace

SLOTS = "slots"


@dataclass(frozen=True, slots=True)
class Slots:
    """What was read: records of this platform's own, and which of their collections exist."""

    records: dict[str, Slot]  # by collection
    existing: frozenset[str]

    def standing(self) -> list[Slot]:
        """The slots whose collection exists."""
        return [slot for name, slot in sorted(self.records.items()) if name in self.existing]

    def of(self, revision: Revision) -> Slot | None:
        """The slot that holds a revision, or else one that is being brought to it."""
        digest = revision.digest
        holding = [s for s in self.records.values() if s.revision == digest]
        coming = [s for s in self.records.values() if s.target == digest]
        ordered = sorted(holding, key=lambda s: (not s.is_whole, s.collection not in self.existing))
        return next(iter([*ordered, *coming]), None)

    def intact(self, entries: Sequence[ReleaseEntry]) -> set[str]:
        """The collections that readers can be pointed to."""
        return intact(self.standing(), entries)

    def kept(self, entries: Sequence[ReleaseEntry], keep: int) -> set[str]:
        """The collections that stay as they are: those of the live revision and for rollback."""
        return {one.target for one in retained(entries, keep, existing=self.intact(entries))}

    def loose(self, entries: Sequence[ReleaseEntry], keep: int) -> list[Slot]:
        """Those that nobody reads: never released ones first, then the last that was released."""
        kept = self.kept(entries, keep)
        order = {entry.target: -entry.sequence for entry in entries}
        free = [slot for slot in self.standing() if slot.collection not in kept]
        intact_now = self.intact(entries)
        return sorted(
            free,
            key=lambda s: (
                s.state is SlotState.SPARE or s.collection in intact_now,
                order.get(s.collection, 0),
                s.collection,
            ),
        )


def slot_key(collection: str) -> str:
    """Where the record of a collection is."""
    return f"{SLOTS}/{collection}.json"


def read_slots(workspace: Workspace, store: VectorStore) -> Slots:
    """All slots of this platform's; a collection of an earlier version has one without a record.

    Raises:
        IntegrityError: a record is damaged.
    """
    owner = workspace.identity().owner
    records: dict[str, Slot] = {}
    for batch in workspace.store.list_objects(SLOTS):
        for item in batch:
            data, _ = workspace.store.get(item.key)
            slot = slot_from_json(data, where=f"{workspace.store.url}/{item.key}")
            if slot.owner == owner:
                records[slot.collection] = slot
    existing = frozenset(owned_collections(workspace, store))
    unrecorded = existing - records.keys()
    made = _made_before(workspace) if unrecorded else {}
    for name in unrecorded:
        # Earlier versions built every collection for one revision, and never took a row out of it.
        digest = made.get(name, "")
        state = SlotState.SEALED if digest else SlotState.FILLING
        records[name] = Slot(name, owner, digest, digest, state, rows=0)
    return Slots(records, existing)


def read_slot(workspace: Workspace, collection: str) -> Slot | None:
    """One slot as it is stored; None for a collection of an earlier version.

    Raises:
        IntegrityError: the record is damaged.
    """
    key = slot_key(collection)
    if workspace.store.head(key) is None:
        return None
    data, _ = workspace.store.get(key)
    return slot_from_json(data, where=f"{workspace.store.url}/{key}")


def write_slot(workspace: Workspace, slot: Slot) -> Slot:
    """Keep a slot's new state; returns it."""
    fresh = replace(slot, written_by=VERSION)  # its fields, not the text that it was read from
    workspace.deadline.check_leases()
    workspace.store.put(slot_key(slot.collection), fresh.to_json().encode())
    return fresh


def forget_slots(workspace: Workspace, collections: Sequence[str]) -> None:
    """Delete the records of collections that are gone."""
    workspace.store.delete([slot_key(one) for one in collections])


def _made_before(workspace: Workspace) -> dict[str, str]:
    prefix = workspace.spec.index.prefix
    return {
        collection_of(workspace.name, digest, prefix): digest
        for digest in revision_names(workspace.store)
    }
