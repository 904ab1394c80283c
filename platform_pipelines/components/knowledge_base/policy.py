"""What every asset of a knowledge base is given, and when its sensor asks again."""

from platform_pipelines.components.shared.policy import AssetPolicy, run_tags
from platform_pipelines.core.knowledge_base.declaration import KnowledgeBaseSpec

# Raise a stage's version when equal input would give other output.
CODE_VERSIONS = {
    "documents": "1",
    "chunks": "1",
    "vectors": "1",
    "index": "1",
    "evidence": "1",
    "release": "1",
}

# Share of a run's time-out that one stage may use: two slow stages still fit into a run.
STAGE_SHARE = 0.5

REQUEST_TAG = "platform/request"

# How often the sensor asks for a refresh of one state of the source, and how long it waits after
# the first failure; twice as long after each further one: 5, 10, 20, 40 minutes.
REFRESH_ATTEMPTS = 5
FIRST_RETRY_SECONDS = 300.0


def stage_policy(spec: KnowledgeBaseSpec, stage: str) -> AssetPolicy:
    """The policy of a stage. The pool holds one slot a knowledge base: its stages never overlap."""
    return AssetPolicy(
        owner=spec.owner,
        group=spec.name,
        pool=pool_name(spec),
        code_version=CODE_VERSIONS[stage],
        timeout_seconds=int(spec.refresh.timeout_minutes * 60 * STAGE_SHARE),
    )


def pool_name(spec: KnowledgeBaseSpec) -> str:
    """The pool of everything that writes to a knowledge base."""
    return f"knowledge_base_{spec.name}"


def job_tags(spec: KnowledgeBaseSpec) -> dict[str, str]:
    """Tags of every job of a knowledge base."""
    return run_tags("knowledge_base", spec.name, timeout_seconds=spec.refresh.timeout_minutes * 60)


def retry_seconds(attempt: int) -> float:
    """How long to wait after the `attempt`-th refresh of one state of the source, which failed."""
    return FIRST_RETRY_SECONDS * 2.0 ** (attempt - 1)
