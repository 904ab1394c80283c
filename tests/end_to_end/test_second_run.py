"""A run with nothing to do reads no document, writes nothing, and says so."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from platform_pipelines.stages.knowledge_base import connect
from platform_pipelines.stages.knowledge_base.workspace import STAGES
from tests.fakes import FaultyObjectStore
from tests.knowledge import RUN, Knowledge, changed_stages

pytestmark = pytest.mark.end_to_end


def files(folder: Path) -> dict[str, tuple[int, int]]:
    """Every file below a folder: when it was written, and its size."""
    return {
        str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.stat().st_size)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_it_writes_nothing_and_reads_no_table(knowledge: Knowledge) -> None:
    """On 10,000 documents the second run is what costs every hour of every day."""
    knowledge.refresh()
    before, collections = files(knowledge.settings.home / "store"), knowledge.collections()
    read: list[str] = []
    for stage in STAGES:
        workspace = knowledge.workspace()
        counting = FaultyObjectStore(workspace.store)
        outcome = RUN[stage](replace(workspace, store=counting))
        assert not outcome.is_changed, stage
        assert counting.writes == []
        read += counting.reads
    assert files(knowledge.settings.home / "store") == before
    assert knowledge.collections() == collections
    assert [key for key in read if key.endswith(".parquet")] == []


def test_it_opens_no_document(knowledge: Knowledge, monkeypatch: pytest.MonkeyPatch) -> None:
    """The listing alone must tell that nothing changed: a source may be a slow bucket."""
    knowledge.refresh()
    opened: list[FaultyObjectStore] = []
    open_source: Callable[..., object] = connect.open_source

    def counting(*arguments: object) -> object:
        opened.append(FaultyObjectStore(open_source(*arguments)))  # type: ignore[arg-type]
        return opened[-1]

    monkeypatch.setattr(connect, "open_source", counting)
    assert changed_stages(knowledge.refresh()) == []
    assert opened != []
    assert {key for store in opened for key in store.reads} == {"list "}


def test_a_document_whose_time_changed_makes_no_new_revision(knowledge: Knowledge) -> None:
    """`git clone` and `rsync` touch every file: only the listing is noted, nothing is cut again."""
    first = knowledge.refresh()
    path = knowledge.documents / "guide1.md"
    os.utime(path, (path.stat().st_atime, path.stat().st_mtime + 3600))
    second = knowledge.refresh()
    assert changed_stages(second) == ["documents"]
    assert second["documents"].changes["same"] == 1
    assert second["documents"].changes["content_changed"] == 0
    assert second["documents"].snapshot.digest == first["documents"].snapshot.digest
    assert len(knowledge.log()) == 1
    assert changed_stages(knowledge.refresh()) == []


def test_another_declaration_of_the_same_work_changes_nothing(
    make_knowledge: Callable[..., Knowledge],
) -> None:
    """Owner, description and cron are not content: editing them must not re-embed a corpus."""
    knowledge = make_knowledge()
    knowledge.refresh()
    edited = knowledge.declared(
        description="Now described.", owner="team:other", refresh={"cron": "5 5 * * *"},
        release={"keep": 5},
    )  # fmt: skip
    assert changed_stages(edited.refresh()) == []
