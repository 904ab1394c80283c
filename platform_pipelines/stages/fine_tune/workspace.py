"""What every stage of a fine-tuned model works with: the road's workspace and the declaration."""

from dataclasses import dataclass
from pathlib import Path

from platform_pipelines.core.fine_tune.declaration import FineTuneSpec
from platform_pipelines.stages.road import workspace as road
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


open_workspace = road.opener(Workspace, FOLDER)
