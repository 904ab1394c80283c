"""Hits of a local Milvus, made as cheaply as they can be.

Milvus Lite makes every column of every hit, a vector's numbers one by one, before it keeps those
that were asked for (3.2.2): half of the server's time of a search with 100 hits. Exit: Milvus Lite
projects before it makes rows.
"""

import threading
from collections.abc import Sequence
from typing import Any

from platform_pipelines.gateways.milvus.library import milvus_lite


class ShownRows:
    """What a collection of Milvus Lite answers searches with: of a hit, what is shown is made."""

    def __init__(self, collection: Any) -> None:
        self._search = collection.search
        self._key = collection._pk_name

    def search(self, *given: Any, **asked: Any) -> Any:
        """In the place of `Collection.search`."""
        shown = asked.get("output_fields")
        is_plain = not (asked.get("ranker") or asked.get("group_by_field"))
        if shown is None or "*" in shown or not is_plain:
            return self._search(*given, **asked)
        _SHOWN.files = _Files(self._key, shown)
        try:
            return self._search(*given, **asked)
        finally:
            _SHOWN.files = None


class _Files:
    """Columns of the files that one search has hits of: looking one up takes longer than a cell."""

    def __init__(self, key: str, names: Sequence[str]) -> None:
        self.key = key
        self._names = frozenset((key, *names))
        self._found: dict[int, dict[str, Any]] = {}

    def columns(self, segment: Any) -> dict[str, Any]:
        known = self._found.get(id(segment))
        if known is None:
            known = {n: c for n, c in _columns(segment).items() if n in self._names}
            self._found[id(segment)] = known
        return known


_SHOWN = threading.local()  # `files`: of the search that this thread answers


def quick_rows() -> None:
    """Let a hit's vector come from its file's matrix at once, not number by number."""
    segments: Any = milvus_lite("storage.segment").Segment
    slow = segments.row_to_dict

    def row_to_dict(self: Any, row: int) -> dict[str, Any]:
        """In the place of `Segment.row_to_dict`."""
        if "$meta" in self.table.schema.names or self.vector_null_mask is not None:
            return slow(self, row)
        files: _Files | None = getattr(_SHOWN, "files", None)
        columns = _columns(self) if files is None else files.columns(self)
        made = {
            name: self.vectors[row].tolist() if name == self._vector_field else column[row].as_py()
            for name, column in columns.items()
        }
        return made if files is None else _Shown(made)

    segments.row_to_dict = row_to_dict


class _Shown(dict[str, Any]):
    """A row that holds what is shown, and its key."""


def quick_replies() -> None:
    """Let what is shown already be shown as it is, and a text be sent without asking what it is."""
    collections: Any = milvus_lite("engine.collection")
    records: Any = milvus_lite("adapter.grpc.translators.records")
    project, coerce = collections.project_record, records._coerce_for
    text = milvus_lite("schema.types").DataType.VARCHAR

    def project_record(record: dict[str, Any], schema: Any, plan: Any) -> dict[str, Any]:
        """In the place of Milvus Lite's, which looks through the schema for each row."""
        files: _Files | None = getattr(_SHOWN, "files", None)
        if files is None or type(record) is not _Shown:
            return project(record, schema, plan)
        return {name: value for name, value in record.items() if name != files.key}

    def coerce_for(kind: Any, value: Any) -> Any:
        """In the place of Milvus Lite's, whose texts come last."""
        return value if kind is text and type(value) is str else coerce(kind, value)

    collections.project_record = project_record
    records._coerce_for = coerce_for


def _columns(segment: Any) -> dict[str, Any]:
    table = segment.table
    return {name: table.column(name) for name in table.schema.names if name != "_seq"}
