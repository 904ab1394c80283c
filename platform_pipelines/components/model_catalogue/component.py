"""`ModelCatalogue`: the models, what they cost, where they run, and the gateway before them."""

from functools import partial
from pathlib import Path
from typing import Any

import dagster as dg

from platform_pipelines.components.model_catalogue.rehearsal import build_rehearsal
from platform_pipelines.components.model_catalogue.tiers import build_tiers
from platform_pipelines.components.shared.applied import build_applied
from platform_pipelines.components.shared.declaring import (
    absolute_url,
    declared,
    declaring,
    folder_of,
)
from platform_pipelines.core.model_catalogue.declaration import ModelCatalogueSpec
from platform_pipelines.core.model_catalogue.render import render_catalogue
from platform_pipelines.stages.model_catalogue.tiers import rules_of
from platform_pipelines.stages.road.clusters import Applied


class ModelCatalogue(declaring(ModelCatalogueSpec)):
    """Models, prices, fallbacks and limits; LiteLLM, routes, pools, servers and their scaling.

    Gives the assets manifests -> rehearsal [and tiers] -> applied, the checks rules_hold,
    every_model_answers, tiers_are_right, admitted and no_drift, the jobs NAME_apply, NAME_drift
    and NAME_rollback, and a schedule (off).
    """

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """Assets, checks, jobs and schedule of this catalogue.

        Raises:
            ConfigurationError: names the field, its value and what is allowed.
        """
        spec = declared_spec(self.given, context.path)
        applied = Applied(
            "model_catalogue", spec, partial(render_catalogue, spec), rules=partial(rules_of, spec)
        )
        between = [build_rehearsal(applied, spec), *build_tiers(applied, spec)]
        return build_applied(applied, between=between)


def declared_spec(attributes: dict[str, Any], path: Path) -> ModelCatalogueSpec:
    """The checked declaration, the path of its samples made a URL against the declaring folder.

    Raises:
        ConfigurationError: names the field, its value and what is allowed.
    """
    spec = declared(ModelCatalogueSpec, attributes, path, noun="a model catalogue")
    if spec.tiers is None:
        return spec
    samples = absolute_url(spec.tiers.samples, folder_of(path), field="tiers.samples")
    tiers = spec.tiers.model_copy(update={"samples": samples})
    return spec.model_copy(update={"tiers": tiers})
