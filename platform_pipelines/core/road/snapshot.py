"""A snapshot: what one stage made, shard by shard, each shard named by a digest of its content.

A stage reads the snapshot above it and its own last one, makes the shards whose input changed, and
replaces its head by the new snapshot. A killed stage leaves the old head, so the next run starts
from the same place and finds the shards that were already made by their names.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic.dataclasses import dataclass as record_class

from platform_pipelines.core.road.identity import digest_json, digest_parts
from platform_pipelines.core.road.records import (
    CONFIG,
    VERSION,
    Format,
    Raw,
    plain,
    stored_field,
)

FORMAT = 1


@record_class(frozen=True, config=CONFIG)
class ShardRecord:
    """One shard's output: `digest` names its content, `path` is the Parquet file that holds it.

    `input` is the digest of what it was made from, under settings that the snapshot names.
    """

    shard: int
    input: str
    digest: str
    path: str
    rows: int


@record_class(frozen=True, config=CONFIG)
class Snapshot:
    """All shards of a stage. `counts` are numbers for people; they are not part of the identity."""

    stage: str
    settings: str  # digest of the policies, models and code that made it
    shards: tuple[ShardRecord, ...]
    counts: Mapping[str, int] = field(default_factory=dict[str, int])
    details: Mapping[str, Any] = field(default_factory=dict[str, Any])
    format: int = FORMAT
    written_by: str = VERSION
    stored: Any = stored_field()

    @property
    def digest(self) -> str:
        """Names the content: equal content made twice has one digest."""
        return digest_parts(self.stage, self.settings, *(s.digest for s in self.shards))

    @property
    def rows(self) -> int:
        """Rows of all shards."""
        return sum(shard.rows for shard in self.shards)

    def shard(self, number: int) -> ShardRecord | None:
        """The record of one shard, if it has rows."""
        return next((s for s in self.shards if s.shard == number), None)

    def to_json(self) -> str:
        """One JSON text that carries its own digest."""
        record = {
            **self._record(),
            "digest": self.digest,
            "record_digest": self.record_digest,
        }
        return json.dumps(record, ensure_ascii=False, indent=1, allow_nan=False)

    @property
    def record_digest(self) -> str:
        """Of all that is written, counts and details too: what was damaged is not believed."""
        return digest_json(self._record())

    def _record(self) -> Raw:
        return self.stored or plain(self)


@dataclass(frozen=True, slots=True)
class ShardPlan:
    """What a stage has to do: shards of the stage above to work on, and its own that stand."""

    stage: str
    wanted: Mapping[int, str]  # shard -> digest of its new content
    changed: tuple[ShardRecord, ...]  # of the stage above
    standing: Mapping[int, ShardRecord]  # of this stage
    previous: Mapping[int, ShardRecord]  # of this stage, also where the content is another now

    @property
    def is_empty(self) -> bool:
        """Whether the last snapshot stands as it is."""
        return not self.changed and self.previous.keys() == self.wanted.keys()

    def path(self, shard: int) -> str:
        """Where the new content of a shard goes: named by its digest."""
        return f"{self.stage}/{shard:04d}-{self.wanted[shard]}.parquet"

    def record(self, shard: int, rows: int, path: str = "") -> ShardRecord:
        """The record of a shard that was made; `path` where it is not the one above."""
        digest = self.wanted[shard]
        return ShardRecord(shard, digest, digest, path or self.path(shard), rows)


def plan_shards(
    stage: str, above: Snapshot, previous: Snapshot | None, *, settings: str
) -> ShardPlan:
    """Compare what the stage should hold with what it holds."""
    wanted = {s.shard: digest_parts(stage, s.digest, settings) for s in above.shards}
    before = {s.shard: s for s in previous.shards} if previous else {}
    standing = {n: before[n] for n, d in wanted.items() if n in before and before[n].input == d}
    changed = tuple(s for s in above.shards if s.shard not in standing)
    return ShardPlan(stage, wanted, changed, standing, before)


def snapshot_from_json(text: str | bytes, *, where: str) -> Snapshot:
    """The inverse of `Snapshot.to_json`.

    Raises:
        IntegrityError: not a snapshot, or its content is not what its digest says.
    """
    raw = _FORMAT.parse(text, where=where)
    stated = {name: raw.pop(name, None) for name in ("digest", "record_digest")}
    snapshot = _FORMAT.read(raw, where=where)
    for name, digest in stated.items():
        what = name.replace("_", " ")
        _FORMAT.must_equal(what, digest, getattr(snapshot, name), where=where)
    return snapshot


def listing_digest(rows: Iterable[tuple[str, str, int]], settings: str) -> str:
    """Digest of what a listing says of a shard: (key, version, size in bytes), in any order."""
    return digest_json([settings, sorted([list(row) for row in rows])])


def source_digest(documents: Iterable[tuple[str, str]]) -> str:
    """Digest of a shard's parsed documents: (key, document digest), in any order."""
    return digest_json(sorted([list(row) for row in documents]))


_FORMAT = Format(
    kind="a snapshot",
    model=Snapshot,
    current=FORMAT,
    remedy="delete this file; the next run remakes it",
)
