"""`ModelCatalogue`: the models, what they cost, where they run, and the gateway before them."""

from functools import partial

import dagster as dg

from platform_pipelines.components.model_catalogue.rehearsal import build_rehearsal
from platform_pipelines.components.shared.applied import build_applied
from platform_pipelines.components.shared.declaring import declared, declaring
from platform_pipelines.core.model_catalogue.declaration import ModelCatalogueSpec
from platform_pipelines.core.model_catalogue.render import render_catalogue
from platform_pipelines.stages.road.clusters import Applied


class ModelCatalogue(declaring(ModelCatalogueSpec)):
    """Models, prices, fallbacks and limits; LiteLLM, routes, pools, servers and their scaling.

    Gives the assets manifests -> rehearsal -> applied, the checks rules_hold, every_model_answers,
    admitted and no_drift, the jobs NAME_apply, NAME_drift and NAME_rollback, and a schedule (off).
    """

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """Assets, checks, jobs and schedule of this catalogue.

        Raises:
            ConfigurationError: names the field, its value and what is allowed.
        """
        spec = declared(ModelCatalogueSpec, self.given, context.path, noun="a model catalogue")
        applied = Applied("model_catalogue", spec, partial(render_catalogue, spec))
        return build_applied(applied, between=[build_rehearsal(applied, spec)])
