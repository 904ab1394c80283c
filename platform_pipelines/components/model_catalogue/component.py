"""`ModelCatalogue`: the models, what they cost, where they run, and the gateway before them."""

from typing import Any

import dagster as dg
from pydantic import Field

from platform_pipelines.components.model_catalogue.rehearsal import build_rehearsal
from platform_pipelines.components.shared.applied import build_applied
from platform_pipelines.components.shared.declaring import (
    Declaring,
    declared,
    described,
    nested,
)
from platform_pipelines.core.model_catalogue.declaration import (
    GatewaySpec,
    ModelCatalogueSpec,
    ModelSpec,
    RehearsalSpec,
    ScrapeSpec,
    TierSpec,
)
from platform_pipelines.core.model_catalogue.render import render_catalogue
from platform_pipelines.core.road.declarations import ApplySpec
from platform_pipelines.stages.road.clusters import Applied


class ModelCatalogue(Declaring):
    """Models, prices, fallbacks and limits; LiteLLM, routes, pools, servers and their scaling.

    Gives the assets manifests -> rehearsal -> applied, the checks rules_hold, every_model_answers,
    admitted and no_drift, the jobs NAME_apply, NAME_drift and NAME_rollback, and a schedule (off).
    """

    name: str = Field(description="lower-case letters, digits and single underscores")
    models: dict[str, dict[str, Any]] = Field(
        description="name -> " + ", ".join(ModelSpec.model_fields),
    )
    description: str = Field(default="", **described("one sentence for the asset pages"))
    owner: str = Field(default="team:platform", **described("`team:name` or an e-mail address"))
    gateway: dict[str, Any] = Field(default_factory=dict, **nested(GatewaySpec, "The way in."))
    tiers: dict[str, Any] = Field(
        default_factory=dict, **nested(TierSpec, "How a tier is chosen for a request.")
    )
    watch: dict[str, Any] = Field(default_factory=dict, **nested(ScrapeSpec, "Metrics."))
    rehearsal: dict[str, Any] = Field(
        default_factory=dict, **nested(RehearsalSpec, "Tried here before it is applied.")
    )
    apply: dict[str, Any] = Field(
        default_factory=dict, **nested(ApplySpec, "How it reaches the cluster.")
    )

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """Assets, checks, jobs and schedule of this catalogue.

        Raises:
            ConfigurationError: names the field, its value and what is allowed.
        """
        attributes = self.model_dump(exclude_unset=True)
        spec = declared(ModelCatalogueSpec, attributes, context.path, noun="a model catalogue")
        applied = Applied("model_catalogue", spec, lambda: render_catalogue(spec))
        return build_applied(applied, between=[build_rehearsal(applied, spec)])
