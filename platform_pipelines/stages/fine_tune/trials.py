"""`trials`: the declared grid of recipes, each trained as an adapter is; the best one is `adapter`.

A trial is a training run like any other: named by its content, resumed, sealed, shown in MLflow. It
is not trained again when it becomes the adapter.
"""

from dataclasses import replace

from platform_pipelines.core.road.snapshot import Snapshot
from platform_pipelines.errors import EvidenceError, UnknownNameError
from platform_pipelines.stages.fine_tune import adapter
from platform_pipelines.stages.fine_tune.adapter import OnEvent
from platform_pipelines.stages.fine_tune.workspace import Workspace
from platform_pipelines.stages.road.outcome import StageOutcome

STAGE = "trials"


def refresh_trial(
    workspace: Workspace, name: str, *, on_event: OnEvent = lambda _: None
) -> StageOutcome:
    """Train one combination of the grid, unless it was trained on these data already.

    Raises:
        UnknownNameError: the grid has no such trial.
        WorkerLostError: the training ended early; run again, it resumes.
    """
    return adapter.train(_with_recipe(workspace, name), stage_of(name), on_event=on_event)


def choose_adapter(workspace: Workspace, *, on_event: OnEvent = lambda _: None) -> StageOutcome:
    """The adapter with the lowest validation loss at its end; without a grid it is trained here.

    Raises:
        EvidenceError: a trial is missing on the data that are there now.
    """
    if workspace.spec.grid is None:
        return adapter.refresh_adapter(workspace, on_event=on_event)
    previous, version = workspace.head(adapter.STAGE)
    losses, snapshots = _finished(workspace)
    best = min(losses, key=lambda name: losses[name])
    chosen = snapshots[best]
    snapshot = Snapshot(
        stage=adapter.STAGE,
        settings=chosen.settings,
        shards=chosen.shards,
        counts=chosen.counts,
        details={**chosen.details, "trial": best, "trials": losses},
    )
    if previous and previous.record_digest == snapshot.record_digest:
        return StageOutcome.unchanged(previous)
    with workspace.writing(adapter.STAGE, version) as writing:
        writing.move_head(snapshot, version)
    return StageOutcome.changed(snapshot, previous, {"trials": len(losses)})


def stage_of(name: str) -> str:
    """Where a trial's head is."""
    return f"{STAGE}/{name.replace(' ', ',')}"


def _finished(workspace: Workspace) -> tuple[dict[str, float], dict[str, Snapshot]]:
    """Every trial's last validation loss, and what it made."""
    _, base_files = adapter.base_folder(workspace)
    losses: dict[str, float] = {}
    snapshots: dict[str, Snapshot] = {}
    for name in workspace.spec.trials:
        wanted = adapter.run_digest(_with_recipe(workspace, name), base_files)
        found, _ = workspace.head(stage_of(name))
        if found is not None and found.settings == wanted:
            losses[name] = float(found.details["validations"][-1]["loss"])
            snapshots[name] = found
    missing = [name for name in workspace.spec.trials if name not in losses]
    if missing:
        raise EvidenceError(
            "trials are missing on the data that are there now",
            where=f"{workspace.name}, grid",
            stored=", ".join(sorted(losses)) or "none",
            expected=", ".join(workspace.spec.trials),
            remedy=f"run {workspace.name}_trials for the partitions: {', '.join(missing)}",
        )
    return losses, snapshots


def _with_recipe(workspace: Workspace, name: str) -> Workspace:
    recipe = workspace.spec.trials.get(name)
    if recipe is None:
        raise UnknownNameError(
            "the grid has no such trial",
            where=f"{workspace.name}, grid",
            stored=name,
            expected=", ".join(workspace.spec.trials),
        )
    return replace(workspace, spec=workspace.spec.model_copy(update={"recipe": recipe}))
