"""Slots: which revision a collection holds, so that a collection can be brought to another one.

Every row in a collection is a row of its slot's `revision`, at every moment: rows that differ in
the next one go first, then the slot says the next revision, then its new rows come. A run that is
killed anywhere leaves a collection of which this is known.
"""

import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass as plain_dataclass
from enum import StrEnum
from typing import Any

from pydantic.dataclasses import dataclass

from platform_pipelines.core.knowledge_base.revision import Revision
from platform_pipelines.core.road.identity import digest_json
from platform_pipelines.core.road.records import (
    CONFIG,
    VERSION,
    Format,
    Raw,
    plain,
    stored_field,
)
from platform_pipelines.core.road.releases import Action, ReleaseEntry

FORMAT = 1


class SlotState(StrEnum):
    """What a collection holds of its slot's revision."""

    EMPTYING = "emptying"  # a part: rows that `target` does not have are being deleted
    FILLING = "filling"  # a part: rows are being inserted
    SEALED = "sealed"  # all of it, indexed
    SPARE = "spare"  # all of it, unloaded: the next candidate may be made of it


@dataclass(frozen=True, config=CONFIG)
class Slot:
    """One collection of this platform's."""

    collection: str
    owner: str
    revision: str  # every row is one of this revision
    target: str  # the revision that it is being brought to; the same once no row has to go
    state: SlotState
    rows: int  # of the target
    dead: int = 0  # rows that were deleted since the collection was made
    format: int = FORMAT
    written_by: str = VERSION
    stored: Any = stored_field()

    @property
    def is_whole(self) -> bool:
        """Whether all rows of its revision are in it."""
        return self.state in (SlotState.SEALED, SlotState.SPARE)

    @property
    def dead_share(self) -> float:
        """Of all rows that were ever stored and are not compacted for certain."""
        return self.dead / max(1, self.dead + self.rows)

    def to_json(self) -> str:
        """The record as one JSON text."""
        record: Raw = self.stored or plain(self)
        return json.dumps(record, ensure_ascii=False, indent=1)


@plain_dataclass(frozen=True, slots=True)
class Difference:
    """What makes of the rows that are there those that are wanted: delete first, then insert."""

    delete: frozenset[str]
    insert: frozenset[str]


def difference(
    present: Iterable[str], wanted: Collection[str], *, stale: Collection[str] = ()
) -> Difference:
    """Between a collection and a revision.

    Args:
        present: the ids that a collection lists; one that was inserted twice comes twice.
        wanted: the ids of the revision.
        stale: wanted ids whose row in the collection is another revision's: a title or a page
            changed, which the id does not cover.
    """
    seen = Counter(iter(present))  # of a mapping it would take the values
    delete = {i for i, times in seen.items() if times > 1 or i in stale or i not in wanted}
    kept = seen.keys() - delete
    return Difference(frozenset(delete), frozenset(i for i in wanted if i not in kept))


def compared(before: Mapping[str, Any], after: Mapping[str, Any]) -> Difference:
    """Between two revisions' rows, id -> content: those that go or change, and those that come."""
    return Difference(
        frozenset(i for i, row in before.items() if after.get(i) != row),
        frozenset(i for i, row in after.items() if before.get(i) != row),
    )


def shape(revision: Revision) -> str:
    """What two revisions must share for one collection to be brought from one to the other."""
    index = revision.index
    layout = {
        name: index[name]
        for name in ("kind", "metric", "index_parameters", "keyword", "keywords_version")
    }
    return digest_json(
        {
            "index": layout,
            "dimension": revision.dimension,
            "embedder": revision.embedder_digest,
            "tenant": revision.recipe.tenant,
            "shards": revision.recipe.shards,
        }
    )


def intact(slots: Iterable[Slot], entries: Sequence[ReleaseEntry]) -> set[str]:
    """The collections that readers can be pointed to.

    They hold, whole and loaded, the revision that was last released there.
    """
    released = {e.target: e.revision for e in entries if e.action is Action.RELEASE}
    return {
        slot.collection
        for slot in slots
        if slot.state is SlotState.SEALED and released.get(slot.collection) == slot.revision
    }


def slot_from_json(text: str | bytes, *, where: str) -> Slot:
    """The inverse of `Slot.to_json`.

    Raises:
        IntegrityError: not a slot, or of a newer format.
    """
    return _FORMAT.read(_FORMAT.parse(text, where=where), where=where)


_FORMAT = Format(
    kind="a slot",
    model=Slot,
    current=FORMAT,
    remedy="delete this file and drop the collection of that name; the next run builds it anew",
)
