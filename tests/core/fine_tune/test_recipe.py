"""The declaration as the trainer's configuration: what each method has, and has not."""

import json
from typing import Any

from platform_pipelines.core.fine_tune.declaration import RecipeSpec
from platform_pipelines.core.fine_tune.recipe import recipe_config


def config(method: str, *, gpu: bool = False) -> dict[str, Any]:
    recipe = RecipeSpec.model_validate({"method": method, "rank": 8, "alpha": 24})
    text = recipe_config(recipe, base="/b", train="/t", validation="/v", checkpoints="/c", gpu=gpu)
    return json.loads(text)


def test_an_adapter_has_its_rank_and_all_weights_have_none() -> None:
    """`full` trains what is there; `lora` trains beside it."""
    assert (config("lora")["peft"]["dim"], config("lora")["peft"]["alpha"]) == (8, 24)
    assert "quantization" not in config("lora")
    assert not {"peft", "quantization"} & set(config("full"))


def test_qlora_is_an_adapter_over_four_bits() -> None:
    """On a GPU: the declaration refuses it elsewhere."""
    made = config("qlora", gpu=True)
    assert made["peft"]["dim"] == 8
    assert made["quantization"]["load_in_4bit"] is True
    assert made["dist_env"]["backend"] == "nccl"


def test_every_training_ends_by_its_steps_and_is_saved_for_others_to_load() -> None:
    """Safetensors, whole at the end: nobody else reads shards."""
    for method in ("lora", "full"):
        assert config(method)["step_scheduler"]["max_steps"] == RecipeSpec().max_steps
        assert config(method)["checkpoint"]["model_save_format"] == "safetensors"
        assert config(method)["checkpoint"]["save_consolidated"] == "final"


def test_an_embedder_is_trained_by_the_recipe_of_bi_encoders() -> None:
    """One passage that answers and the declared number that do not; prefixes as when it serves."""
    recipe = RecipeSpec.model_validate(
        {"task": "embedding", "contrast": {"negatives": 3, "temperature": 0.05}}
    )
    text = recipe_config(
        recipe, base="/b", train="/t", validation="/v", checkpoints="/c", gpu=False
    )
    made = json.loads(text)
    assert made["recipe"] == "TrainBiEncoderRecipe"
    assert (made["temperature"], made["dataset"]["n_passages"]) == (0.05, 4)
    assert made["validation_dataset"]["eval_negative_size"] == 3
    assert made["dataloader"]["collate_fn"]["query_prefix"] == "query:"
    assert "*query" in made["peft"]["target_modules"]
    assert "loss_fn" not in made
