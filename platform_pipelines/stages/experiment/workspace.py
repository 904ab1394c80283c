"""What an experiment works with: the road's workspace and the declaration."""

from dataclasses import dataclass
from typing import Unpack

from platform_pipelines.core.experiment.declaration import ExperimentSpec
from platform_pipelines.gateways.object_store import ObjectStore
from platform_pipelines.settings import Settings
from platform_pipelines.stages.road import workspace as road
from platform_pipelines.stages.road.access import open_declared
from platform_pipelines.stages.road.connect import open_component_store

FOLDER = "experiment"


@dataclass(frozen=True, slots=True, kw_only=True)
class Workspace(road.Workspace):
    """One experiment, as one run sees it."""

    spec: ExperimentSpec

    @property
    def observations(self) -> ObjectStore:
        """Where observations are; a missing folder is an error and not a quiet day."""
        return open_declared(self.settings, self.spec.observations, named="observations")


def open_workspace(
    spec: ExperimentSpec, settings: Settings, **opening: Unpack[road.Opening]
) -> Workspace:
    """The workspace of a declared experiment.

    Raises:
        ConfigurationError: the store's URL is wrong.
    """
    store = open_component_store(settings, FOLDER, spec.name)
    return road.open_workspace(Workspace, settings, store, name=spec.name, spec=spec, **opening)
