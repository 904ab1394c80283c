"""What every stage of a fine-tuned model works with: the road's workspace and the declaration."""

from dataclasses import dataclass
from pathlib import Path
from typing import Unpack

from platform_pipelines.core.fine_tune.declaration import FineTuneSpec
from platform_pipelines.settings import Settings
from platform_pipelines.stages.road import workspace as road
from platform_pipelines.stages.road.connect import open_component_store
from platform_pipelines.stages.road.models import ModelTools

STAGES = ("training_set", "adapter", "model", "evidence", "registration")
FOLDER = "fine_tune"


@dataclass(frozen=True, slots=True, kw_only=True)
class Workspace(road.Workspace):
    """One fine-tuned model, as one run sees it."""

    spec: FineTuneSpec

    @property
    def tools(self) -> ModelTools:
        """Environments, registry and servers."""
        return ModelTools(self.settings, self.progress)

    @property
    def home(self) -> Path:
        """What is of this machine only: runs in progress."""
        return self.settings.home / FOLDER / self.name


def open_workspace(
    spec: FineTuneSpec, settings: Settings, **opening: Unpack[road.Opening]
) -> Workspace:
    """The workspace of a declared model.

    Raises:
        ConfigurationError: the store's URL is wrong.
    """
    store = open_component_store(settings, FOLDER, spec.name)
    return road.open_workspace(Workspace, settings, store, name=spec.name, spec=spec, **opening)
