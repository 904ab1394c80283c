"""What every asset of a knowledge base is given, and when its sensor asks again."""

from platform_pipelines.components.shared.policy import AssetPolicy, policy_of, run_tags
from platform_pipelines.core.knowledge_base.chunking.policy import CHUNKER_VERSION
from platform_pipelines.core.knowledge_base.declaration import KnowledgeBaseSpec
from platform_pipelines.core.knowledge_base.keywords import KEYWORDS_VERSION
from platform_pipelines.core.road.releases import FORMAT as RELEASE_FORMAT
from platform_pipelines.gateways.e5.model_files import DIGEST as MODEL_DIGEST
from platform_pipelines.gateways.hash_embedder import VERSION as HASH_VERSION
from platform_pipelines.stages.knowledge_base.evidence import EVALUATION_VERSION
from platform_pipelines.stages.knowledge_base.index import SEARCH_VERSION
from platform_pipelines.stages.knowledge_base.parsing.parse import PARSER_VERSION

# The stages' own versions: each says beside it when it is to be raised.
CODE_VERSIONS = {
    "documents": PARSER_VERSION,
    "chunks": str(CHUNKER_VERSION),
    "index": f"{KEYWORDS_VERSION}.{SEARCH_VERSION}",
    "evidence": EVALUATION_VERSION,
    "release": str(RELEASE_FORMAT),
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
    seconds = int(spec.refresh.timeout_minutes * 60 * STAGE_SHARE)
    return policy_of(
        "knowledge_base", spec, code_version=code_version(spec, stage), seconds=seconds
    )


def code_version(spec: KnowledgeBaseSpec, stage: str) -> str:
    """Of a stage; the vectors' is that of the embedder that is declared."""
    embedders = {"local": MODEL_DIGEST[:12], "hash": str(HASH_VERSION)}
    return CODE_VERSIONS.get(stage) or embedders.get(spec.embed.provider, spec.embed.model)


def pool_name(spec: KnowledgeBaseSpec) -> str:
    """The pool of everything that writes to a knowledge base."""
    return f"knowledge_base_{spec.name}"


def job_tags(spec: KnowledgeBaseSpec) -> dict[str, str]:
    """Tags of every job of a knowledge base."""
    return run_tags("knowledge_base", spec.name, timeout_seconds=spec.refresh.timeout_minutes * 60)


def retry_seconds(attempt: int) -> float:
    """How long to wait after the `attempt`-th refresh of one state of the source, which failed."""
    return FIRST_RETRY_SECONDS * 2.0 ** (attempt - 1)
