"""Embedding: each text once, and the cache of earlier files is not read once for every group."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from platform_pipelines.compute.tasks import TaskRecord
from platform_pipelines.settings import Settings
from platform_pipelines.stages.knowledge_base import vectors, vectors_moving, vectors_worker
from platform_pipelines.stages.knowledge_base.tables import read_table
from tests.knowledge import Knowledge, guide, new_knowledge

SHARDS = 8


@pytest.fixture
def knowledge(tmp_path: Path, settings: Settings) -> Knowledge:
    """Thirty guides in eight shards, embedded once."""
    made = new_knowledge(tmp_path, settings, source={"url": "documents", "shards": SHARDS})
    for number in range(30):
        (made.documents / f"guide{number}.md").write_text(guide(number), encoding="utf-8")
    made.refresh(end="vectors")
    return made


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each table is read."""
    counted: Counter[str] = Counter()

    def counting(store: Any, key: str, columns: Any = None) -> Any:
        counted[key] += 1
        return read_table(store, key, columns)

    monkeypatch.setattr(vectors, "read_table", counting)
    return counted


def rename_all(knowledge: Knowledge) -> None:
    """Every document moves, most of them into other shards; no text changes."""
    for path in sorted(knowledge.documents.glob("guide*.md")):
        path.rename(path.with_name(f"renamed-{path.name}"))


def by_digest(knowledge: Knowledge) -> dict[str, Any]:
    head, _ = knowledge.workspace().head("vectors")
    assert head is not None
    return {
        digest: vector.tolist()
        for shard in head.shards
        for digest, vector in vectors_worker.read_vectors(knowledge.store, shard.path)
    }


def by_shard(knowledge: Knowledge) -> set[str]:
    head, _ = knowledge.workspace().head("vectors")
    assert head is not None
    return {shard.path for shard in head.shards}


def test_renamed_documents_are_not_embedded_again(knowledge: Knowledge) -> None:
    """Their texts stand in other shards' files."""
    before = by_digest(knowledge)
    rename_all(knowledge)
    outcome = knowledge.refresh(end="vectors")["vectors"]
    assert outcome.changes["embedded"] == 0
    assert outcome.changes["from_cache"] == outcome.snapshot.rows
    assert by_digest(knowledge) == before


def test_earlier_files_are_read_twice_at_most_however_many_groups_there_are(
    knowledge: Knowledge, reads: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each group read the digests of all shards: groups x shards reads."""
    monkeypatch.setattr(vectors, "GROUP_TEXTS", 1)
    monkeypatch.setattr(vectors, "GROUP_ROWS", 1)
    monkeypatch.setattr(vectors, "MOST_GROUPS", 1_000)
    rename_all(knowledge)
    (knowledge.documents / "new.md").write_text(guide(77), encoding="utf-8")
    knowledge.refresh(end="chunks")
    reads.clear()
    outcome = knowledge.run("vectors")
    assert outcome.changes["embedded"] > 0
    earlier = {key: times for key, times in reads.items() if key.startswith("vectors/")}
    assert max(earlier.values()) <= 2
    assert sum(reads.values()) <= 3 * SHARDS


def test_vectors_that_moved_cost_one_reading_of_the_cache_and_not_one_a_group(
    knowledge: Knowledge, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Eight groups want something of all eight files: sixty-four readings of vectors became
    eight, and eight of what was dealt out. Nothing of that stays."""
    before = by_digest(knowledge)
    looked: Counter[str] = Counter()
    tasks = vectors_worker.read_batches, vectors_moving.read_batches
    for module, read in zip((vectors_worker, vectors_moving), tasks, strict=True):

        def counting(store: Any, key: str, *args: Any, read: Any = read, **more: Any) -> Any:
            looked[key] += 1
            return read(store, key, *args, **more)

        monkeypatch.setattr(module, "read_batches", counting)
    monkeypatch.setattr(vectors, "GROUP_ROWS", 1)
    monkeypatch.setattr(vectors, "MOST_GROUPS", 1_000)
    rename_all(knowledge)
    outcome = knowledge.refresh(end="vectors")["vectors"]
    assert outcome.changes["embedded"] == 0
    assert by_digest(knowledge) == before
    dealt = {key: n for key, n in looked.items() if "moved-" in key}
    assert (len(dealt), max(looked[k] for k in dealt)) == (SHARDS, 1)
    earlier = [
        n for key, n in looked.items() if key not in dealt and key not in by_shard(knowledge)
    ]
    assert max(earlier) <= 2
    assert not any("moved-" in key for key in knowledge.stored("vectors"))


def test_another_number_of_shards_embeds_nothing(knowledge: Knowledge) -> None:
    """Every text stands in a file of another number."""
    before = by_digest(knowledge)
    cut = knowledge.declared(source={"url": "documents", "shards": 3})
    outcome = cut.refresh(end="vectors")["vectors"]
    assert outcome.changes["embedded"] == 0
    assert by_digest(cut) == before


def test_a_task_reads_only_the_files_that_hold_what_it_wants(
    knowledge: Knowledge, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One new document among unchanged ones: its shard's own last file, and no other."""
    asked: list[int] = []
    run = vectors.embed_shards

    def noting(access: Any, items: Any) -> Any:
        def noted() -> Any:
            for spec in items:
                asked.append(len(spec["arguments"]["earlier"]))
                yield spec

        yield from run(access, noted())

    monkeypatch.setattr(vectors, "embed_shards", noting)
    (knowledge.documents / "new.md").write_text("# New\n\nA text of its own.\n", "utf-8")
    knowledge.refresh(end="vectors")
    assert asked == [1]


def test_a_task_may_run_twice(knowledge: Knowledge) -> None:
    """A pod that was evicted after it wrote: the same files, the same record."""
    workspace = knowledge.workspace()
    head, _ = workspace.head("vectors")
    chunks, _ = workspace.head("chunks")
    assert head is not None
    assert chunks is not None
    shard = chunks.shards[0]
    spec = {
        "store": workspace.store.url,
        "arguments": {
            "shards": [
                {"shard": shard.shard, "chunks": shard.path, "path": "vectors/twice.parquet"}
            ],
            "earlier": [],
            "embed": workspace.spec.embed.model_dump(mode="json"),
            "embedder": head.settings,
        },
    }
    task = vectors.TaskSpec(operation=vectors.OPERATION, shard=0, **spec)
    here = {vectors.OPERATION: vectors.embed_shards}
    records: list[TaskRecord] = []
    tables: list[Any] = []
    for _ in range(2):
        records += workspace.run_tasks("vectors", [task], doing="embedding", here=here)
        tables.append(read_table(knowledge.store, "vectors/twice.parquet"))
    assert records[0] == records[1]
    assert tables[0].equals(tables[1])
