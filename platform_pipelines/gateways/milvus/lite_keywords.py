"""BM25 of the local Milvus with one corpus' statistics, whichever of its files a row stands in.

Milvus Lite scores every data file by that file's own statistics, deleted rows among them (3.2.2,
`Collection._search_sparse`, "TODO: BM25 IDF accuracy"): rows that came with a later change would
get other scores than the same rows in a collection that was built at once. Here document count,
mean length and document frequencies are those of all live rows. The formula is the same, so a
collection of one file scores as before. Exit: Milvus Lite does so itself.

Postings are arrays: 12 bytes each instead of a tuple's 140, and built without a loop.
"""

import math
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from platform_pipelines.gateways.milvus.library import milvus_lite
from platform_pipelines.gateways.milvus.lite_live import live_rows

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

BM25_K1, BM25_B = 1.5, 0.75  # Milvus Lite's own, where an index names no others


@dataclass(frozen=True, slots=True, eq=False)
class Statistics:
    """Of all live rows of a collection."""

    rows: int
    mean_length: float
    terms: "npt.NDArray[np.uint32]"  # ascending
    frequencies: "npt.NDArray[np.int64]"  # rows that hold the term

    def weight(self, term: int) -> float:
        """A term's inverse document frequency."""
        at = int(self.terms.searchsorted(term))
        known = at < len(self.terms) and self.terms[at] == term
        frequency = int(self.frequencies[at]) if known else 0
        return math.log((self.rows - frequency + 0.5) / (frequency + 0.5) + 1.0)


class Postings:
    """The keywords of one data file, by term."""

    def __init__(self, packed: Sequence[bytes | None], *, k1: float, b: float) -> None:
        """`packed`: a row's pairs of term (uint32) and count (float32), as Milvus stores them."""
        import numpy as np

        self.k1, self.b = k1, b
        parts = [one or b"" for one in packed]
        pairs = np.frombuffer(b"".join(parts), [("term", "<u4"), ("count", "<f4")])
        sizes = np.fromiter((len(one) // 8 for one in parts), np.int64, len(parts))
        rows = np.repeat(np.arange(len(parts), dtype=np.int32), sizes)
        order = np.argsort(pairs["term"], kind="stable")
        self._rows = rows[order]
        self._counts = pairs["count"][order]
        self._terms, starts = np.unique(pairs["term"][order], return_index=True)
        self._starts = np.append(starts, len(order))
        self.lengths = np.bincount(rows, weights=pairs["count"], minlength=len(parts))
        everything = np.ones(len(parts), dtype=bool)
        self.live = everything  # until it is known which rows were deleted
        self.statistics = statistics_of([(self, everything)])

    def frequencies(
        self, live: "npt.NDArray[np.bool_]"
    ) -> "tuple[npt.NDArray[np.uint32], npt.NDArray[np.int64]]":
        """Terms, and how many live rows hold each."""
        import numpy as np

        if not len(self._terms):
            return self._terms, np.zeros(0, np.int64)
        held = live[self._rows].astype(np.int64)
        return self._terms, np.add.reduceat(held, self._starts[:-1])

    def search(
        self,
        queries: Sequence[Mapping[int, float]],
        top_k: int,
        valid_mask: "npt.NDArray[np.bool_] | None" = None,
    ) -> "tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]":
        """As Milvus Lite's index answers: rows and negative scores, best first, -1 where no more.

        Equal scores stand in the order of the rows.
        """
        import numpy as np

        ids = np.full((len(queries), top_k), -1, dtype=np.int64)
        distances = np.full((len(queries), top_k), np.inf, dtype=np.float32)
        for at, query in enumerate(queries):
            scores = self._scores(query)
            if valid_mask is not None:
                scores[~valid_mask] = 0.0
            found = np.flatnonzero(scores > 0.0)
            best = found[np.argsort(-scores[found], kind="stable")[:top_k]]
            ids[at, : len(best)] = best
            distances[at, : len(best)] = -scores[best]
        return ids, distances

    def _scores(self, query: Mapping[int, float]) -> "npt.NDArray[np.float64]":
        import numpy as np

        scores = np.zeros(len(self.lengths))
        mean = self.statistics.mean_length or 1.0
        for term, weight in query.items():
            at = int(self._terms.searchsorted(term))
            if at == len(self._terms) or self._terms[at] != term:
                continue
            some = slice(int(self._starts[at]), int(self._starts[at + 1]))
            rows, counts = self._rows[some], self._counts[some].astype(np.float64)
            long = 1.0 - self.b + self.b * self.lengths[rows] / mean
            share = counts * (self.k1 + 1.0) / (counts + self.k1 * long)
            scores[rows] += self.statistics.weight(term) * share * weight
        return scores


def statistics_of(
    files: "Sequence[tuple[Postings, npt.NDArray[np.bool_]]]",
) -> Statistics:
    """Of the live rows of some files."""
    import numpy as np

    found = [postings.frequencies(live) for postings, live in files]
    all_terms = np.concatenate([terms for terms, _ in found]) if found else np.zeros(0, np.uint32)
    terms, places = np.unique(all_terms, return_inverse=True)
    frequencies = np.zeros(len(terms), np.int64)
    if found:
        np.add.at(frequencies, places, np.concatenate([counts for _, counts in found]))
    rows = sum(int(live.sum()) for _, live in files)
    length = sum(float(postings.lengths[live].sum()) for postings, live in files)
    return Statistics(rows, length / rows if rows else 0.0, terms, frequencies)


class CorpusKeywords:
    """What a collection of Milvus Lite searches its keyword fields with."""

    def __init__(self, collection: Any) -> None:
        self._collection = collection
        self._search = collection._search_sparse
        self._fields = {f.output_field_names[0] for f in collection.schema.functions}
        self._counted: dict[str, tuple[int, Statistics]] = {}  # field -> the last write, and then
        self._preparing = threading.Lock()

    def search(self, **asked: Any) -> list[list[dict[str, Any]]]:
        """In the place of `Collection._search_sparse`.

        Rows that no file holds yet, and partitions, are left to Milvus Lite's own.
        """
        field, collection = asked["vector_field"], self._collection
        if field not in self._fields:
            return self._search(**asked)
        is_written = not collection._memtable.size()  # before the files are looked at
        with self._preparing:
            segments = self._prepare(field)
        if not is_written or asked["partition_names"]:
            return self._search(**asked)
        return self._found(segments, **asked)

    def kept(self, release: Callable[[], None]) -> Callable[[], None]:
        """In the place of `Collection.release`, which gives back no row, only indexes: postings
        stay, so that a spare that is loaded again costs its change, not its size."""

        def release_others() -> None:
            segments, _ = self._collection._read_snapshot()
            postings = [dict(segment.sparse_indexes) for segment in segments]
            release()
            for segment, own in zip(segments, postings, strict=True):
                segment.sparse_indexes.update(own)

        return release_others

    def _prepare(self, field: str) -> list[Any]:
        """The files; with postings, and the statistics of now, attached to each."""
        collection = self._collection
        written = int(collection._manifest.current_seq)
        segments, deleted = collection._read_snapshot()
        segments = [s for s in segments if s.num_rows]
        spec = collection._index_specs.get(field)
        parameters: Mapping[str, Any] = spec.build_params if spec else {}
        for segment in segments:
            if not isinstance(segment.sparse_indexes.get(field), Postings):
                segment.sparse_indexes[field] = _postings(segment, field, parameters)
        files: list[Postings] = [segment.sparse_indexes[field] for segment in segments]
        known = self._counted.get(field)
        if known and known[0] == written and all(p.statistics is known[1] for p in files):
            return segments
        lives = live_rows(segments, deleted)
        statistics = statistics_of(list(zip(files, lives, strict=True)))
        for postings, live in zip(files, lives, strict=True):
            postings.statistics, postings.live = statistics, live
        self._counted[field] = (written, statistics)
        return segments

    def _found(
        self, segments: Sequence[Any], *, vector_field: str, top_k: int, **asked: Any
    ) -> list[list[dict[str, Any]]]:
        """The best of all files; of a row, only what is shown is made."""
        collection = self._collection
        queries = collection._prepare_sparse_queries(asked["query_vectors"], vector_field)
        expression, zone = asked["expr"], asked.get("timezone")
        compiled = collection._compile_filter(expression, timezone=zone) if expression else None
        plan = collection._indexed_filter_plan(compiled)
        found: list[list[tuple[float, Any, int]]] = [[] for _ in queries]
        for segment in segments:
            postings = segment.sparse_indexes[vector_field]
            valid = postings.live
            if compiled is not None:
                evaluate = milvus_lite("search.indexed_filter").evaluate_segment_filter
                valid = valid & evaluate(segment, compiled, plan)
            ids, distances = postings.search(queries, top_k, valid)
            for own, rows, scores in zip(found, ids, distances, strict=True):
                own += [
                    (float(s), segment, int(r)) for r, s in zip(rows, scores, strict=True) if r >= 0
                ]
        show = self._shower(asked["output_fields"])
        best = [sorted(own, key=lambda hit: hit[0])[:top_k] for own in found]
        return [
            [{"id": s.pks[row], "distance": d, "entity": show(s, row)} for d, s, row in own]
            for own in best
        ]

    def _shower(self, fields: Sequence[str] | None) -> Callable[[Any, int], dict[str, Any]]:
        projection, schema = milvus_lite("engine.projection"), self._collection.schema
        plan = projection.build_projection_plan(fields, schema, api_kind="search")

        def show(segment: Any, row: int) -> dict[str, Any]:
            names = [n for n in plan.response_schema_fields if n in segment.table.column_names]
            record = {name: segment.table.column(name)[row].as_py() for name in names}
            return projection.project_record(record, schema, plan)

        return show


def _postings(segment: Any, field: str, parameters: Mapping[str, Any]) -> Any:
    """One that Milvus Lite takes for its own."""
    packed = segment.table.column(field).to_pylist()
    k1 = float(parameters.get("bm25_k1", BM25_K1))
    return _index_class()(packed, k1=k1, b=float(parameters.get("bm25_b", BM25_B)))


_CLASSES: list[Any] = []


def _index_class() -> Any:
    if not _CLASSES:
        base: Any = milvus_lite("index.sparse_inverted").SparseInvertedIndex
        _CLASSES.append(type("CorpusPostings", (Postings, base), {}))
    return _CLASSES[0]
