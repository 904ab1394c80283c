"""What can be declared in YAML. `dg` finds these through the entry point of the package."""

from platform_pipelines.components.fine_tune.component import FineTune as FineTune
from platform_pipelines.components.knowledge_base.component import KnowledgeBase as KnowledgeBase
from platform_pipelines.components.model_rollout.component import ModelRollout as ModelRollout
