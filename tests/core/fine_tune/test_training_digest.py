"""What makes a training run another one: never a silent resume on other terms."""

from typing import Any

import pytest

from platform_pipelines.core.fine_tune.declaration import RecipeSpec, training_digest

CHANGES: dict[str, Any] = {
    "task": "embedding", "contrast": {"negatives": 5},
    "method": "full", "rank": 8, "alpha": 8, "learning_rate": 1e-3, "warmup_steps": 3,
    "max_steps": 21, "batch": 16, "micro_batch": 2, "seed": 1, "checkpoint_every_steps": 4,
    "validate_every_steps": 9, "processes": 2,
}  # fmt: skip


def named(recipe: RecipeSpec, **other: str) -> str:
    return training_digest(recipe, **{"data": "d", "base": "b", "code": "1", **other})


@pytest.mark.parametrize("field", RecipeSpec.model_fields)
def test_every_field_of_the_recipe_makes_another_run(field: str) -> None:
    """Seed, learning rate and world size too: the trainer itself would resume without a word."""
    changed = RecipeSpec.model_validate({field: CHANGES[field]})
    assert named(changed) != named(RecipeSpec())
    assert named(RecipeSpec()) == named(RecipeSpec.model_validate({}))


@pytest.mark.parametrize("part", ["data", "base", "code"])
def test_other_data_base_or_code_is_another_run(part: str) -> None:
    """The folder of a run is named by all of it."""
    assert named(RecipeSpec(), **{part: "other"}) != named(RecipeSpec())
