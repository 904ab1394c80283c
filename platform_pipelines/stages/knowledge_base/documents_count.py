"""How many documents of each kind there are, and what people are told of those not wholly read."""

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from platform_pipelines.core.knowledge_base.documents import Reason, notes_from_json
from platform_pipelines.core.knowledge_base.text import shortened
from platform_pipelines.core.road.snapshot import ShardRecord
from platform_pipelines.gateways.object_store import ObjectStore
from platform_pipelines.stages.knowledge_base.tables import read_table, rows_at

if TYPE_CHECKING:
    import pyarrow as pa

MAX_LISTED_QUARANTINE = 200
NOTES_CHARACTERS = 300  # of one document, in the list for people
NOTED = "noted"  # counted: parsed documents of which a part was not read
NOTE = "note"  # and by kind, `note:hidden`
Row = dict[str, Any]


def count_documents(
    store: ObjectStore, shards: Sequence[ShardRecord]
) -> tuple[dict[str, Any], dict[str, int]]:
    """The quarantine, and how many documents of each state, type and language.

    The list for people is cut; of the documents that may not be read all keys are kept.
    """
    columns = ["key", "state", "type", "language", "reason", "detail", "size_bytes", "notes"]
    totals: Counter[str] = Counter({"parsed": 0, "quarantined": 0, NOTED: 0})
    quarantine: list[Row] = []
    noted: list[Row] = []
    forbidden: list[str] = []
    for shard in shards:
        table = read_table(store, shard.path, columns)
        states, types, languages = (table.column(name).to_pylist() for name in columns[1:4])
        kinds = Counter(zip(states, types, languages, strict=True))
        for (state, kind, language), n in kinds.items():
            totals[state] += n
            if state == "parsed":
                totals.update({f"type:{kind}": n, f"language:{language}": n})
        totals["bytes"] += sum(table.column("size_bytes").to_pylist())
        for row in _to_tell(table, states):
            if row["state"] == "parsed":
                _count_notes(row, totals, noted)
                continue
            if row["reason"] == Reason.FORBIDDEN:
                forbidden.append(row["key"])
            if len(quarantine) < MAX_LISTED_QUARANTINE:
                quarantine.append({k: row[k] for k in ("key", "reason", "detail")})
    return {"quarantine": quarantine, "forbidden": forbidden, "noted": noted}, dict(totals)


def _to_tell(table: "pa.Table", states: Sequence[str]) -> list[Row]:
    """Rows of documents that were not read, or not wholly."""
    # A file of an earlier version has no notes.
    column = table.column("notes" if "notes" in table.column_names else "reason").to_pylist()
    told = enumerate(zip(states, column, strict=True))
    places = [place for place, (state, note) in told if note or state != "parsed"]
    return rows_at(table, places).to_pylist() if places else []


def _count_notes(row: Row, totals: Counter[str], noted: list[Row]) -> None:
    notes = notes_from_json(row.get("notes", ""))  # a file of an earlier version has none
    totals[NOTED] += bool(notes)
    for kind in {note.kind for note in notes}:
        totals[f"{NOTE}:{kind}"] += 1
    if notes and len(noted) < MAX_LISTED_QUARANTINE:
        told = "; ".join(f"{n.kind}: {n.what}{f' x{n.times}' * (n.times > 1)}" for n in notes)
        noted.append({"key": row["key"], "not_read": shortened(told, NOTES_CHARACTERS)})
