"""Real training, killed: it goes on at its last whole checkpoint, to the very same adapter."""

import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from platform_pipelines.compute.environments import ensure
from platform_pipelines.core.fine_tune.declaration import SHIPPED_BASE, RecipeSpec
from platform_pipelines.core.fine_tune.events import Event, fold
from platform_pipelines.core.fine_tune.recipe import recipe_config
from platform_pipelines.errors import WorkerLostError
from platform_pipelines.gateways.base_weights import base_weights
from platform_pipelines.gateways.programs.sealing import checkpoints, file_digest
from platform_pipelines.gateways.server_process import ServerProcess
from platform_pipelines.gateways.trainer import CHECKPOINTS, LocalTrainer, TrainingJob
from platform_pipelines.stages.fine_tune.adapter import BASE_MODELS
from tests.knowledge import ENVIRONMENTS

pytestmark = [pytest.mark.models, pytest.mark.timeout(1200)]

RECIPE = RecipeSpec(
    max_steps=4, warmup_steps=1, batch=2, micro_batch=2, checkpoint_every_steps=2,
    validate_every_steps=100,
)  # fmt: skip
ROW = (
    '{"messages":[{"role":"user","content":"Who owns pool %d?"},'
    '{"role":"assistant","content":"Mina owns pool %d."}]}\n'
)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def make_job(home: Path) -> Callable[[str], TrainingJob]:
    base = ENVIRONMENTS / BASE_MODELS / SHIPPED_BASE
    base_weights(
        base,
        weights_python=lambda: ensure("weights", ENVIRONMENTS, print),
        training_python=lambda: ensure("training", ENVIRONMENTS, print),
        environment=environment(),
        progress=print,
    )

    def make(name: str) -> TrainingJob:
        folder = home / name
        folder.mkdir()
        rows = "".join(ROW % (n, n) for n in range(8))
        for side in ("train", "validation"):
            (folder / f"{side}.jsonl").write_text(rows)
        config = recipe_config(
            RECIPE,
            base=str(base),
            train=str(folder / "train.jsonl"),
            validation=str(folder / "validation.jsonl"),
            checkpoints=str(folder / CHECKPOINTS),
            gpu=False,
        )
        return TrainingJob(folder, name, config, processes=1)

    return make


def environment() -> dict[str, str]:
    left_out = ("PYTHONDONTWRITEBYTECODE", "VIRTUAL_ENV")
    return {k: v for k, v in os.environ.items() if k not in left_out}


def train(home: Path, job: TrainingJob, on_event: Callable[[Event], None] = lambda _: None) -> str:
    """Train to the end; the digest of the adapter."""
    trainer = LocalTrainer(
        python=lambda: ensure("training", ENVIRONMENTS, print),
        environment=environment(),
        progress=print,
    )
    last = trainer.train(job, on_event=on_event)
    return file_digest(last / "model" / "adapter_model.safetensors")


def killing(
    job: TrainingJob, number: signal.Signals, *, after: tuple[str, int]
) -> Callable[[Event], None]:
    """Sends a signal to the trainer at an event."""

    def watch(event: Event) -> None:
        if (event["event"], event.get("step")) == after:
            os.kill(ServerProcess(job.folder)._pid(), number)

    return watch


def test_killed_trainings_go_on_to_the_same_adapter(
    home: Path, make_job: Callable[[str], TrainingJob]
) -> None:
    """SIGTERM, SIGKILL, and SIGKILL with the last checkpoint damaged: one adapter, byte by byte."""
    whole = train(home, make_job("whole"))

    for name, number, at in (
        ("term", signal.SIGTERM, ("step", 1)),
        ("kill", signal.SIGKILL, ("step", 2)),
        ("damaged", signal.SIGKILL, ("checkpoint", 3)),
    ):
        job = make_job(name)
        with pytest.raises(WorkerLostError):
            train(home, job, killing(job, number, after=at))
        if name == "damaged":
            newest = checkpoints(job.folder / CHECKPOINTS)[0]
            path = newest / "model" / "adapter_model.safetensors"
            data = bytearray(path.read_bytes())
            data[len(data) // 2] ^= 64
            path.write_bytes(data)
        told: list[Event] = []
        again = replace(job)
        assert train(home, again, told.append) == whole, name
        curve = fold(told)
        assert len(curve.steps) == RECIPE.max_steps
        assert curve.resumed_at[-1] >= 2
