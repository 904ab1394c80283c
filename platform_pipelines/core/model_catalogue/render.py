"""All objects of a model catalogue."""

from platform_pipelines.core.model_catalogue.declaration import ModelCatalogueSpec
from platform_pipelines.core.model_catalogue.gateway import render_gateway
from platform_pipelines.core.model_catalogue.pools import render_pools
from platform_pipelines.core.model_catalogue.serving import render_serving
from platform_pipelines.core.road.manifests import Manifest


def render_catalogue(spec: ModelCatalogueSpec) -> tuple[Manifest, ...]:
    """What a cluster should hold of this catalogue. Its namespaces are a Tenant's business."""
    return (*render_gateway(spec), *render_serving(spec), *render_pools(spec))
