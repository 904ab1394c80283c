"""A training as the product runs it, over NeMo Automodel's bare recipe: interleaved pairs.

Both train the same rows by the same configuration, checkpoints and all. Ours also seals, tells
every event in a file, follows it, and looks for what can be resumed. A pair's budget is 3 s and 2 %
of the bare loop; the figure is the median of the pairs' overhead over their budget. Processor
seconds of all processes stand beside the wall's: on a busy machine they are what means something.
"""

import json
import os
import statistics
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.report import Figure, Progress
from platform_pipelines.compute.environments import ensure
from platform_pipelines.core.fine_tune.declaration import SHIPPED_BASE, RecipeSpec
from platform_pipelines.core.fine_tune.events import Event
from platform_pipelines.core.fine_tune.recipe import recipe_config
from platform_pipelines.gateways import trainer
from platform_pipelines.gateways.base_weights import base_weights
from platform_pipelines.gateways.trainer import CHECKPOINTS, LocalTrainer, TrainingJob
from platform_pipelines.settings import load_settings
from platform_pipelines.stages.fine_tune.adapter import BASE_MODELS

PAIRS = 5
FIXED_SECONDS, SHARE = 3.0, 0.02
BARE = Path(__file__).parent / "bare_recipe.py"
PROGRAMS = Path(trainer.__file__).parent / "programs"
RECIPE = RecipeSpec(
    max_steps=6, warmup_steps=1, batch=2, micro_batch=2, checkpoint_every_steps=3,
    validate_every_steps=100,
)  # fmt: skip
ROW = (
    '{"messages":[{"role":"user","content":"Who owns pool %d?"},'
    '{"role":"assistant","content":"Mina owns pool %d."}]}\n'
)


@dataclass(frozen=True, slots=True)
class Run:
    """One training: wall seconds of all of it, of its loop, and processor seconds."""

    seconds: float
    loop_seconds: float
    cpu_seconds: float


@dataclass(frozen=True, slots=True)
class Pair:
    """Both, one directly after the other."""

    bare: Run
    ours: Run

    def over_budget(self, kind: str) -> float:
        """Overhead in `seconds` or `cpu_seconds` over what is allowed; 1 is just allowed."""
        extra = getattr(self.ours, kind) - getattr(self.bare, kind)
        return extra / (FIXED_SECONDS + SHARE * self.bare.loop_seconds)


def measure_training(progress: Progress, pairs: int = PAIRS) -> Iterator[Figure]:
    """Two figures: the overhead over its budget, by the wall and by the processor."""
    with TemporaryDirectory(prefix="training-") as folder:
        place = _Place(Path(folder), progress)
        done = [place.pair(number) for number in range(pairs)]
    steps = RECIPE.max_steps
    for kind, label in (("seconds", "wall"), ("cpu_seconds", "processor")):
        extra = [getattr(p.ours, kind) - getattr(p.bare, kind) for p in done]
        base = [getattr(p.bare, kind) for p in done]
        yield Figure(
            name=f"training over the bare recipe, {label}: overhead / (3 s + 2 %)",
            value=statistics.median(pair.over_budget(kind) for pair in done),
            target=1.0,
            detail=f"median of {len(done)} pairs of {steps} steps: "
            f"{statistics.median(extra):+.1f} s on {statistics.median(base):.1f} s",
            record={"overhead_seconds": extra, "bare_seconds": base},
        )


class _Place:
    """The rows, the base model, and both ways to train on them."""

    def __init__(self, folder: Path, progress: Progress) -> None:
        self.folder = folder
        self.progress = progress
        self.home = load_settings().environments_home
        left_out = ("PYTHONDONTWRITEBYTECODE", "VIRTUAL_ENV")
        self.environment = {k: v for k, v in os.environ.items() if k not in left_out}
        self.python = ensure("training", self.home, progress)
        self.base = self.home / BASE_MODELS / SHIPPED_BASE
        base_weights(
            self.base,
            weights_python=lambda: ensure("weights", self.home, progress),
            training_python=lambda: self.python,
            environment=self.environment,
            progress=progress,
        )
        (folder / "rows.jsonl").write_text("".join(ROW % (n, n) for n in range(8)))

    def pair(self, number: int) -> Pair:
        """The bare one first in even pairs, ours in odd ones."""
        names = [("bare", self._bare), ("ours", self._ours)]
        runs = {name: run(f"{name}{number}") for name, run in names[:: -1 if number % 2 else 1]}
        pair = Pair(runs["bare"], runs["ours"])
        self.progress(
            f"pair {number + 1}: bare {pair.bare.seconds:.1f} s ({pair.bare.cpu_seconds:.1f} s of "
            f"processor), ours {pair.ours.seconds:.1f} s ({pair.ours.cpu_seconds:.1f} s)"
        )
        return pair

    def _config(self, folder: Path) -> str:
        folder.mkdir()
        rows = str(self.folder / "rows.jsonl")
        return recipe_config(
            RECIPE, base=str(self.base), train=rows, validation=rows,
            checkpoints=str(folder / CHECKPOINTS), gpu=False,
        )  # fmt: skip

    def _bare(self, name: str) -> Run:
        folder = self.folder / name
        config = folder / "recipe.json"
        text = self._config(folder)
        config.write_text(text, encoding="utf-8")
        alone = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1"}
        environment = {
            **self.environment, **alone, "MASTER_PORT": str(trainer.free_port()),
            "HF_HUB_OFFLINE": "1",
        }  # fmt: skip
        started = time.monotonic()
        done = subprocess.run(
            [str(self.python), str(BARE), str(PROGRAMS), str(config)],
            env=environment, capture_output=True, text=True, check=True,
        )  # fmt: skip
        seconds = time.monotonic() - started
        said: Mapping[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return Run(seconds, said["loop_seconds"], said["cpu_seconds"])

    def _ours(self, name: str) -> Run:
        folder = self.folder / name
        job = TrainingJob(folder, name, self._config(folder), processes=1)
        told: list[Event] = []
        one = LocalTrainer(
            python=lambda: self.python, environment=self.environment, progress=self.progress
        )
        own, started = time.process_time(), time.monotonic()
        one.train(job, on_event=told.append)
        seconds = time.monotonic() - started
        begun = next(e["at"] for e in told if e["event"] == "ready")
        cpu = float(told[-1]["cpu_seconds"]) + time.process_time() - own
        return Run(seconds, float(told[-1]["at"]) - float(begun), cpu)
