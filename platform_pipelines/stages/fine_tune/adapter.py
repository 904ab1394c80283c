"""`adapter`: the training run, followed live; resumed where it was killed, elsewhere too."""

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from platform_pipelines.core.fine_tune import recipe as recipes
from platform_pipelines.core.fine_tune.declaration import (
    SHIPPED_BASE,
    SHIPPED_ENCODER,
    training_digest,
)
from platform_pipelines.core.fine_tune.events import Event, fold, told
from platform_pipelines.core.road.served_model import files_digest
from platform_pipelines.core.road.snapshot import ShardRecord, Snapshot
from platform_pipelines.errors import CapabilityError, PlatformError
from platform_pipelines.gateways.base_weights import FILES, base_weights
from platform_pipelines.gateways.e5.weights import encoder_weights
from platform_pipelines.gateways.model_registry import ModelRegistry
from platform_pipelines.gateways.object_store import ObjectStore
from platform_pipelines.gateways.programs.sealing import SEAL, file_digest
from platform_pipelines.gateways.trainer import CHECKPOINTS, LocalTrainer, TrainingJob
from platform_pipelines.stages.fine_tune.training_set import SIDES
from platform_pipelines.stages.fine_tune.training_set import STAGE as TRAINING_SET
from platform_pipelines.stages.fine_tune.workspace import Workspace
from platform_pipelines.stages.road.model_files import fetch_files, publish_files
from platform_pipelines.stages.road.outcome import StageOutcome

STAGE = "adapter"
BASE_MODELS = "base_models"  # beside the environments: made once with them, verified at each use
_KEPT_CHECKPOINTS = 2

# Where a checkpoint has what was learnt: the adapter, or the weights as others load them.
WEIGHTS = {"lora": "model", "qlora": "model", "full": "model/consolidated"}

OnEvent = Callable[[Event], None]


def refresh_adapter(workspace: Workspace, *, on_event: OnEvent = lambda _: None) -> StageOutcome:
    """Train, unless this very run was trained already. With a grid, it was: see `trials`.

    Raises:
        WorkerLostError: the training ended early; run again, it resumes.
        CapabilityError: the declared method cannot be trained here.
    """
    return train(workspace, STAGE, on_event=on_event)


def run_digest(workspace: Workspace, base_files: Mapping[str, str]) -> str:
    """Names the training run of a workspace's recipe on the data that is there now."""
    return training_digest(
        workspace.spec.recipe,
        data=workspace.require_head(TRAINING_SET).details["digest"],
        base=files_digest(base_files),
        code=recipes.CODE_VERSION,
    )


def train(workspace: Workspace, stage: str, *, on_event: OnEvent) -> StageOutcome:
    """The adapter of a recipe, as the head of a stage.

    Raises:
        WorkerLostError, CapabilityError: as `refresh_adapter`.
    """
    previous, version = workspace.head(stage)
    data = workspace.require_head(TRAINING_SET)
    base, base_files = base_folder(workspace)
    digest = run_digest(workspace, base_files)
    key = f"{STAGE}s/{digest}"
    if previous and previous.settings == digest and workspace.store.exists(f"{key}/{FILES}"):
        _Run(workspace, stage, digest, on_event).clean()  # a run that was killed here did not
        return StageOutcome.unchanged(previous)
    if workspace.spec.recipe.method == "qlora":
        raise CapabilityError(
            "qlora needs a GPU, and the environment `training` of this machine is without",
            where=f"{workspace.name}, recipe.method",
            stored="qlora",
            expected="lora or full",
            remedy="train it on the node pool of gpu-training, or declare another method",
        )
    with workspace.writing(stage, version) as writing:
        run = _Run(writing, stage, digest, on_event)
        checkpoint = run.train(_job(writing, run.folder, digest, data, base))
        files = run.publish(checkpoint / WEIGHTS[workspace.spec.recipe.method], key)
        snapshot = run.snapshot(key, files, base)
        writing.move_head(snapshot, version)
        run.clean()
    return StageOutcome.changed(snapshot, previous, {"steps": snapshot.counts["steps"]})


def base_folder(workspace: Workspace) -> tuple[Path, dict[str, str]]:
    """The base model's folder on this machine, and its files, verified."""
    tools, base = workspace.tools, workspace.spec.base
    shipped = SHIPPED_ENCODER if workspace.spec.is_embedder else SHIPPED_BASE
    if base != shipped:
        raise CapabilityError(
            "only the shipped base model is fetched yet", where=workspace.name, stored=base,
            expected=shipped,
        )  # fmt: skip
    folder = workspace.settings.environments_home / BASE_MODELS / base
    if workspace.spec.is_embedder:
        return folder, encoder_weights(folder, progress=workspace.progress)
    files = base_weights(
        folder,
        weights_python=lambda: tools.python("weights"),
        training_python=lambda: tools.python("training"),
        environment=tools.environment,
        progress=workspace.progress,
    )
    return folder, files


def _job(
    workspace: Workspace, folder: Path, digest: str, data: Snapshot, base: Path
) -> TrainingJob:
    """The rows on this machine, and the recipe's configuration beside them."""
    folder.mkdir(parents=True, exist_ok=True)
    paths: dict[str, str] = {}
    for number, side in enumerate(SIDES):
        record = data.shard(number)
        assert record is not None  # a training set has both sides
        path = folder / f"{side}.jsonl"
        path.write_bytes(workspace.store.get(record.path)[0])
        paths[side] = str(path)
    recipe = workspace.spec.recipe
    config = recipes.recipe_config(
        recipe,
        base=str(base),
        train=paths["train"],
        validation=paths["validation"],
        checkpoints=str(folder / CHECKPOINTS),
        gpu=workspace.spec.profile != "cpu",
    )
    return TrainingJob(folder, digest, config, recipe.processes)


@dataclass
class _Run:
    """One training run: its folder here, its checkpoints on the store, its page in MLflow."""

    workspace: Workspace
    stage: str
    digest: str
    on_event: OnEvent
    events: list[Event] = field(default_factory=list[Event])

    @property
    def folder(self) -> Path:
        return self.workspace.home / "runs" / self.digest

    @property
    def prefix(self) -> str:
        """Of this run's checkpoints on the store."""
        return f"checkpoints/{self.digest}"

    def train(self, job: TrainingJob) -> Path:
        """Run it, with each event in the log, on the page and in MLflow."""
        restore_checkpoints(self.workspace.store, self.prefix, self.folder / CHECKPOINTS)
        trainer = LocalTrainer(
            python=lambda: self.workspace.tools.python("training"),
            environment=self.workspace.tools.environment,
            progress=self.workspace.progress,
        )
        with self.workspace.tools.registry() as registry:
            page = _Page(registry, self.workspace, self.digest)

            def follow(event: Event) -> None:
                self.workspace.deadline.check("training")
                self.events.append(event)
                if line := told(event, max_steps=self.workspace.spec.recipe.max_steps):
                    self.workspace.progress(line)
                page.tell(event)
                if event["event"] == "checkpoint":
                    self._keep(str(event["name"]))
                self.on_event(event)

            checkpoint = trainer.train(job, on_event=follow)
            page.close()
        return checkpoint

    def publish(self, folder: Path, key: str) -> dict[str, str]:
        """The adapter on the store."""
        files = {p.name: file_digest(p) for p in sorted(folder.iterdir()) if p.is_file()}
        publish_files(self.workspace.store, key, folder, files)
        return files

    def snapshot(self, key: str, files: dict[str, str], base: Path) -> Snapshot:
        """What the page shows."""
        curve = fold(self.events)
        digest = files_digest(files)
        return Snapshot(
            stage=self.stage,
            settings=self.digest,
            shards=(ShardRecord(0, self.digest, digest, key, 1),),
            counts={"steps": len(curve.steps), "peak_rss_mb": curve.peak_rss_mb},
            details={
                "adapter": digest,
                "base": base.name,
                "recipe": self.workspace.spec.recipe.model_dump(mode="json"),
                "first_loss": curve.first_loss,
                "last_loss": curve.last_loss,
                "resumed_at": list(curve.resumed_at),
                "steps": [dict(one) for one in curve.steps],
                "validations": [dict(one) for one in curve.validations],
            },
        )

    def clean(self) -> None:
        """The run's folder and its checkpoints: the adapter is on the store now."""
        listed = [o.key for batch in self.workspace.store.list_objects(self.prefix) for o in batch]
        self.workspace.store.delete(listed)
        shutil.rmtree(self.folder / CHECKPOINTS, ignore_errors=True)

    def _keep(self, name: str) -> None:
        """A sealed checkpoint on the store, and only the newest ones there."""
        folder = self.folder / CHECKPOINTS / name
        if not (folder / SEAL).exists():
            return  # an event of an earlier start: pruned, or set aside, since
        files = {
            p.relative_to(folder).as_posix(): file_digest(p)
            for p in sorted(folder.rglob("*"))
            if p.is_file()
        }
        publish_files(self.workspace.store, f"{self.prefix}/{name}", folder, files)
        names = kept_checkpoints(self.workspace.store, self.prefix)
        for old in names[_KEPT_CHECKPOINTS:]:
            below = f"{self.prefix}/{old}"
            keys = [o.key for b in self.workspace.store.list_objects(below) for o in b]
            # its list first: without it nobody takes it for a whole one
            self.workspace.store.delete([f"{below}/{FILES}"])
            self.workspace.store.delete(keys)


class _Page:
    """The run in MLflow. It is a projection: when MLflow fails, the training goes on."""

    def __init__(self, registry: ModelRegistry, workspace: Workspace, digest: str) -> None:
        self._registry = registry
        self._workspace = workspace
        self._digest = digest
        self._run: str | None = None
        self._is_broken = False

    def tell(self, event: Event) -> None:
        """A step or a validation."""
        names: dict[str, tuple[str, ...]] = {
            "step": ("loss", "learning_rate", "tokens_per_second", "rss_mb"),
            "validation": ("loss", "first_is_right", "reciprocal_rank"),
        }
        kind = str(event["event"])
        step, milliseconds = int(event.get("step", 0)), int(float(event["at"]) * 1000)
        prefix = "validation_" if kind == "validation" else ""
        metrics = [
            (f"{prefix}{name}", float(event[name]), milliseconds, step)
            for name in names.get(kind, ())
            if name in event
        ]
        if metrics:
            self._try(lambda run: self._registry.log_metrics(run, metrics))

    def close(self) -> None:
        """The run has ended well."""
        self._try(lambda run: self._registry.close_run(run, "FINISHED"))

    def _try(self, work: Callable[[str], None]) -> None:
        if self._is_broken:
            return
        try:
            self._run = self._run or self._open()
            work(self._run)
        except PlatformError as error:
            self._is_broken = True
            self._workspace.progress(f"MLflow does not follow this run: {error.what}")

    def _open(self) -> str:
        recipe = self._workspace.spec.recipe.model_dump(mode="json")
        params = {name: str(value) for name, value in recipe.items()}
        name = self._workspace.name
        return self._registry.open_run(name, self._digest, f"{name} {self._digest[:8]}", params)


def kept_checkpoints(store: ObjectStore, prefix: str) -> list[str]:
    """The whole checkpoints of a run on the store, newest first."""
    found = {
        o.key.removeprefix(f"{prefix}/").split("/")[0]
        for batch in store.list_objects(prefix)
        for o in batch
        if o.key.endswith(f"/{FILES}")
    }
    return sorted(found, key=lambda name: int(name.rpartition("_")[2]), reverse=True)


def restore_checkpoints(store: ObjectStore, prefix: str, folder: Path) -> None:
    """Bring the newest whole checkpoint here when this machine has none of the run."""
    if any(folder.glob(f"epoch_*/{SEAL}")):
        return
    for name in kept_checkpoints(store, prefix)[:1]:
        folder.mkdir(parents=True, exist_ok=True)
        fetch_files(store, f"{prefix}/{name}", folder / name)
        (folder / name / FILES).unlink()
        (folder / "LATEST").unlink(missing_ok=True)
        (folder / "LATEST").symlink_to(name)
