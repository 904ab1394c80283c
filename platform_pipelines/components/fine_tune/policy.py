"""What every asset of a fine-tuned model is given."""

from platform_pipelines.components.shared.policy import AssetPolicy, policy_of, tags_of
from platform_pipelines.core.fine_tune.declaration import FineTuneSpec

# Raise a stage's version when equal input would give other output.
CODE_VERSIONS = {
    "training_set": "1",
    "adapter": "1",
    "trials": "1",
    "model": "1",
    "evidence": "1",
    "registration": "1",
}


def stage_policy(spec: FineTuneSpec, stage: str) -> AssetPolicy:
    """The policy of a stage. The pool holds one slot a model: its stages never overlap."""
    return policy_of("fine_tune", spec, code_version=CODE_VERSIONS[stage])


def job_tags(spec: FineTuneSpec) -> dict[str, str]:
    """Tags of every job of a fine-tuned model."""
    return tags_of("fine_tune", spec)
