"""`chunks`: cut every document by the policy of its type; shards that stand are not touched."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from platform_pipelines.compute.tasks import TaskSpec
from platform_pipelines.core.knowledge_base.chunking.policy import (
    SemanticPolicy,
    policies_from_mapping,
)
from platform_pipelines.core.road.identity import digest_parts
from platform_pipelines.core.road.snapshot import ShardPlan, ShardRecord, Snapshot, plan_shards
from platform_pipelines.stages.knowledge_base import connect
from platform_pipelines.stages.knowledge_base.chunks_worker import (
    chunk_shards,
    splitter_version,
)
from platform_pipelines.stages.knowledge_base.documents import STAGE as DOCUMENTS
from platform_pipelines.stages.knowledge_base.layers import new_rows, written_at
from platform_pipelines.stages.knowledge_base.tables import read_table, rows_of
from platform_pipelines.stages.knowledge_base.workspace import Workspace
from platform_pipelines.stages.road.outcome import StageOutcome

STAGE = "chunks"
# Cut in this process: a worker's imports take a second, as long as cutting so many documents.
FEW_DOCUMENTS = 2_000
OPERATION = "chunks.shards"

Result: TypeAlias = Mapping[str, Any]


def refresh_chunks(workspace: Workspace) -> StageOutcome:
    """Bring the chunks up to the documents and the declared policies.

    Raises:
        ConfigurationError: a policy's size is over the embedder's window.
        IntegrityError: no documents yet; materialise them first.
    """
    documents = workspace.require_head(DOCUMENTS)
    previous, version = workspace.standing(STAGE)
    settings = chunk_settings(workspace)
    plan = plan_shards(STAGE, documents, previous, settings=settings)
    if previous and plan.is_empty:
        return StageOutcome.unchanged(previous)
    with workspace.writing(STAGE, version) as held:
        return _cut(held, plan, previous, version, settings)


def _cut(
    workspace: Workspace,
    plan: ShardPlan,
    previous: Snapshot | None,
    version: str | None,
    settings: str,
) -> StageOutcome:
    connect.ensure_model(workspace.settings, workspace.spec.embed, workspace.progress)
    records = dict(plan.standing)
    counts: Counter[str] = Counter()
    for shard, result in _chunk_all(workspace, plan):
        records[shard] = plan.record(shard, result["rows"], result["path"])
        counts.update({name: result[name] for name in ("kept", "made")})
    shards = tuple(records[n] for n in sorted(records))
    snapshot = Snapshot(STAGE, settings, shards, *_summary(workspace, shards))
    counts["removed"] = (previous.rows if previous else 0) + counts["made"] - snapshot.rows
    workspace.move_head(snapshot, version)
    return StageOutcome.changed(snapshot, previous, dict(counts))


def chunk_settings(workspace: Workspace) -> str:
    """Digest of the policies, the tokenizer's window and the splitting library."""
    policies = policies_from_mapping(workspace.spec.chunk)
    identity = connect.tokenizer_identity(workspace.settings, workspace.spec.embed)
    return digest_parts(policies.digest, identity, splitter_version())


def _chunk_all(workspace: Workspace, plan: ShardPlan) -> Iterator[tuple[int, Result]]:
    """The result of every changed shard; those that a killed run finished are not cut again.

    When all of them are taken, all files are there.
    """
    todo: list[ShardRecord] = []
    for shard in plan.changed:
        before = plan.previous.get(shard.shard)
        path = written_at(workspace.store, plan.path(shard.shard), before.path if before else None)
        if path is None:
            todo.append(shard)
        else:
            rows = rows_of(workspace.store, path)
            yield shard.shard, {"rows": rows, "kept": 0, "made": rows, "path": path}
    if not todo:
        return
    is_little = _is_little(workspace, todo)
    groups = [todo] if is_little else [[shard] for shard in todo]
    tasks = [_task(workspace, plan, group) for group in groups]
    here = {OPERATION: chunk_shards} if is_little else None
    for done in workspace.run_tasks(
        STAGE, tasks, doing="chunking", here=here, profile=workspace.spec.parse.profile
    ):
        for result in done.record["shards"]:
            yield result["shard"], result


def _is_little(workspace: Workspace, todo: Sequence[ShardRecord]) -> bool:
    """Whether starting workers costs more than the work, and nothing large has to be loaded."""
    policies = policies_from_mapping(workspace.spec.chunk)
    used = (policies.default, *policies.by_type.values())
    if workspace.spec.embed.provider == "openai" or any(
        isinstance(p, SemanticPolicy) for p in used
    ):
        return False
    changed = (new_rows(workspace.store, shard.path, shard.rows) for shard in todo)
    return sum(changed) <= FEW_DOCUMENTS


def _task(workspace: Workspace, plan: ShardPlan, group: Sequence[ShardRecord]) -> TaskSpec:
    spec = workspace.spec
    return TaskSpec(
        operation=OPERATION,
        shard=group[0].shard,
        store=workspace.store.url,
        arguments={
            "shards": [_shard(record, plan) for record in group],
            "chunk": spec.chunk,
            "embed": spec.embed.model_dump(mode="json"),
            "tokenizer": connect.tokenizer_identity(workspace.settings, spec.embed),
        },
    )


def _shard(shard: ShardRecord, plan: ShardPlan) -> Mapping[str, Any]:
    previous = plan.previous.get(shard.shard)
    return {
        "shard": shard.shard,
        "documents": shard.path,
        "previous": None if previous is None else previous.path,
        "path": plan.path(shard.shard),
    }


def _summary(
    workspace: Workspace, shards: Sequence[ShardRecord]
) -> tuple[dict[str, int], dict[str, Any]]:
    """Counts by type and language, and how long the chunks are (tokens, in steps of 32)."""
    counts: Counter[str] = Counter()
    lengths: Counter[int] = Counter()
    for shard in shards:
        table = read_table(workspace.store, shard.path, ["tokens", "type", "language"])
        for name in ("type", "language"):
            counts.update({f"{name}:{value}": n for value, n in _counted(table.column(name))})
        tokens = dict(_counted(table.column("tokens")))
        counts["tokens"] += sum(value * n for value, n in tokens.items())
        counts["longest"] = max(counts["longest"], *tokens, 0)
        for value, n in tokens.items():
            lengths[32 * (value // 32)] += n
    counts["chunks"] = sum(lengths.values())
    return dict(counts), {"lengths": {str(k): lengths[k] for k in sorted(lengths)}}


def _counted(column: Any) -> Iterator[tuple[Any, int]]:
    """Each value of a column and how often it stands there."""
    for one in column.value_counts().to_pylist():
        yield one["values"], one["counts"]
