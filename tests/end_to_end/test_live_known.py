"""What the live revision answered when it was the candidate is not asked again."""

from pathlib import Path

import pytest

from platform_pipelines.settings import Settings
from platform_pipelines.stages.knowledge_base.stored_evidence import read_evidence
from platform_pipelines.stages.road.evidence import evidence_key
from platform_pipelines.stages.road.workspace import head_key
from tests.knowledge import Knowledge, golden_lines, guide, new_knowledge, settings_under

pytestmark = pytest.mark.end_to_end
GUIDES = range(12)
GATE = {"golden_set": "golden.jsonl", "floors": {"hit_at_k": 0.8, "mrr": 0.5}}


@pytest.fixture
def proven(tmp_path: Path, lite_uri: str) -> Knowledge:
    """Twelve guides, released on a golden set."""
    settings: Settings = settings_under(tmp_path / "home", lite_uri, lease_wait_seconds=30)
    folder = tmp_path / "kb"
    folder.mkdir()
    (folder / "golden.jsonl").write_text(golden_lines(GUIDES), encoding="utf-8")
    made = new_knowledge(folder, settings, guides=GUIDES, gate=GATE)
    made.refresh()
    return made


def test_what_is_live_is_asked_once_and_the_evidence_is_the_same(proven: Knowledge) -> None:
    """Its answers stand in the evidence of its release; without that it is asked again."""
    released = proven.log()[-1].evidence_digest
    assert released is not None
    (proven.documents / "guide40.md").write_text(guide(40), encoding="utf-8")
    proven.progress.clear()
    known = proven.refresh(end="evidence")["evidence"].snapshot.details["evidence"]
    assert any("answered these questions before" in line for line in proven.progress)
    found = read_evidence(proven.store, known)
    assert found is not None
    assert all(row.baseline for row in found.rows)
    proven.store.delete([evidence_key(released), head_key("evidence")])
    proven.progress.clear()
    again = proven.refresh(start="evidence", end="evidence")["evidence"].snapshot
    assert not any("answered these questions before" in line for line in proven.progress)
    assert again.details["evidence"] == known
