"""`FineTune`: a model made from the platform's own data, from its chats to its registration."""

from pathlib import Path
from typing import Any

import dagster as dg

from platform_pipelines.components.fine_tune.assets import build_assets, build_jobs
from platform_pipelines.components.fine_tune.champion import build_check, build_schedule
from platform_pipelines.components.shared.declaring import (
    absolute_url,
    declared,
    declaring,
    folder_of,
    golden_set_url,
)
from platform_pipelines.core.fine_tune.declaration import FineTuneSpec

TOLD = {
    "data": "what the model learns from",
    "gate": "what a registration needs",
    "recipe": "how it learns",
    "serving": "how both sides are served",
}


class FineTune(declaring(FineTuneSpec, TOLD)):
    """A base model, tuned on declared data, evaluated, and registered if its gate passes.

    With `recipe.task: embedding` it is an embedder, which a knowledge base may declare as its own.

    Gives the assets training_set -> adapter -> model -> evidence -> registration and the job
    NAME_fine_tune. `ModelRollout` brings what is registered to its users.
    """

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """Assets, check and job of this model.

        Raises:
            ConfigurationError: names the field, its value and what is allowed.
        """
        spec = declared_spec(self.given, context.path)
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
    folder = folder_of(path)
    spec = declared(FineTuneSpec, attributes, path, noun="a fine-tune")
    files = {
        name: tuple(
            absolute_url(url, folder, field=f"data.{name}") for url in getattr(spec.data, name)
        )
        for name in ("sources", "reviewed")
    }
    golden = golden_set_url(spec.gate.golden_set, folder, field="gate.golden_set")
    return spec.model_copy(
        update={
            "data": spec.data.model_copy(update=files),
            "gate": spec.gate.model_copy(update={"golden_set": golden}),
        }
    )
