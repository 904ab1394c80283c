"""Which rows of a local Milvus are live, known without a look at each.

Milvus Lite (3.2.2) looks at each row in a loop, in every search, count and query, to know which is
the newest of its id and not deleted (`build_valid_mask`, and the same in
`execute_search_with_index`): 1 us a row and call. Here only deleted ids, and ids that two files
share, are looked at. It also makes every column of every row before it lists ids, 0.2 ms a row, and
each refresh compares all ids. Exit: Milvus Lite keeps what is live, and projects before it makes
rows.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Any

from platform_pipelines.gateways.milvus.library import milvus_lite

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


def live_rows(segments: Sequence[Any], deleted: Any) -> "list[npt.NDArray[np.bool_]]":
    """Of each file, which rows are the newest of their id and not deleted."""
    import numpy as np

    if any(len(one.pk_to_row) != one.num_rows for one in segments):  # an id twice in one file
        return _looked_at(segments, deleted)
    masks = [np.ones(segment.num_rows, bool) for segment in segments]
    for at, row in _older(segments):
        masks[at][row] = False
    for key, number in deleted._map.items():
        for segment, mask in zip(segments, masks, strict=True):
            row = segment.pk_to_row.get(key)
            if row is not None and number > segment.seqs[row]:
                mask[row] = False
    return masks


def _older(segments: Sequence[Any]) -> tuple[tuple[int, int], ...]:
    """(file, row) of rows of which another file holds a newer one. Files never change: what was
    found of the same ones is still so."""
    name = tuple((one.file_path, hash(tuple(one.pks))) for one in segments)
    if name not in _OLDER:
        found: list[tuple[int, int]] = []
        for (at, one), (beside, other) in combinations(enumerate(segments), 2):
            for key in one.pk_to_row.keys() & other.pk_to_row.keys():
                row, its = one.pk_to_row[key], other.pk_to_row[key]
                is_older = one.seqs[row] < other.seqs[its]
                found.append((at, row) if is_older else (beside, its))
        if len(_OLDER) >= OLDER_HELD:
            _OLDER.clear()
        _OLDER[name] = tuple(found)
    return _OLDER[name]


OLDER_HELD = 64  # collections and their changes
_OLDER: dict[tuple[tuple[str, int], ...], tuple[tuple[int, int], ...]] = {}


def _looked_at(segments: Sequence[Any], deleted: Any) -> "list[npt.NDArray[np.bool_]]":
    """The same by Milvus Lite's own loop."""
    import numpy as np

    ids = [one for segment in segments for one in segment.pks]
    numbers = np.concatenate([segment.seqs for segment in segments])
    mask = milvus_lite("search.bitmap").build_valid_mask(ids, numbers, deleted)
    return np.split(mask, np.cumsum([segment.num_rows for segment in segments])[:-1])


class LiveRows:
    """What a collection of Milvus Lite answers queries and counts with."""

    def __init__(self, collection: Any) -> None:
        self._collection = collection
        self._query = collection.query
        self._count = collection._num_entities
        self._key = collection._pk_name

    def query(
        self,
        expr: str | None = None,
        output_fields: Sequence[str] | None = None,
        partition_names: Sequence[str] | None = None,
        limit: int | None = None,
        offset: int = 0,
        timezone: str | None = None,
        order_by_pk: bool = False,
    ) -> list[dict[str, Any]]:
        """In the place of `Collection.query`."""
        ids = None
        if output_fields == [self._key] and not partition_names and not timezone:
            ids = self.ids(expr)
        if ids is None:
            return self._query(
                expr, output_fields, partition_names, limit, offset, timezone, order_by_pk
            )
        if order_by_pk:
            ids.sort()
        end = None if limit is None else offset + limit
        return [{self._key: one} for one in ids[offset:end]]

    def count(self, partition_names: Sequence[str] | None = None) -> int:
        """In the place of `Collection._num_entities`."""
        if partition_names is not None or self._collection._memtable.size():
            return self._count(partition_names)
        segments, deleted = self._files()
        return sum(int(mask.sum()) for mask in live_rows(segments, deleted))

    def ids(self, expression: str | None = None) -> list[Any] | None:
        """The ids of all live rows, or of those that a filter takes; None while some are in no
        file yet."""
        import numpy as np

        collection = self._collection
        collection._require_loaded()
        if collection._memtable.size():  # before the files are looked at
            return None
        compiled = collection._compile_filter(expression) if expression else None
        plan = collection._indexed_filter_plan(compiled)
        segments, deleted = self._files()
        found: list[Any] = []
        for segment, mask in zip(segments, live_rows(segments, deleted), strict=True):
            wanted = mask if compiled is None else mask & _taken(segment, compiled, plan)
            ids = segment.pks
            found += ids if wanted.all() else [ids[at] for at in np.flatnonzero(wanted).tolist()]
        return found

    def _files(self) -> tuple[list[Any], Any]:
        segments, deleted = self._collection._read_snapshot()
        return [one for one in segments if one.num_rows], deleted


def _taken(segment: Any, compiled: Any, plan: Any) -> "npt.NDArray[np.bool_]":
    evaluate = milvus_lite("search.indexed_filter").evaluate_segment_filter
    return evaluate(segment, compiled, plan).astype(bool)


def quick_searches() -> None:
    """Let searches of vectors look at live rows alone, and make of a hit only what is shown."""
    engine: Any = milvus_lite("engine.collection")
    slow = engine.execute_search_with_index

    def search(**asked: Any) -> list[list[dict[str, Any]]]:
        """In the place of `execute_search_with_index`."""
        is_plain = asked["output_fields"] is not None and not asked["partition_names"]
        if not is_plain or asked["memtable"].size():
            return slow(**asked)
        return _found(**asked)

    engine.execute_search_with_index = search


def _found(**asked: Any) -> list[list[dict[str, Any]]]:
    """The best of all files, as `execute_search_with_index` answers: nearest first."""
    queries, top_k = asked["query_vectors"], asked["top_k"]
    segments = [one for one in asked["segments"] if one.num_rows]
    found: list[list[tuple[float, int, int]]] = [[] for _ in queries]
    lives = live_rows(segments, asked["delta_index"])
    for at, (segment, live) in enumerate(zip(segments, lives, strict=True)):
        vectors, there = segment.vector_data(asked["vector_field"])
        valid = live if there is None else live & there
        if asked["compiled_filter"] is not None:
            taken = _taken(segment, asked["compiled_filter"], asked["indexed_filter_plan"])
            valid = valid & taken
        if not valid.any():
            continue
        index = segment.indexes.get(asked["vector_field"])
        if index is None:
            brute: Any = milvus_lite("index.brute_force").BruteForceIndex
            index = brute.build(vectors, asked["metric_type"])
        mask = None if valid.all() else valid
        near = index.search(queries, top_k, valid_mask=mask, params=asked["search_params"])
        for own, rows, far in zip(found, *(one.tolist() for one in near), strict=True):
            own += [(d, at, row) for row, d in zip(rows, far, strict=True) if row >= 0]
    best = [sorted(own)[:top_k] for own in found]
    return [[_hit(segments[at], row, d, asked) for d, at, row in own] for own in best]


def _hit(segment: Any, row: int, distance: float, asked: Mapping[str, Any]) -> dict[str, Any]:
    entity = asked["project_record_fn"](segment.row_to_dict(row))
    return {"id": segment.pks[row], "distance": distance, "entity": entity}
