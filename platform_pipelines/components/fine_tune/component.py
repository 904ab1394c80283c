"""`FineTune`: a model made from the platform's own data, from its chats to its registration."""

from pathlib import Path
from typing import Any

import dagster as dg
from pydantic import Field

from platform_pipelines.components.fine_tune.assets import build_assets, build_jobs
from platform_pipelines.components.fine_tune.champion import build_check, build_schedule
from platform_pipelines.components.shared.declaring import (
    Declaring,
    absolute_url,
    declared,
    described,
    golden_set_url,
    nested,
)
from platform_pipelines.core.fine_tune.declaration import (
    SHIPPED_BASE,
    DataSpec,
    FineTuneSpec,
    GridSpec,
    ModelGateSpec,
    RecipeSpec,
)
from platform_pipelines.core.road.served_model import ServingSpec


class FineTune(Declaring):
    """A base model, tuned on declared chats, evaluated, and registered if its gate passes.

    Gives the assets training_set -> adapter -> model -> evidence -> registration and the job
    NAME_fine_tune. `ModelRollout` brings what is registered to its users.
    """

    name: str = Field(description="lower-case letters, digits and single underscores")
    data: dict[str, Any] = Field(**nested(DataSpec, "What the model learns from."))
    gate: dict[str, Any] = Field(**nested(ModelGateSpec, "What a registration needs."))
    base: str = Field(default=SHIPPED_BASE, **described("the base model"))
    recipe: dict[str, Any] = Field(default_factory=dict, **nested(RecipeSpec, "How it learns."))
    grid: dict[str, Any] | None = Field(
        default=None, **nested(GridSpec, "Recipes to be tried; the adapter is the best one's.")
    )
    serving: dict[str, Any] = Field(
        default_factory=dict, **nested(ServingSpec, "How both sides are served.")
    )
    description: str = Field(default="", **described("one sentence for the asset pages"))
    owner: str = Field(default="team:platform", **described("`team:name` or an e-mail address"))
    profile: str = Field(default="cpu", **described("the compute profile of the training"))
    timeout_minutes: int = Field(default=240, **described("a run older than this is ended"))

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """Assets, check and job of this model.

        Raises:
            ConfigurationError: names the field, its value and what is allowed.
        """
        spec = declared_spec(self.model_dump(exclude_unset=True), context.path)
        watching = build_schedule(spec)
        return dg.Definitions(
            assets=build_assets(spec),
            asset_checks=[build_check(spec)],
            jobs=[*build_jobs(spec), watching.job],
            schedules=[watching],
        )


def declared_spec(attributes: dict[str, Any], path: Path) -> FineTuneSpec:
    """The checked declaration, its relative paths made URLs against the declaring folder.

    Raises:
        ConfigurationError: names the field, its value and what is allowed.
    """
    folder = path if path.is_dir() else path.parent
    spec = declared(FineTuneSpec, attributes, path, noun="a fine-tune")
    sources = tuple(absolute_url(url, folder, field="data.sources") for url in spec.data.sources)
    golden = golden_set_url(spec.gate.golden_set, folder, field="gate.golden_set")
    return spec.model_copy(
        update={
            "data": spec.data.model_copy(update={"sources": sources}),
            "gate": spec.gate.model_copy(update={"golden_set": golden}),
        }
    )
