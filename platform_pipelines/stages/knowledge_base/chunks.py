"""`chunks`: cut every document by the policy of its type; shards that stand are not touched."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from platform_pipelines.compute.pool import WorkerPool
from platform_pipelines.compute.protocol import Budget, ItemDone, ItemFailed, Task
from platform_pipelines.core.knowledge_base.chunking.policy import (
    SemanticPolicy,
    policies_from_mapping,
)
from platform_pipelines.core.road.identity import digest_parts
from platform_pipelines.core.road.snapshot import ShardPlan, ShardRecord, Snapshot, plan_shards
from platform_pipelines.stages.knowledge_base import connect
from platform_pipelines.stages.knowledge_base.chunks_worker import (
    cut_shard,
    open_tools,
    splitter_version,
)
from platform_pipelines.stages.knowledge_base.documents import STAGE as DOCUMENTS
from platform_pipelines.stages.knowledge_base.pace import Pace
from platform_pipelines.stages.knowledge_base.tables import (
    chunks_schema,
    read_table,
    rows_of,
    writing_beside,
)
from platform_pipelines.stages.knowledge_base.workspace import Workspace
from platform_pipelines.stages.road.outcome import StageOutcome

STAGE = "chunks"
# Cut in this process: a worker's imports take a second, as long as cutting so many documents.
FEW_DOCUMENTS = 2_000
SECONDS_PER_SHARD = 3600.0
MEMORY_BYTES = 4 * 1024**3

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
        records[shard] = plan.record(shard, result["rows"])
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
        rows = rows_of(workspace.store, plan.path(shard.shard))
        if rows is None:
            todo.append(shard)
        else:
            yield shard.shard, {"rows": rows, "kept": 0, "made": rows}
    if not todo:
        return
    pace = Pace(
        len(todo),
        clock=workspace.clock,
        say=lambda done: workspace.progress(f"chunks: {done} of {len(todo)} shards cut"),
    )
    cut = _cut_here if _is_little(workspace, todo) else _cut_in_workers
    for result in cut(workspace, plan, todo):
        pace.step()
        yield result


def _is_little(workspace: Workspace, todo: Sequence[ShardRecord]) -> bool:
    """Whether starting workers costs more than the work, and nothing large has to be loaded."""
    policies = policies_from_mapping(workspace.spec.chunk)
    used = (policies.default, *policies.by_type.values())
    if workspace.spec.embed.provider == "openai" or any(
        isinstance(p, SemanticPolicy) for p in used
    ):
        return False
    return sum(shard.rows for shard in todo) <= FEW_DOCUMENTS


def _cut_here(
    workspace: Workspace, plan: ShardPlan, todo: Sequence[ShardRecord]
) -> Iterator[tuple[int, Result]]:
    import pyarrow as pa

    tools = open_tools(_shared(workspace))
    with writing_beside(workspace.store) as write:
        for shard in todo:
            workspace.deadline.check("chunking")
            item = _item(shard, plan)
            parts = [chunks_schema().empty_table()]
            result = cut_shard(tools, item, parts.append)
            write(item["path"], pa.concat_tables(parts))
            yield shard.shard, result


def _cut_in_workers(
    workspace: Workspace, plan: ShardPlan, todo: Sequence[ShardRecord]
) -> Iterator[tuple[int, Result]]:
    with _pool(workspace, len(todo)) as pool:
        tasks = (Task(str(s.shard), (_item(s, plan),)) for s in todo)
        for outcome in pool.run("chunks.shard", tasks, shared=_shared(workspace)):
            workspace.deadline.check("chunking")
            if isinstance(outcome, ItemFailed):
                raise outcome.to_error()
            if isinstance(outcome, ItemDone):
                yield int(outcome.task_id), outcome.result


def _item(shard: ShardRecord, plan: ShardPlan) -> Mapping[str, Any]:
    previous = plan.previous.get(shard.shard)
    return {
        "documents": shard.path,
        "previous": None if previous is None else previous.path,
        "path": plan.path(shard.shard),
    }


def _pool(workspace: Workspace, shards: int) -> WorkerPool:
    return WorkerPool(
        workers=max(1, min(workspace.settings.workers, shards)),
        budget=Budget(
            seconds_per_item=SECONDS_PER_SHARD,
            memory_bytes=MEMORY_BYTES,
            limit_address_space=False,  # tokenizers and models map much and use little
        ),
        environment=workspace.settings.worker_environment,
    )


def _shared(workspace: Workspace) -> Mapping[str, object]:
    return {
        "store": connect.knowledge_record(workspace.settings, workspace.name),
        "chunk": workspace.spec.chunk,
        "embed": workspace.spec.embed.model_dump(mode="json"),
        "model": connect.model_record(workspace.settings, workspace.spec.embed),
        "tokenizer": connect.tokenizer_identity(workspace.settings, workspace.spec.embed),
    }


def _summary(
    workspace: Workspace, shards: Sequence[ShardRecord]
) -> tuple[dict[str, int], dict[str, Any]]:
    """Counts by type and language, and how long the chunks are (tokens, in steps of 32)."""
    counts: Counter[str] = Counter()
    lengths: Counter[int] = Counter()
    for shard in shards:
        table = read_table(workspace.store, shard.path, ["tokens", "type", "language"])
        counts.update(f"type:{t}" for t in table.column("type").to_pylist())
        counts.update(f"language:{t}" for t in table.column("language").to_pylist())
        tokens = table.column("tokens").to_pylist()
        counts["tokens"] += sum(tokens)
        counts["longest"] = max(counts["longest"], *tokens, 0)
        lengths.update(32 * (n // 32) for n in tokens)
    counts["chunks"] = sum(lengths.values())
    return dict(counts), {"lengths": {str(k): lengths[k] for k in sorted(lengths)}}
