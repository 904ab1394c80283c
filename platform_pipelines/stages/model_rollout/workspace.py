"""What a rollout works with: the store of its registered model, with its release log."""

from collections.abc import Callable
from dataclasses import dataclass

from platform_pipelines.core.model_rollout.declaration import ModelRolloutSpec
from platform_pipelines.gateways.clock import SystemClock
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
    spec: ModelRolloutSpec,
    settings: Settings,
    *,
    run_id: str = "",
    progress: Callable[[str], None] = road.silent,
    timeout_seconds: float | None = None,
) -> Workspace:
    """The workspace of a declared rollout.

    Raises:
        ConfigurationError: the store's URL is wrong.
    """
    clock = SystemClock()
    return Workspace(
        name=spec.registered_model,
        spec=spec,
        settings=settings,
        store=ModelTools(settings, progress).log_store(spec.registered_model),
        run_id=run_id,
        clock=clock,
        progress=progress,
        deadline=road.deadline_in(timeout_seconds, clock),
    )
