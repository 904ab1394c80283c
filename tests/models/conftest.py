"""The rollout's small town, for what is real beside it."""

from tests.stages.model_rollout.conftest import make_town

__all__ = ["make_town"]
