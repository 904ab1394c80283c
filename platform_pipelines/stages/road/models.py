"""What everything that has to do with models opens: environments, registry, servers, champions."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from platform_pipelines.compute.environments import ensure
from platform_pipelines.core.road.releases import ReleaseEntry
from platform_pipelines.core.road.served_model import ModelRef, vllm_arguments
from platform_pipelines.errors import UnknownNameError
from platform_pipelines.gateways.model_registry import (
    BASE,
    CANDIDATE,
    CHAMPION,
    MlflowRegistry,
    ModelRegistry,
)
from platform_pipelines.gateways.model_server import Arguments, LocalVllm
from platform_pipelines.gateways.object_store import ObjectStore
from platform_pipelines.settings import Settings
from platform_pipelines.stages.road import workspace as road
from platform_pipelines.stages.road.connect import (
    component_url,
    open_component_store,
    open_own_store,
    release_log,
)
from platform_pipelines.stages.road.model_files import local_model

REGISTERED = "registered_models"
_MODELS = "models"


@dataclass(frozen=True, slots=True)
class ModelTools:
    """Opens what models need, on this machine."""

    settings: Settings
    progress: Callable[[str], None]

    def python(self, environment: str) -> Path:
        """The Python of a worker class, made if it is not there."""
        return ensure(environment, self.settings.environments_home, self.progress)

    @property
    def environment(self) -> dict[str, str]:
        """Of the processes of worker classes. Compiled modules are kept, whatever a shell says:

        vLLM imports its libraries in three processes, and compiling them takes minutes each time.
        """
        passed = self.settings.worker_environment
        return {k: v for k, v in passed.items() if k != "PYTHONDONTWRITEBYTECODE"}

    @property
    def models(self) -> ObjectStore:
        """Where models are, each under its digest."""
        return open_own_store(self.settings, component_url(self.settings, _MODELS, "files"))

    def log_store(self, model: str) -> ObjectStore:
        """Where the release log of a registered model is, and everything about its rollouts."""
        return open_component_store(self.settings, REGISTERED, model)

    def registry(self) -> MlflowRegistry:
        """The registry: MLflow on sqlite under the home."""
        home = self.settings.home / "mlflow"
        home.mkdir(parents=True, exist_ok=True)
        return MlflowRegistry(
            python=lambda: self.python("registry"),
            tracking_uri=f"sqlite:///{home / 'mlflow.db'}",
            artifacts_uri=(home / "artifacts").as_uri(),
            environment=self.environment,
            log=home / "registry.log",
        )

    def servers(self, folder: str, arguments: Arguments = vllm_arguments) -> LocalVllm:
        """Servers of models under a folder of the home, one a model."""
        return LocalVllm(
            self.settings.home / folder,
            python=lambda: self.python("serving"),
            files_of=self.files_of,
            environment=self.environment,
            arguments=arguments,
        )

    def files_of(self, model: ModelRef) -> Path:
        """A model's files on this machine, verified."""
        return local_model(self.models, self.settings.home / "served", model, self.progress)

    def envoy(self) -> Path:
        """The gateway's binary."""
        return self.python("proxy").parent / "envoy"


def live_release(tools: ModelTools, model: str) -> ReleaseEntry | None:
    """What the release log of a model says is live; None before the first release."""
    return release_log(tools.log_store(model), model).head()


def version_named(registry: ModelRegistry, model: str, alias: str) -> ModelRef | None:
    """The version of an alias, None where there is none."""
    number = registry.aliases(model).get(alias)
    found = [one for one in registry.versions(model) if one.version == number]
    return ModelRef(found[0].digest, found[0].source, found[0].version) if found else None


def champion(tools: ModelTools, registry: ModelRegistry, model: str) -> ModelRef:
    """What serves: the log's word; before the first release the base model.

    Raises:
        UnknownNameError: the registry does not have it.
    """
    live = live_release(tools, model)
    if live is None:
        found = version_named(registry, model, BASE)
    else:
        matching = [v for v in registry.versions(model) if v.digest == live.target]
        found = (
            ModelRef(matching[-1].digest, matching[-1].source, matching[-1].version)
            if matching
            else None
        )
    if found is None:
        raise UnknownNameError(
            "the model that should serve is not in the registry",
            where=f"registered model {model}",
            stored=[v.version for v in registry.versions(model)],
            expected=live.target if live else f"the alias `{BASE}`",
            remedy=f"run the job {model}_fine_tune: it registers the base model and a candidate",
        )
    return found


def put_champion_right(workspace: road.Workspace, registry: ModelRegistry) -> str | None:
    """Let `champion` name what the log says, or before the first release the base model.

    Somebody may have moved it past every gate, and a deleted version takes its alias along. What it
    named, if that was another; `nothing` where it was gone. The workspace's store is the log's.
    """
    alias = ChampionAlias(registry, workspace.name)
    log = release_log(workspace.store, workspace.name)

    def wrong() -> tuple[str | None, str] | None:
        live, pointed = log.head(), alias.pointed()
        base = version_named(registry, workspace.name, BASE)
        should = live.target if live else base.digest if base else None
        return None if should is None or pointed == should else (pointed, should)

    if wrong() is None:
        return None
    with workspace.lease(road.POINTER):  # a release may be between its log and its alias
        found = wrong()
        if found is None:
            return None
        alias.point(found[1])
    workspace.progress(f"`{CHAMPION}` named {found[0]}; the log says {found[1]}: put right")
    return found[0] or "nothing"


@dataclass(frozen=True, slots=True)
class ChampionAlias:
    """The release target of a model: MLflow's alias `champion`, a projection of the log."""

    registry: ModelRegistry
    model: str

    def pointed(self) -> str | None:
        """The digest of the version that the alias names."""
        named = version_named(self.registry, self.model, CHAMPION)
        return named.digest if named else None

    def point(self, target: str) -> None:
        """Let the alias name the version of this digest."""
        versions = [v for v in self.registry.versions(self.model) if v.digest == target]
        if not versions:
            raise UnknownNameError(
                "no version of the registry has these files",
                where=f"registered model {self.model}",
                expected=target,
                remedy="register the model again: its files are on the store of models",
            )
        self.registry.set_alias(self.model, CHAMPION, versions[-1].version)
        if self.registry.aliases(self.model).get(CANDIDATE) == versions[-1].version:
            self.registry.delete_alias(self.model, CANDIDATE)

    def existing(self) -> list[str]:
        """The digests of all versions."""
        return sorted({v.digest for v in self.registry.versions(self.model)})
