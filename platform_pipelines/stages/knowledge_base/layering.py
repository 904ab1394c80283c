"""Putting a small change on the table that stood before, without reading or writing what stays."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING

from platform_pipelines.core.road.snapshot import ShardRecord
from platform_pipelines.gateways.object_store import ObjectStore
from platform_pipelines.stages.knowledge_base.layers import Layer, base_of, read_layer
from platform_pipelines.stages.knowledge_base.tables import read_table, rows_at, schema_of

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    Codes = npt.NDArray[np.int64]

# Of a layer's rows. Beyond it the shard is written whole: readers pay for what stands no more.
MOST_OWN = 0.25
STEP = 64  # rows that go and come between two that stay


def take_rows(
    store: ObjectStore, path: str, places: "Sequence[int] | Codes", columns: Sequence[str]
) -> "pa.Table":
    """Some rows of a table, in this order; of a layer's own rows nothing below is read."""
    import numpy as np

    wanted = np.asarray(places, np.int64)
    if base_of(path) is None:
        return rows_at(read_table(store, path, columns), wanted)
    layer = read_layer(store, path)
    codes = layer.codes[wanted]
    if (codes < 0).all():
        return rows_at(layer.own.select(list(columns)), -1 - codes)
    base = read_table(store, layer.base, columns)
    return Layer(layer.base, codes, layer.own).assembled(base, columns)


@dataclass(frozen=True, slots=True)
class Rows:
    """A table's rows by code: places in the whole file `base`, or -1 minus that in a layer."""

    base: str
    codes: "Codes"

    @staticmethod
    def of(store: ObjectStore, path: str, rows: int) -> "Rows":
        """Those of one table, of which only a layer is read."""
        import numpy as np

        if base_of(path) is None:
            return Rows(path, np.arange(rows))
        layer = read_layer(store, path)
        return Rows(layer.base, layer.codes)


def differing(
    store: ObjectStore, before: tuple[str, int], after: tuple[str, int]
) -> "tuple[Codes, Codes] | None":
    """Places of rows that only one of two tables, (path, rows), takes from a whole file both share.

    None when they share none: all rows may differ.
    """
    import numpy as np

    was, is_now = Rows.of(store, *before), Rows.of(store, *after)
    if was.base != is_now.base:
        return None
    gone, come = (
        np.flatnonzero((one.codes < 0) | ~np.isin(one.codes, other.codes))
        for one, other in ((was, is_now), (is_now, was))
    )
    return gone, come


def replaced_rows(
    store: ObjectStore, before: Sequence[ShardRecord], after: Sequence[ShardRecord]
) -> tuple[dict[str, list[int]], dict[str, list[int]]]:
    """By file, the places of chunks whose searched text only one of two snapshots has in a shard,
    as many times as it has it more often: those that went, those that came."""
    was, is_now = ({shard.shard: shard for shard in shards} for shards in (before, after))
    gone: dict[str, list[int]] = {}
    come: dict[str, list[int]] = {}
    for number in sorted(was.keys() | is_now.keys()):
        one, other = was.get(number), is_now.get(number)
        if one and other and one.digest == other.digest:
            continue
        own, others = _text_digests(store, one, other)
        if one:
            gone[one.path] = _surplus(own, others)
        if other:
            come[other.path] = _surplus(others, own)
    return gone, come


Texts = list[tuple[int, str]]  # place, digest


def _text_digests(
    store: ObjectStore, one: ShardRecord | None, other: ShardRecord | None
) -> tuple[Texts, Texts]:
    """Of both files, of all rows that may differ."""
    import numpy as np

    sides = [(shard.path, shard.rows) if shard else None for shard in (one, other)]
    first, second = sides
    places = differing(store, first, second) if first and second else None
    if places is None:
        places = tuple(np.arange(side[1] if side else 0) for side in sides)
    found: list[Texts] = []
    for side, some in zip(sides, places, strict=True):
        digests: list[str] = []
        if side:
            digests = take_rows(store, side[0], some, ["text_digest"])["text_digest"].to_pylist()
        found.append(list(zip(some.tolist(), digests, strict=True)))
    return found[0], found[1]


def _surplus(own: Texts, others: Texts) -> list[int]:
    left = Counter(digest for _, digest in others)
    found: list[int] = []
    for place, digest in own:
        if left[digest] > 0:
            left[digest] -= 1
        else:
            found.append(place)
    return found


def layer_on(
    store: ObjectStore, earlier: str, order: Sequence[int], made: "pa.Table"
) -> Layer | None:
    """A table as a layer on what an earlier one stands on; None: see `place_on`.

    Args:
        store: where both are.
        earlier: the table that most rows are of.
        order: of each row its place in `earlier`, or -1 minus its place in `made`.
        made: rows that are new.
    """
    placed = place_on(store, earlier, order, made.schema)
    return placed.with_rows(made) if placed else None


@dataclass(frozen=True, slots=True)
class Placed:
    """A layer whose new rows are still to come."""

    base: str
    codes: "Codes"
    kept: "pa.Table"  # the earlier layer's own rows that stay

    def with_rows(self, made: "pa.Table") -> Layer:
        """The layer, with its new rows."""
        import pyarrow as pa

        return Layer(self.base, self.codes, pa.concat_tables([self.kept, made]).combine_chunks())


def place_on(
    store: ObjectStore, earlier: str, order: Sequence[int], schema: "pa.Schema"
) -> Placed | None:
    """Where rows stand that are in `order`; see `layer_on`.

    None when they have to be written whole: too little stays, or it stands in another order, or
    another version wrote other columns.
    """
    import numpy as np
    import pyarrow as pa

    wanted = np.asarray(order, np.int64)
    is_old, codes = wanted >= 0, wanted.copy()
    if base_of(earlier) is None:
        base, own = earlier, pa.Table.from_batches([], schema)
    else:
        layer = read_layer(store, earlier)
        base, own = layer.base, layer.own
        codes[is_old] = layer.codes[wanted[is_old]]
    was_own = is_old & (codes < 0)
    if was_own.sum() + (~is_old).sum() > MOST_OWN * len(codes):
        return None
    if not all(one.equals(schema) for one in (own.schema, schema_of(store, base))):
        return None
    kept = rows_at(own, -1 - codes[was_own])
    codes[was_own] = -1 - np.arange(kept.num_rows)
    codes[~is_old] = wanted[~is_old] - kept.num_rows
    return None if (np.diff(codes[codes >= 0]) <= 0).any() else Placed(base, codes, kept)


def matched(stood: Sequence[str], wanted: Sequence[str]) -> list[int]:
    """Of each wanted one its place among those that stood, or -1 minus its number among the others.

    Places count up. They are found step by step where little lies between equal ones; else as many
    as can be so (the longest rising run of places).
    """
    found = _stepped(stood, wanted)
    if found is None:
        places: dict[str, list[int]] = {}
        for place in range(len(stood) - 1, -1, -1):
            places.setdefault(stood[place], []).append(place)
        found = [held.pop() if (held := places.get(one)) else -1 for one in wanted]
        rising = _longest_rising(found)
        found = [place if at in rising else -1 for at, place in enumerate(found)]
    others = count(-1, -1)
    return [place if place >= 0 else next(others) for place in found]


def _stepped(stood: Sequence[str], wanted: Sequence[str]) -> list[int] | None:
    """Places, -1 where none; None when equal ones lie too far apart."""
    found: list[int] = []
    place = 0
    while len(found) < len(wanted):
        if place < len(stood) and stood[place] == wanted[len(found)]:
            found.append(place)
            place += 1
            continue
        step = _next_equal(stood, wanted, place, len(found))
        if step is None:
            return None
        found += [-1] * step[1]
        place += step[0]
    return found


def _next_equal(
    stood: Sequence[str], wanted: Sequence[str], place: int, at: int
) -> tuple[int, int] | None:
    """How many of both to leave out until they are equal again, or until `wanted` ends."""
    left, rest = len(stood) - place, len(wanted) - at
    for both in range(1, STEP + 1):
        for new in range(min(both, rest), -1, -1):
            gone = both - new
            if new == rest:
                return gone, new
            if gone < left and stood[place + gone] == wanted[at + new]:
                return gone, new
    return None


def _longest_rising(places: Sequence[int]) -> set[int]:
    """Where the longest rising run of places stands, those below zero left out."""
    least: list[int] = []  # the least place that a run of each length ends with
    ends: list[int] = []  # and where that is
    before: list[int] = []  # of each place, where the run went on from
    for at, place in enumerate(places):
        length = -1
        if place >= 0:
            is_next = not least or place > least[-1]
            length = len(least) if is_next else bisect_left(least, place)
            least[length : length + 1] = [place]
            ends[length : length + 1] = [at]
        before.append(ends[length - 1] if length > 0 else -1)
    run: set[int] = set()
    at = ends[-1] if ends else -1
    while at >= 0:
        run.add(at)
        at = before[at]
    return run
