"""What is declared as data, read from where it is: knowledge bases, reviewed feedback."""

import json
from pathlib import Path

import pytest

from platform_pipelines.core.fine_tune.declaration import FineTuneSpec
from platform_pipelines.core.knowledge_base.feedback import Feedback, golden_candidates
from platform_pipelines.errors import UnknownNameError
from platform_pipelines.stages.fine_tune.training_set import (
    held_out,
    passages,
    refresh_training_set,
)
from platform_pipelines.stages.fine_tune.workspace import Workspace, open_workspace
from platform_pipelines.stages.knowledge_base.connect import open_knowledge_store
from platform_pipelines.stages.knowledge_base.feedback import keep_feedback, read_feedback
from tests.knowledge import golden_lines, new_knowledge, settings_under


def workspace(folder: Path, golden: str, **data: object) -> Workspace:
    path = folder / "golden.jsonl"
    path.write_text(golden, encoding="utf-8")
    spec = FineTuneSpec.model_validate(
        {
            "name": "finder",
            "data": {"validation_share": 0.3, **data},
            "recipe": {"task": "embedding", "contrast": {"negatives": 3}},
            "gate": {"golden_set": path.as_uri()},
        }
    )
    return open_workspace(spec, settings_under(folder, None))


def test_an_embedder_learns_from_a_knowledge_base_and_not_its_golden_questions(
    tmp_path: Path,
) -> None:
    """Each chunk is a row; what is held out is searched among all passages."""
    base = new_knowledge(tmp_path / "kb", settings_under(tmp_path, None), guides=range(40))
    base.refresh(end="chunks")
    wanted = workspace(tmp_path, golden_lines([1]), knowledge_bases=[base.name])
    outcome = refresh_training_set(wanted)
    counts = outcome.snapshot.counts
    assert counts["train"] > counts["validation"] > 0
    held = held_out(wanted)
    assert all(len(row.negatives) == 3 for row in held)
    assert not {row.positive for row in held} - set(passages(wanted))
    assert not refresh_training_set(wanted).is_changed


def test_a_knowledge_base_without_chunks_is_told_by_its_name(tmp_path: Path) -> None:
    """A misspelt name is not an empty source."""
    with pytest.raises(UnknownNameError) as told:
        refresh_training_set(workspace(tmp_path, golden_lines([1]), knowledge_bases=["nobody"]))
    assert "nobody" in str(told.value)
    assert "nobody_refresh" in str(told.value)


def test_feedback_is_learnt_once_a_person_accepted_it(tmp_path: Path) -> None:
    """As `serve` stored it, as `feedback` wrote it, as a person marked it."""
    store = open_knowledge_store(settings_under(tmp_path, None), "handbook")
    for number in range(30):
        said = Feedback("blue", "r1", "2026-11-27", f"t{number}", -1, f"Question {number}?",
                        f"The answer to number {number} is {number * 7}.", "")  # fmt: skip
        assert keep_feedback(store, said)
    rows = golden_candidates(read_feedback(store))
    for row in rows[:20]:
        row["state"] = "accepted"
    reviewed = tmp_path / "reviewed.jsonl"
    reviewed.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    wanted = workspace(tmp_path, golden_lines([1]), reviewed=[reviewed.as_uri()])
    snapshot = refresh_training_set(wanted).snapshot
    assert snapshot.counts["train"] + snapshot.counts["validation"] == 20
    assert snapshot.counts["refused"] == 10
    assert snapshot.details["tenants"] == {"blue": 20}
