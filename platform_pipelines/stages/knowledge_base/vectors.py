"""`vectors`: one vector a chunk; a text that was ever embedded here is not embedded again.

Vectors are cached by (text digest, embedder digest) in the files themselves. The stage reads the
digests of earlier files, once each, and tells each task which files hold what it wants. Where many
texts moved to other shards, each earlier file is read once and dealt out (`vectors_moving`): no
task reads them all. Finished shards are kept: a killed run resumes.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from platform_pipelines.compute.tasks import TaskSpec
from platform_pipelines.core.road.identity import digest_json
from platform_pipelines.core.road.snapshot import ShardPlan, ShardRecord, Snapshot, plan_shards
from platform_pipelines.gateways.object_store import ObjectStore
from platform_pipelines.stages.knowledge_base import connect
from platform_pipelines.stages.knowledge_base.chunks import STAGE as CHUNKS
from platform_pipelines.stages.knowledge_base.layers import written_at
from platform_pipelines.stages.knowledge_base.tables import read_table
from platform_pipelines.stages.knowledge_base.vectors_moving import move_vectors
from platform_pipelines.stages.knowledge_base.vectors_worker import embed_shards, text_digests
from platform_pipelines.stages.knowledge_base.workspace import Workspace
from platform_pipelines.stages.road.outcome import StageOutcome

STAGE = "vectors"
OPERATION = "vectors.embed"
MOVE = "vectors.move"
GROUP_TEXTS = 1024  # shards are embedded together until so many texts are waiting
GROUP_ROWS = 8192  # or so many rows: what a task holds in memory
MOST_GROUPS = 16  # of rows that need no embedding: each may have to read every earlier file


def refresh_vectors(workspace: Workspace) -> StageOutcome:
    """Bring the vectors up to the chunks and the declared embedder.

    Raises:
        UnavailableError, RateLimitedError: the embedder does not answer; finished shards are kept.
        DimensionError, IntegrityError: its vectors are not usable.
    """
    chunks = workspace.require_head(CHUNKS)
    previous, version = workspace.standing(STAGE)
    identity = connect.embedder_identity(workspace.settings, workspace.spec.embed)
    plan = plan_shards(STAGE, chunks, previous, settings=identity)
    if previous and plan.is_empty:
        return StageOutcome.unchanged(previous)
    with workspace.writing(STAGE, version) as held:
        return _embed(held, plan, previous, version, identity)


def _embed(
    workspace: Workspace,
    plan: ShardPlan,
    previous: Snapshot | None,
    version: str | None,
    identity: str,
) -> StageOutcome:
    connect.ensure_model(workspace.settings, workspace.spec.embed, workspace.progress)
    same_embedder = previous is not None and previous.settings == identity
    cache = list(previous.shards) if previous and same_embedder else []
    records = dict(plan.standing)
    counts: Counter[str] = Counter(embedded=0, from_cache=0)
    todo: list[ShardRecord] = []
    for shard in plan.changed:
        before = plan.previous.get(shard.shard)
        whole = plan.path(shard.shard)
        path = written_at(workspace.store, whole, before.path if before else None)
        if path is not None:  # by a killed run
            counts["from_cache"] += shard.rows
            records[shard.shard] = plan.record(shard.shard, shard.rows, path)
        else:
            todo.append(shard)
    groups = _groups(list(_wishes(workspace.store, todo, cache)))
    moved = _move(workspace, groups)
    tasks = [_task(workspace, plan, group, identity) for group in groups]
    # The embedder itself keeps all processors, or all of its connections, busy.
    here = {OPERATION: embed_shards}
    for done in workspace.run_tasks(
        STAGE, tasks, doing="embedding", here=here, profile=workspace.spec.embed.profile
    ):
        counts.update({name: done.record[name] for name in ("embedded", "from_cache")})
        for made in done.record["shards"]:
            records[made["shard"]] = plan.record(made["shard"], made["rows"], made["path"])
    shards = tuple(records[n] for n in sorted(records))
    dimension, name = connect.embedder_facts(workspace.settings, workspace.spec.embed)
    totals = {"vectors": sum(s.rows for s in shards), "dimension": dimension}
    snapshot = Snapshot(STAGE, identity, shards, totals, {"embedder": name})
    workspace.move_head(snapshot, version)
    workspace.store.delete(moved)
    return StageOutcome.changed(snapshot, previous, dict(counts), {"embedder": name})


@dataclass(frozen=True, slots=True)
class _Wish:
    """A shard to make: how many texts nobody has embedded yet, and who has the others."""

    shard: ShardRecord
    missing: int
    own: str | None  # path of its last file, where that holds any
    elsewhere: frozenset[str]  # paths of other shards' files


@dataclass(slots=True)
class _Group:
    """Shards of one task: small ones together, so that they still fill the embedder's batches."""

    shards: list[ShardRecord] = field(default_factory=list[ShardRecord])
    missing: int = 0
    rows: int = 0
    own: dict[int, str | None] = field(default_factory=dict[int, str | None])
    elsewhere: set[str] = field(default_factory=set[str])

    def add(self, wish: _Wish) -> None:
        self.shards.append(wish.shard)
        self.missing += wish.missing
        self.rows += wish.shard.rows
        self.own[wish.shard.shard] = wish.own
        self.elsewhere |= wish.elsewhere

    @property
    def own_files(self) -> list[str]:
        """The last files of its shards."""
        return sorted(path for path in self.own.values() if path is not None)


def _groups(wishes: Sequence[_Wish]) -> list[_Group]:
    most_rows = max(GROUP_ROWS, sum(wish.shard.rows for wish in wishes) // MOST_GROUPS)
    groups: list[_Group] = []
    for wish in wishes:
        last = groups[-1] if groups else None
        if last is None or last.missing >= GROUP_TEXTS or last.rows >= most_rows:
            groups.append(_Group())
        groups[-1].add(wish)
    return groups


def _move(workspace: Workspace, groups: Sequence[_Group]) -> list[str]:
    """Deal out what several groups would read the same files for; the files that this made.

    Each group then reads its own file instead of those. What a killed run dealt out stands.
    """
    strange = [group for group in groups if group.elsewhere]
    earlier = sorted(set[str]().union(*(group.elsewhere for group in strange)))
    if sum(len(group.elsewhere) for group in strange) <= len(earlier):
        return []
    wanted = [
        {"chunks": [s.path for s in group.shards], "own": group.own_files} for group in strange
    ]
    name = digest_json([wanted, earlier])
    paths = [f"{STAGE}/moved-{name}-{n}.parquet" for n in range(len(strange))]
    task = TaskSpec(
        operation=MOVE,
        shard=0,
        store=workspace.store.url,
        arguments={
            "groups": [{**g, "path": path} for g, path in zip(wanted, paths, strict=True)],
            "earlier": earlier,
            "dimension": connect.embedder_facts(workspace.settings, workspace.spec.embed)[0],
        },
    )
    if not all(workspace.store.exists(path) for path in paths):
        for _ in workspace.run_tasks(
            STAGE, [task], doing="moving vectors", here={MOVE: move_vectors}
        ):
            pass
    for group, path in zip(strange, paths, strict=True):
        group.elsewhere = {path}
    return paths


def _wishes(
    store: ObjectStore, todo: Sequence[ShardRecord], cache: Sequence[ShardRecord]
) -> Iterator[_Wish]:
    """What every shard needs. Each earlier file's digests are read at most twice, in all.

    A shard's texts stand in its own last file, but for those of documents that were renamed.
    """
    own = {record.shard: record.path for record in cache}
    unknown: dict[int, set[str]] = {}
    for shard in todo:
        wanted, path = _digests(store, shard.path), own.get(shard.shard)
        unknown[shard.shard] = wanted - _digests(store, path)
        if path and len(unknown[shard.shard]) == len(wanted):
            del own[shard.shard]  # nothing of it is wanted here
    elsewhere = _found_in(store, set().union(*unknown.values()), cache)
    for shard in todo:
        wanted = unknown[shard.shard]
        paths = {elsewhere[digest] for digest in wanted if digest in elsewhere}
        missing = sum(digest not in elsewhere for digest in wanted)
        yield _Wish(shard, missing, own.get(shard.shard), frozenset(paths))


def _found_in(
    store: ObjectStore, wanted: set[str], cache: Sequence[ShardRecord]
) -> Mapping[str, str]:
    """The first earlier file that holds each of these texts, as far as one does."""
    found: dict[str, str] = {}
    for record in cache:
        if len(found) == len(wanted):
            break
        found |= dict.fromkeys((_digests(store, record.path) & wanted) - found.keys(), record.path)
    return found


def _digests(store: ObjectStore, path: str | None) -> set[str]:
    return set(text_digests(read_table(store, path, ["text_digest"]))) if path else set()


def _task(workspace: Workspace, plan: ShardPlan, group: _Group, identity: str) -> TaskSpec:
    return TaskSpec(
        operation=OPERATION,
        shard=group.shards[0].shard,
        store=workspace.store.url,
        arguments={
            "shards": [
                {
                    "shard": s.shard,
                    "chunks": s.path,
                    "path": plan.path(s.shard),
                    "previous": group.own.get(s.shard),
                }
                for s in group.shards
            ],
            "earlier": sorted({*group.own_files, *group.elsewhere}),
            "embed": workspace.spec.embed.model_dump(mode="json"),
            "embedder": identity,
        },
    )
