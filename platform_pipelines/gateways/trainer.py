"""The trainer's role: runs a training run to its end, telling every event as it happens."""

import json
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from platform_pipelines.core.fine_tune.events import Event, parse_event
from platform_pipelines.errors import CapabilityError, ConflictError, WorkerLostError
from platform_pipelines.gateways.clock import Clock, SystemClock
from platform_pipelines.gateways.model_server import free_port
from platform_pipelines.gateways.programs.sealing import choose
from platform_pipelines.gateways.server_process import ServerProcess

PROGRAM = Path(__file__).parent / "programs" / "train.py"
DEVICES = PROGRAM.with_name("devices.py")
CHECKPOINTS = "checkpoints"
_POLL_SECONDS = 0.2
_SECONDS_TO_LOOK = 180  # PyTorch is imported, maybe from a cold disk
_SECONDS_TO_CHECKPOINT = 180.0


@dataclass(frozen=True, slots=True)
class Devices:
    """What an environment can train on here."""

    gpus: tuple[str, ...] = ()  # their names
    four_bits: bool = False  # a GPU, and the library that quantises


def devices_of(python: Path, environment: Mapping[str, str]) -> Devices:
    """Ask an environment what it can train on.

    Raises:
        CapabilityError: it cannot say.
    """
    try:
        done = subprocess.run(
            [str(python), str(DEVICES)],
            env=dict(environment), check=True, capture_output=True, text=True,
            timeout=_SECONDS_TO_LOOK,
        )  # fmt: skip
        told = json.loads(done.stdout)
        return Devices(tuple(told["gpus"]), bool(told["four_bits"]))
    except (OSError, subprocess.SubprocessError, ValueError, KeyError) as error:
        said = getattr(error, "stderr", None) or str(error)
        raise CapabilityError(
            "the environment of the training does not say what it can train on",
            where=str(python),
            stored=str(said)[-400:],
            remedy="remove the environment's folder, so that it is made again",
        ) from error


@dataclass(frozen=True, slots=True)
class TrainingJob:
    """One run in its folder, which is named by everything that makes it what it is."""

    folder: Path
    digest: str
    config: str  # of the recipe, JSON
    processes: int


class Trainer(Protocol):
    """Raises WorkerLostError when the training ended without its end; run again to resume."""

    def train(self, job: TrainingJob, *, on_event: Callable[[Event], None]) -> Path:
        """Train, or go on, to the end; the folder of the last checkpoint."""
        ...


class LocalTrainer:
    """NeMo Automodel in processes of this machine, in the environment `training`.

    The process outlives its starter: a step that is killed and tried again follows the same
    training on. A step that is interrupted ends it: it checkpoints first.
    """

    def __init__(
        self,
        *,
        python: Callable[[], Path],
        environment: Mapping[str, str],
        progress: Callable[[str], None],
        clock: Clock | None = None,
    ) -> None:
        self._python = python
        self._environment = environment
        self._progress = progress
        self._clock = clock or SystemClock()

    def train(self, job: TrainingJob, *, on_event: Callable[[Event], None]) -> Path:
        """Train, or go on, to the end."""
        process = ServerProcess(job.folder, self._clock)
        events = job.folder / "events.jsonl"
        if process.is_running():
            self._same(process, job)
            self._progress("the training runs already; following it")
        else:
            self._start(process, job)
        last = ""
        try:
            for event in self._follow(process, events):
                last = str(event["event"])
                on_event(event)
        except BaseException:
            process.stop(grace_seconds=_SECONDS_TO_CHECKPOINT)
            raise
        if last != "finished":
            raise WorkerLostError(
                f"the training ended early, after `{last or 'its start'}`",
                where=str(job.folder),
                stored=process.log_tail()[-800:],
                remedy="run again: it goes on from its last whole checkpoint",
            )
        return (job.folder / CHECKPOINTS / "LATEST").resolve()

    def _start(self, process: ServerProcess, job: TrainingJob) -> None:
        python = str(self._python())
        checkpoints = job.folder / CHECKPOINTS
        checkpoints.mkdir(parents=True, exist_ok=True)
        choice = choose(checkpoints, job.processes)
        for name, why in choice.set_aside.items():
            self._progress(f"checkpoint {name} is set aside: {why}")
        config = job.folder / "recipe.json"
        config.write_text(job.config, encoding="utf-8")
        port = str(free_port())
        one = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1"} if job.processes == 1 else {}
        environment = {
            **self._environment,
            **one,
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": port,
            "HF_HUB_OFFLINE": "1",
            "PYTHONUNBUFFERED": "1",
        }
        several = [
            "-m", "torch.distributed.run", "--nproc-per-node", str(job.processes),
            "--master-port", port,
        ]  # fmt: skip
        command = [python, *(several if job.processes > 1 else []), str(PROGRAM)]
        command += [str(job.folder / "events.jsonl"), str(config)]
        process.start(command, environment, {"digest": job.digest})

    def _follow(self, process: ServerProcess, events: Path) -> Iterator[Event]:
        """Every event of the file, from its start, until the training has ended."""
        position, rest = 0, b""
        while True:
            is_running = process.is_running()  # before the look: nothing comes after the last one
            if events.exists():
                with events.open("rb") as file:
                    file.seek(position)
                    data = file.read()
                position += len(data)
                *lines, rest = (rest + data).split(b"\n")
                for line in lines:
                    if event := parse_event(line.decode("utf-8", "replace")):
                        yield event
            if not is_running:
                return
            self._clock.sleep(_POLL_SECONDS)

    def _same(self, process: ServerProcess, job: TrainingJob) -> None:
        wanted = process.wanted() or {}
        if wanted.get("digest") != job.digest:
            raise ConflictError(
                "another training runs in this folder",
                where=str(job.folder),
                stored=wanted.get("digest"),
                expected=job.digest,
                remedy="wait for its end",
            )
