"""What can be declared in YAML. `dg` finds these through the entry point of the package."""

from platform_pipelines.components.agent.component import Agent as Agent
from platform_pipelines.components.compute_fleet.component import ComputeFleet as ComputeFleet
from platform_pipelines.components.fine_tune.component import FineTune as FineTune
from platform_pipelines.components.knowledge_base.component import KnowledgeBase as KnowledgeBase
from platform_pipelines.components.model_catalogue.component import ModelCatalogue as ModelCatalogue
from platform_pipelines.components.model_rollout.component import ModelRollout as ModelRollout
from platform_pipelines.components.tenant.component import Tenant as Tenant
from platform_pipelines.components.vector_database.component import (
    VectorDatabase as VectorDatabase,
)
