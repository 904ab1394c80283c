"""What an experiment works with: the road's workspace and the declaration."""

from dataclasses import dataclass

from platform_pipelines.core.experiment.declaration import ExperimentSpec
from platform_pipelines.gateways.object_store import ObjectStore
from platform_pipelines.stages.road import workspace as road
from platform_pipelines.stages.road.connect import open_source

FOLDER = "experiment"


@dataclass(frozen=True, slots=True, kw_only=True)
class Workspace(road.Workspace):
    """One experiment, as one run sees it."""

    spec: ExperimentSpec

    @property
    def observations(self) -> ObjectStore:
        """Where observations are; a missing folder is an error and not a quiet day."""
        return open_source(self.settings, self.spec.observations, named="observations")


open_workspace = road.opener(Workspace, FOLDER)
