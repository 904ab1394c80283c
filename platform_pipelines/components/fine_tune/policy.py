"""What every asset of a fine-tuned model is given."""

from platform_pipelines.components.shared.policy import AssetPolicy, tags_of, timed_policy
from platform_pipelines.core.fine_tune.declaration import FineTuneSpec
from platform_pipelines.core.fine_tune.recipe import CODE_VERSION
from platform_pipelines.stages.fine_tune.evidence import EVALUATION_VERSION

# Of the stages that have none of their own, one for all: raise it when equal input would give other
# output.
STAGES_VERSION = "1"
CODE_VERSIONS = {
    "adapter": CODE_VERSION,
    "trials": CODE_VERSION,
    "evidence": EVALUATION_VERSION,
}


def stage_policy(spec: FineTuneSpec, stage: str) -> AssetPolicy:
    """The policy of a stage. The pool holds one slot a model: its stages never overlap."""
    return timed_policy("fine_tune", spec, code_version=CODE_VERSIONS.get(stage, STAGES_VERSION))


def job_tags(spec: FineTuneSpec) -> dict[str, str]:
    """Tags of every job of a fine-tuned model."""
    return tags_of("fine_tune", spec)
