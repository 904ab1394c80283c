"""The grid: what is missing is named, the best trial is the adapter, and other data are no match.

That a trial is trained as the adapter is, is seen in tests/models; here its head is written.
"""

from pathlib import Path

import pytest

from platform_pipelines.core.fine_tune.declaration import FineTuneSpec
from platform_pipelines.core.road.snapshot import ShardRecord, Snapshot
from platform_pipelines.errors import EvidenceError, UnknownNameError
from platform_pipelines.stages.fine_tune import adapter, trials
from platform_pipelines.stages.fine_tune.training_set import refresh_training_set
from platform_pipelines.stages.fine_tune.workspace import Workspace, open_workspace
from tests.knowledge import settings_under
from tests.stages.fine_tune.test_training_set import SAMPLES

LOW, HIGH = "learning_rate=0.0001", "learning_rate=0.0005"
FILES = {"model.safetensors": "0" * 64}


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.setattr(adapter, "base_folder", lambda _: (tmp_path, FILES))
    spec = FineTuneSpec.model_validate(
        {
            "name": "assistant",
            "data": {"sources": [(SAMPLES / "chats.jsonl").as_uri()]},
            "gate": {"golden_set": (SAMPLES / "golden.jsonl").as_uri()},
            "grid": {"learning_rate": [1e-4, 5e-4]},
        }
    )
    opened = open_workspace(spec, settings_under(tmp_path, None))
    refresh_training_set(opened)
    return opened


def trained(workspace: Workspace, name: str, loss: float) -> None:
    """The head that a trial's training leaves."""
    settings = adapter.run_digest(trials._with_recipe(workspace, name), FILES)
    snapshot = Snapshot(
        stage=trials.stage_of(name),
        settings=settings,
        shards=(ShardRecord(0, settings, f"adapter of {name}", f"adapters/{settings}", 1),),
        details={"validations": [{"step": 9, "loss": 9.0}, {"step": 19, "loss": loss}]},
    )
    workspace.move_head(snapshot, None)


def test_the_best_trial_is_the_adapter_and_is_not_trained_again(workspace: Workspace) -> None:
    """By its last validation loss."""
    trained(workspace, LOW, 0.4)
    trained(workspace, HIGH, 0.2)
    outcome = trials.choose_adapter(workspace)
    assert outcome.is_changed
    assert outcome.snapshot.details["trial"] == HIGH
    assert outcome.snapshot.shards[0].digest == f"adapter of {HIGH}"
    assert workspace.require_head(adapter.STAGE).digest == outcome.snapshot.digest
    assert not trials.choose_adapter(workspace).is_changed


def test_missing_trials_are_named(workspace: Workspace) -> None:
    """Nothing is chosen from half a grid."""
    trained(workspace, LOW, 0.4)
    with pytest.raises(EvidenceError, match="trials are missing") as told:
        trials.choose_adapter(workspace)
    assert f"for the partitions: {HIGH}" in str(told.value)
    with pytest.raises(UnknownNameError):
        trials.refresh_trial(workspace, "learning_rate=7")
