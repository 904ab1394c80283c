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
    max_steps=6, warmup_steps=1, batch=2, micro_batch=2, checkpoint_every_steps=2,
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


@pytest.fixture(scope="module")
def whole(home: Path, make_job: Callable[[str], TrainingJob]) -> str:
    """The adapter of a training that nobody disturbed."""
    return train(home, make_job("whole"))


def flip(newest: Path) -> None:
    """One bit of the adapter in a checkpoint."""
    path = newest / "model" / "adapter_model.safetensors"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 64
    path.write_bytes(data)


def cut(newest: Path) -> None:
    """The optimizer's file ends in its middle."""
    (path,) = (newest / "optim").glob("*.distcp")
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)


def lose(newest: Path) -> None:
    """The optimizer's file is not there any more."""
    (path,) = (newest / "optim").glob("*.distcp")
    path.unlink()


# Name -> signal, the event after which it comes, what is done to the newest checkpoint, and from
# which step on the training goes on: an interval is lost at most, two with a damaged checkpoint.
KILLS: dict[str, tuple[signal.Signals, tuple[str, int], Callable[[Path], None] | None, int]] = {
    "a bit of the last checkpoint is another": (signal.SIGKILL, ("step", 4), flip, 2),
    "a notice, and time to checkpoint": (signal.SIGTERM, ("step", 0), None, 1),
    "a notice in a later interval": (signal.SIGTERM, ("step", 2), None, 3),
    "killed after a checkpoint": (signal.SIGKILL, ("checkpoint", 1), None, 2),
    "killed before a checkpoint": (signal.SIGKILL, ("step", 2), None, 2),
    "killed in the middle of a checkpoint": (signal.SIGKILL, ("checkpoint_begin", 3), None, 2),
    "killed in the first interval": (signal.SIGKILL, ("step", 0), None, 0),
    "a file of the last checkpoint is cut": (signal.SIGKILL, ("step", 4), cut, 2),
    "a file of the last checkpoint is gone": (signal.SIGKILL, ("step", 4), lose, 2),
    "a notice in the middle of a checkpoint": (signal.SIGTERM, ("checkpoint_begin", 3), None, 4),
    "killed in the middle of the first": (signal.SIGKILL, ("checkpoint_begin", 1), None, 0),
    "killed after the last step": (signal.SIGKILL, ("step", 5), None, 4),
}
IN_CI = ("a bit of the last checkpoint is another",)


@pytest.mark.parametrize(
    "kind", [k if k in IN_CI else pytest.param(k, marks=pytest.mark.long) for k in KILLS]
)
def test_a_killed_training_goes_on_to_the_same_adapter(
    home: Path, make_job: Callable[[str], TrainingJob], whole: str, kind: str
) -> None:
    """One adapter, byte by byte, whenever and however it was killed."""
    number, at, harm, goes_on_at = KILLS[kind]
    job = make_job(kind.replace(" ", "_"))
    with pytest.raises(WorkerLostError):
        train(home, job, killing(job, number, after=at))
    if harm is not None:
        harm(checkpoints(job.folder / CHECKPOINTS)[0])
    told: list[Event] = []
    assert train(home, replace(job), told.append) == whole
    curve = fold(told)
    assert len(curve.steps) == RECIPE.max_steps
    assert curve.resumed_at[-1] >= goes_on_at
