"""What can be declared in YAML. `dg` finds these through the entry point of the package."""

from platform_pipelines.components.knowledge_base.component import KnowledgeBase as KnowledgeBase
