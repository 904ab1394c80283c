"""What a batch inference works with: the road's workspace, its declaration, three stores."""

from dataclasses import dataclass

from platform_pipelines.core.batch_inference.declaration import BatchInferenceSpec
from platform_pipelines.gateways.object_store import ObjectStore
from platform_pipelines.stages.road import workspace as road
from platform_pipelines.stages.road.connect import (
    component_url,
    open_own_store,
    open_platform_store,
    open_source,
)

FOLDER = "batch_inference"
ANSWERS = "answers"


@dataclass(frozen=True, slots=True, kw_only=True)
class Workspace(road.Workspace):
    """One batch inference, as one run sees it."""

    spec: BatchInferenceSpec

    @property
    def prompts(self) -> ObjectStore:
        """Where prompts are; a missing folder is an error and not an empty one."""
        return open_source(self.settings, self.spec.prompts, named="prompts")

    @property
    def answers_url(self) -> str:
        """Where answers go."""
        return self.spec.answers or f"{component_url(self.settings, FOLDER, self.name)}/{ANSWERS}"

    @property
    def answers(self) -> ObjectStore:
        """Where answers go; made when it is not there."""
        return open_own_store(self.settings, self.answers_url)

    @property
    def platform(self) -> ObjectStore:
        """Where usage is written down."""
        return open_platform_store(self.settings)


open_workspace = road.opener(Workspace, FOLDER)
