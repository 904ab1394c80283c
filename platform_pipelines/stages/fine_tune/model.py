"""`model`: the adapter merged into its base: safetensors with a digest, a card, a smoke test."""

import json
import math
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from platform_pipelines.core.road.served_model import ModelRef, files_digest, model_ref
from platform_pipelines.core.road.snapshot import ShardRecord, Snapshot
from platform_pipelines.errors import IntegrityError, UnavailableError
from platform_pipelines.gateways import trainer
from platform_pipelines.gateways.base_weights import FILES
from platform_pipelines.stages.fine_tune.adapter import STAGE as ADAPTER
from platform_pipelines.stages.fine_tune.adapter import base_folder
from platform_pipelines.stages.fine_tune.training_set import held_out
from platform_pipelines.stages.fine_tune.workspace import Workspace
from platform_pipelines.stages.road.asking import load_questions
from platform_pipelines.stages.road.model_files import fetch_files, publish_model
from platform_pipelines.stages.road.outcome import StageOutcome

STAGE = "model"
PROGRAMS = Path(trainer.__file__).parent / "programs"
_SECONDS_TO_MERGE = 900.0


def refresh_model(workspace: Workspace) -> StageOutcome:
    """Merge, unless this adapter was merged already.

    Raises:
        UnavailableError: the merge failed.
        IntegrityError: the merged model says nothing, or makes vectors that are none.
    """
    previous, version = workspace.head(STAGE)
    adapter = workspace.require_head(ADAPTER)
    if previous and previous.settings == adapter.digest and _is_there(workspace, previous):
        return StageOutcome.unchanged(previous)
    with workspace.writing(STAGE, version) as writing:
        base, base_files = base_folder(writing)
        folder = writing.home / "merged"
        shutil.rmtree(folder, ignore_errors=True)
        writing.progress("merging the adapter into its base")
        made = _merge(writing, base, adapter, folder)
        files: dict[str, str] = made["files"]
        model = publish_model(writing.tools.models, folder, files)
        base_model = publish_model(writing.tools.models, base, base_files)
        snapshot = Snapshot(
            stage=STAGE,
            settings=adapter.digest,
            shards=(ShardRecord(0, adapter.digest, model.digest, model.url, 1),),
            counts={"bytes": sum(p.stat().st_size for p in folder.iterdir())},
            details={
                "model": model.record(),
                "base": base_model.record(),
                "adapter": adapter.details["adapter"],
                "smoke_question": made["question"],
                "smoke_answer": made["answer"],
                "files": files,
            },
        )
        writing.move_head(snapshot, version)
        shutil.rmtree(folder, ignore_errors=True)
    return StageOutcome.changed(snapshot, previous, {"merged": 1})


def made_model(workspace: Workspace) -> ModelRef:
    """The model that was built last."""
    return model_ref(workspace.require_head(STAGE).details["model"])


def base_model(workspace: Workspace) -> ModelRef:
    """The base that it was built on."""
    return model_ref(workspace.require_head(STAGE).details["base"])


def _is_there(workspace: Workspace, snapshot: Snapshot) -> bool:
    return workspace.tools.models.exists(f"{model_ref(snapshot.details['model']).digest}/{FILES}")


def _merge(workspace: Workspace, base: Path, adapter: Snapshot, out: Path) -> dict[str, Any]:
    key = adapter.shards[0].path
    local = workspace.home / "adapters" / adapter.shards[0].digest
    files = fetch_files(workspace.store, key, local)
    if files_digest(files) != adapter.details["adapter"]:
        raise IntegrityError(
            "the adapter is not the one that was trained",
            where=key,
            stored=files_digest(files),
            expected=adapter.details["adapter"],
            remedy="train again: raise recipe.seed, or delete the adapter's folder",
        )
    program, asked = _smoke(workspace)
    command = [
        str(workspace.tools.python("training")), str(PROGRAMS / program), str(base), str(local),
        str(out), *asked,
    ]  # fmt: skip
    done = subprocess.run(
        command,
        env={**workspace.tools.environment, "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=_SECONDS_TO_MERGE,
    )
    if done.returncode != 0:
        raise UnavailableError(
            "the adapter could not be merged",
            where=workspace.name,
            stored=done.stderr[-800:],
            remedy="look at the end of its output above, and run again",
        )
    made: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return _spoken(workspace, made, asked[0])


def _smoke(workspace: Workspace) -> tuple[str, list[str]]:
    """The program that merges, and what it asks the merged model."""
    if not workspace.spec.is_embedder:
        golden = load_questions(workspace.settings, workspace.spec.gate.golden_set)
        return "merge_adapter.py", [golden.questions[0].question]
    first = held_out(workspace)[0]
    contrast = workspace.spec.recipe.contrast
    passages = [f"{contrast.passage_prefix} {p}" for p in (first.positive, first.negatives[0])]
    return "merge_encoder.py", [f"{contrast.query_prefix} {first.question}", *passages]


def _spoken(workspace: Workspace, made: Mapping[str, Any], question: str) -> dict[str, Any]:
    """What the merged model said, if it is worth its evaluation."""
    if workspace.spec.is_embedder:
        near, far = made["similarities"]
        made = {**made, "answer": f"similarity {near} with its passage, {far} with another"}
        if not (math.isfinite(near) and math.isfinite(far)):
            raise IntegrityError(
                "the merged embedder makes vectors that are not finite",
                where=workspace.name,
                stored=made["answer"],
                remedy="lower recipe.learning_rate, or look at the training set",
            )
    if not made["answer"].strip():
        raise IntegrityError(
            "the merged model says nothing",
            where=workspace.name,
            stored=repr(made["answer"]),
            expected="some words",
            remedy="lower recipe.learning_rate, or look at the training set",
        )
    return {**made, "question": question}
