"""The declaration as the configuration of NeMo Automodel 0.7's recipe. JSON, which is YAML."""

import json
from typing import Any

from platform_pipelines.core.fine_tune.declaration import EMBEDDING, RecipeSpec

CODE_VERSION = "1"  # raise it when the same recipe would train otherwise
_DATASET = "nemo_automodel.components.datasets.llm.ChatDataset"
_LOADER = {"_target_": "torchdata.stateful_dataloader.StatefulDataLoader"}
_CHATS_COLLATOR = "nemo_automodel.components.datasets.utils.default_collater"
_PAIRS = "nemo_automodel.components.datasets.llm.retrieval_dataset_inline.make_retrieval_dataset"
_PAIRS_COLLATOR = "nemo_automodel.components.datasets.llm.retrieval_collator.BiEncoderCollator"
_TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
_ENCODER_TARGETS = ("query", "key", "value")  # as BERT's family calls them; a decoder's are above


def recipe_config(
    recipe: RecipeSpec, *, base: str, train: str, validation: str, checkpoints: str, gpu: bool
) -> str:
    """The recipe's configuration; paths are of the machine that trains."""
    config: dict[str, Any] = {
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
    learnt = _pairs if recipe.task == EMBEDDING else _chats
    return json.dumps(
        {**config, **learnt(recipe, base, train, validation), **_adapter(recipe)}, indent=1
    )


def _chats(recipe: RecipeSpec, base: str, train: str, validation: str) -> dict[str, Any]:
    """A language model, and the chats it learns from."""
    del recipe
    loader = {**_LOADER, "collate_fn": _CHATS_COLLATOR}
    return {
        "recipe": "TrainFinetuneRecipeForNextTokenPrediction",
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
        "dataloader": {**loader, "shuffle": True},
        "validation_dataloader": loader,
    }


def _pairs(recipe: RecipeSpec, base: str, train: str, validation: str) -> dict[str, Any]:
    """A bi-encoder, and the questions with their passages; float32, as a small one is served."""
    contrast = recipe.contrast
    collate = {
        "_target_": _PAIRS_COLLATOR,
        "q_max_len": contrast.query_tokens,
        "p_max_len": contrast.passage_tokens,
        "query_prefix": contrast.query_prefix,
        "passage_prefix": contrast.passage_prefix,
    }
    loader = {**_LOADER, "collate_fn": collate}
    data = {"_target_": _PAIRS, "n_passages": contrast.negatives + 1, "seed": recipe.seed}
    return {
        "recipe": "TrainBiEncoderRecipe",
        "temperature": contrast.temperature,
        "model": {
            "_target_": "nemo_automodel.NeMoAutoModelBiEncoder.from_pretrained",
            "pretrained_model_name_or_path": base,
            "torch_dtype": "float32",
            "attn_implementation": "sdpa",
            "use_liger_kernel": False,
            "pooling": "avg",
            "l2_normalize": True,
        },
        "tokenizer": {
            "_target_": "nemo_automodel.NeMoAutoTokenizer.from_pretrained",
            "pretrained_model_name_or_path": base,
            "add_bos_token": False,  # the tokenizer's own template does
            "add_eos_token": False,
        },
        "dataset": {**data, "data_dir_list": train, "data_type": "train"},
        "validation_dataset": {
            **data,
            "data_dir_list": validation,
            "data_type": "eval",
            "eval_negative_size": contrast.negatives,
        },
        "dataloader": {**loader, "shuffle": True},
        "validation_dataloader": loader,
    }


def _adapter(recipe: RecipeSpec) -> dict[str, Any]:
    """What is learnt beside the weights; nothing where all of them are."""
    if recipe.method == "full":
        return {}
    targets = (*_ENCODER_TARGETS, *_TARGETS) if recipe.task == EMBEDDING else _TARGETS
    peft = {
        "_target_": "nemo_automodel.components._peft.lora.PeftConfig",
        "target_modules": [f"*{name}" for name in targets],
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
