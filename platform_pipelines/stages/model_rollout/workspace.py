"""What a rollout works with: the store of its registered model, with its release log."""

from dataclasses import dataclass
from typing import Unpack

from platform_pipelines.core.model_rollout.declaration import ModelRolloutSpec
from platform_pipelines.settings import Settings
from platform_pipelines.stages.road import workspace as road
from platform_pipelines.stages.road.models import ModelTools


@dataclass(frozen=True, slots=True, kw_only=True)
class Workspace(road.Workspace):
    """One rollout's declaration. `name` is the registered model's: its log is one, whoever asks."""

    spec: ModelRolloutSpec

    @property
    def tools(self) -> ModelTools:
        """Environments, registry and servers."""
        return ModelTools(self.settings, self.progress)


def open_workspace(
    spec: ModelRolloutSpec, settings: Settings, **opening: Unpack[road.Opening]
) -> Workspace:
    """The workspace of a declared rollout.

    Raises:
        ConfigurationError: the store's URL is wrong.
    """
    name = spec.registered_model
    store = ModelTools(settings, opening.get("progress", road.silent)).log_store(name)
    return road.open_workspace(Workspace, settings, store, name=name, spec=spec, **opening)
