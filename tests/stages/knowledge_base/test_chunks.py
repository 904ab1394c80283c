"""Cutting documents into chunks: what stands is kept, and workers cut as this process does."""

import itertools
from pathlib import Path

import pytest

from platform_pipelines.settings import Settings
from platform_pipelines.stages.knowledge_base import chunks
from platform_pipelines.stages.knowledge_base.tables import read_table
from platform_pipelines.stages.road.workspace import head_key
from tests.knowledge import Knowledge, new_knowledge


@pytest.fixture
def knowledge(tmp_path: Path, settings: Settings) -> Knowledge:
    made = new_knowledge(tmp_path, settings)
    made.refresh(end="chunks")
    return made


def _files(knowledge: Knowledge) -> dict[str, str]:
    """Every file of chunks, with its version."""
    listed = itertools.chain.from_iterable(knowledge.store.list_objects("chunks/"))
    return {item.key: item.version for item in listed}


def _rows(knowledge: Knowledge) -> dict[str, list[dict[str, object]]]:
    return {k: read_table(knowledge.store, k).to_pylist() for k in _files(knowledge)}


def test_a_shard_that_a_killed_run_finished_is_not_cut_again(knowledge: Knowledge) -> None:
    """The files were there, and every run after a kill made them once more."""
    before = _files(knowledge)
    knowledge.store.delete([head_key("chunks")])  # as if killed before the head moved
    outcome = knowledge.run("chunks")
    assert outcome.is_changed
    assert _files(knowledge) == before
    assert outcome.changes["made"] == outcome.snapshot.rows
    assert outcome.changes["removed"] == 0


def test_workers_cut_what_this_process_cuts(
    knowledge: Knowledge, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Few documents are cut here, many in workers: the same chunks, byte for byte."""
    here = _rows(knowledge)
    knowledge.store.delete([*_files(knowledge), head_key("chunks")])
    monkeypatch.setattr(chunks, "FEW_DOCUMENTS", 0)
    knowledge.run("chunks")
    assert _rows(knowledge) == here


def test_chunks_of_unchanged_documents_stand_beside_new_ones(knowledge: Knowledge) -> None:
    """A shard with one changed document keeps the others' chunks, in the order of its keys."""
    before = {row["chunk_id"] for rows in _rows(knowledge).values() for row in rows}
    changed = knowledge.documents / "guide2.md"
    changed.write_text(
        changed.read_text(encoding="utf-8") + "\n## 새 절\n\n새로운 글입니다.\n", "utf-8"
    )
    knowledge.run("documents")
    outcome = knowledge.run("chunks")
    assert (outcome.changes["made"], outcome.changes["removed"]) == (1, 1)
    assert outcome.changes["kept"] > 0  # in the shard that was written anew
    tables = [read_table(knowledge.store, s.path) for s in outcome.snapshot.shards]
    after = {i for table in tables for i in table.column("chunk_id").to_pylist()}
    assert len(before - after) == len(after - before) == 1
    for table in tables:
        keys = table.column("document_key").to_pylist()
        assert keys == sorted(keys)
