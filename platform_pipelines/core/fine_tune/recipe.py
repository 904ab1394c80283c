"""The declaration as the configuration of NeMo Automodel 0.7's recipe. JSON, which is YAML."""

import json
from typing import Any

from platform_pipelines.core.fine_tune.declaration import RecipeSpec

CODE_VERSION = "1"  # raise it when the same recipe would train otherwise
_DATASET = "nemo_automodel.components.datasets.llm.ChatDataset"
_LOADER = {
    "_target_": "torchdata.stateful_dataloader.StatefulDataLoader",
    "collate_fn": "nemo_automodel.components.datasets.utils.default_collater",
}
_TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


def recipe_config(
    recipe: RecipeSpec, *, base: str, train: str, validation: str, checkpoints: str, gpu: bool
) -> str:
    """The recipe's configuration; paths are of the machine that trains."""
    config: dict[str, Any] = {
        "recipe": "TrainFinetuneRecipeForNextTokenPrediction",
        "seed": recipe.seed,
        "step_scheduler": {
            "global_batch_size": recipe.batch,
            "local_batch_size": recipe.micro_batch,
            "ckpt_every_steps": recipe.checkpoint_every_steps,
            "val_every_steps": recipe.validate_every_steps,
            "validate_on_checkpoint": False,  # else every checkpoint costs a validation pass
            "max_steps": recipe.max_steps,
            "num_epochs": recipe.max_steps,  # the steps end it: an epoch has at least one
            "preemption_signal": "SIGTERM",
        },
        "dist_env": {"backend": "nccl" if gpu else "gloo", "timeout_minutes": 10},
        "distributed": {"strategy": "ddp"},
        "rng": {
            "_target_": "nemo_automodel.components.training.rng.StatefulRNG",
            "seed": recipe.seed,
            "ranked": True,
        },
        "model": {
            "_target_": "nemo_automodel.NeMoAutoModelForCausalLM.from_pretrained",
            "pretrained_model_name_or_path": base,
            "torch_dtype": "bfloat16",
            "attn_implementation": "sdpa",
            "use_liger_kernel": False,
        },
        "loss_fn": {"_target_": "nemo_automodel.components.loss.masked_ce.MaskedCrossEntropy"},
        "dataset": {"_target_": _DATASET, "path_or_dataset_id": train},
        "validation_dataset": {"_target_": _DATASET, "path_or_dataset_id": validation},
        "packed_sequence": {"packed_sequence_size": 0},
        "dataloader": {**_LOADER, "shuffle": True},
        "validation_dataloader": dict(_LOADER),
        "optimizer": {
            "_target_": "torch.optim.AdamW",
            "lr": recipe.learning_rate,
            "weight_decay": 0.0,
        },
        "lr_scheduler": {"lr_decay_style": "cosine", "lr_warmup_steps": recipe.warmup_steps},
        "checkpoint": {
            "enabled": True,
            "checkpoint_dir": checkpoints,
            "model_save_format": "safetensors",
            "save_consolidated": "final",
            "max_recent_checkpoints": 3,
        },
    }
    return json.dumps({**config, **_adapter(recipe)}, indent=1)


def _adapter(recipe: RecipeSpec) -> dict[str, Any]:
    """What is learnt beside the weights; nothing where all of them are."""
    if recipe.method == "full":
        return {}
    peft = {
        "_target_": "nemo_automodel.components._peft.lora.PeftConfig",
        "target_modules": [f"*{name}" for name in _TARGETS],
        "dim": recipe.rank,
        "alpha": recipe.alpha,
        "use_triton": False,
    }
    if recipe.method == "lora":
        return {"peft": peft}
    four_bits = {
        "load_in_4bit": True,
        "bnb_4bit_quant_type": "nf4",
        "bnb_4bit_use_double_quant": True,
        "bnb_4bit_compute_dtype": "bfloat16",
    }
    return {"peft": peft, "quantization": four_bits}
