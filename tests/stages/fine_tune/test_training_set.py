"""`training_set` on the shipped sample: versioned, guarded, and written once."""

from pathlib import Path

import pytest

from platform_pipelines.core.fine_tune.declaration import FineTuneSpec
from platform_pipelines.errors import EmptyCorpusError
from platform_pipelines.stages.fine_tune.training_set import refresh_training_set
from platform_pipelines.stages.fine_tune.workspace import Workspace, open_workspace
from tests.knowledge import settings_under

SAMPLES = Path(__file__).resolve().parents[3] / "platform_pipelines" / "samples" / "assistant"


def workspace(folder: Path, *, chats: Path = SAMPLES / "chats.jsonl") -> Workspace:
    spec = FineTuneSpec.model_validate(
        {
            "name": "assistant",
            "data": {"sources": [chats.as_uri()]},
            "gate": {"golden_set": (SAMPLES / "golden.jsonl").as_uri()},
        }
    )
    return open_workspace(spec, settings_under(folder, None))


def test_the_sample_is_made_without_its_golden_questions(tmp_path: Path) -> None:
    """Three rows hold one, or nearly; two are written twice."""
    outcome = refresh_training_set(workspace(tmp_path))
    counts, details = outcome.snapshot.counts, outcome.snapshot.details
    assert (counts["leaks"], counts["duplicates"], counts["refused"]) == (3, 2, 0)
    assert counts["train"] + counts["validation"] == 70
    found = {leak["golden question"] for leak in details["leaks"]}
    assert {"limit-05", "limit-08"} <= found


def test_the_same_content_again_writes_nothing(tmp_path: Path) -> None:
    """And a new row is a new version, beside the old one."""
    first = refresh_training_set(workspace(tmp_path))
    assert not refresh_training_set(workspace(tmp_path)).is_changed
    more = tmp_path / "chats.jsonl"
    row = '{"messages":[{"role":"user","content":"?"},{"role":"assistant","content":"!"}]}\n'
    more.write_text((SAMPLES / "chats.jsonl").read_text(encoding="utf-8") + row, encoding="utf-8")
    second = refresh_training_set(workspace(tmp_path, chats=more))
    assert second.snapshot.digest != first.snapshot.digest
    store = workspace(tmp_path).store
    assert all(store.exists(s.path) for one in (first, second) for s in one.snapshot.shards)


def test_a_side_without_rows_is_refused(tmp_path: Path) -> None:
    """A validation loss of nothing says nothing."""
    one = tmp_path / "one.jsonl"
    one.write_text(
        '{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"}]}'
    )
    with pytest.raises(EmptyCorpusError):
        refresh_training_set(workspace(tmp_path, chats=one))
