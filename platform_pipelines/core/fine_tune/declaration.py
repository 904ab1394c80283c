"""What a person declares of a fine-tuned model: every attribute, its default, what is allowed."""

import itertools
import math
from typing import Literal

from pydantic import Field, model_validator

from platform_pipelines.core.road.declarations import Spec, TimedSpec
from platform_pipelines.core.road.identity import digest_json
from platform_pipelines.core.road.served_model import QuestionsSpec, ServingSpec

SHIPPED_BASE = "smollm2-135m-instruct"
MOST_TRIALS = 24


class DataSpec(Spec):
    """What the model learns from."""

    sources: tuple[str, ...] = Field(
        min_length=1,
        description="files of chats (JSON Lines): URLs, or paths relative to the YAML",
    )
    validation_share: float = Field(
        default=0.1, gt=0, lt=0.5, description="of the rows; chosen by each row's own text"
    )
    licence: str = Field(default="", description="of rows that name none")
    tenant: str = Field(default="default", description="of rows that name none")


class RecipeSpec(Spec):
    """How it learns. Every field is part of the run's identity."""

    method: Literal["lora", "qlora", "full"] = Field(
        default="lora",
        description="`lora`: an adapter, merged afterwards; `qlora`: the same over 4-bit weights, "
        "on a GPU only; `full`: all weights",
    )
    rank: int = Field(default=16, ge=1, le=512, description="of an adapter")
    alpha: int = Field(default=32, ge=1, description="of an adapter")
    learning_rate: float = Field(default=5e-4, gt=0, le=1, description="at its highest")
    warmup_steps: int = Field(default=2, ge=0, description="less than max_steps")
    max_steps: int = Field(default=20, ge=2, description="optimizer steps")
    batch: int = Field(default=8, ge=1, description="rows of one step, over all processes")
    micro_batch: int = Field(default=4, ge=1, description="rows that one process takes at a time")
    seed: int = Field(default=42, ge=0, description="of everything random")
    checkpoint_every_steps: int = Field(default=5, ge=1, description="what a kill may cost")
    validate_every_steps: int = Field(default=10, ge=1, description="validation passes")
    processes: int = Field(default=1, ge=1, le=64, description="world size; batch is a multiple")

    @model_validator(mode="after")
    def _fits(self) -> "RecipeSpec":
        if self.warmup_steps >= self.max_steps:
            raise ValueError(f"warmup_steps {self.warmup_steps} is not below max_steps")
        if self.batch % (self.micro_batch * self.processes):
            raise ValueError(
                f"batch {self.batch} is no multiple of micro_batch x processes = "
                f"{self.micro_batch * self.processes}"
            )
        return self


class GridSpec(Spec):
    """Values to be tried, each with each: one trial a combination."""

    learning_rate: tuple[float, ...] = Field(default=(), description="instead of the recipe's")
    rank: tuple[int, ...] = Field(default=(), description="of an adapter")
    alpha: tuple[int, ...] = Field(default=(), description="of an adapter")
    max_steps: tuple[int, ...] = Field(default=(), description="optimizer steps")
    seed: tuple[int, ...] = Field(default=(), description="how much is chance")

    @model_validator(mode="after")
    def _small(self) -> "GridSpec":
        lengths = [len(values) for values in self.values.values()]
        if not 2 <= math.prod(lengths) <= MOST_TRIALS or not lengths:
            raise ValueError(f"a grid has 2 to {MOST_TRIALS} trials, not {math.prod(lengths)}")
        twice = [n for n, values in self.values.items() if len(set(values)) < len(values)]
        if twice:
            raise ValueError(f"{twice[0]} names a value twice")
        return self

    @property
    def values(self) -> dict[str, tuple[float, ...]]:
        """The fields that are varied."""
        every = {name: getattr(self, name) for name in type(self).model_fields}
        return {name: found for name, found in every.items() if found}


class ModelGateSpec(QuestionsSpec):
    """What evidence must say before a model becomes a candidate."""


class FineTuneSpec(TimedSpec):
    """One fine-tuned model. The shortest declaration: a name, sources and a golden set."""

    data: DataSpec
    gate: ModelGateSpec
    base: str = Field(
        default=SHIPPED_BASE,
        description=f"`{SHIPPED_BASE}` (shipped), or the URL of a folder of safetensors",
    )
    recipe: RecipeSpec = RecipeSpec()
    grid: GridSpec | None = Field(
        default=None, description="recipes to be tried; the adapter is the best one's"
    )
    serving: ServingSpec = ServingSpec()
    profile: Literal["cpu", "gpu-training"] = Field(
        default="cpu", description="the compute profile; on one machine all are a process"
    )
    timeout_minutes: int = Field(default=240, ge=1, description="a run older than this is ended")

    @model_validator(mode="after")
    def _trainable(self) -> "FineTuneSpec":
        if self.recipe.method == "qlora" and self.profile == "cpu":
            raise ValueError(
                "recipe.method `qlora` quantises on a GPU, and the profile is `cpu`; "
                "declare profile `gpu-training`, or method `lora` or `full`"
            )
        return self

    @model_validator(mode="after")
    def _comparable(self) -> "FineTuneSpec":
        """Every trial is a recipe that can be trained, with a validation loss at its end."""
        for name, recipe in self.trials.items():
            if recipe.validate_every_steps > recipe.max_steps:
                raise ValueError(
                    f"the trial {name} ends before its first validation: "
                    f"recipe.validate_every_steps is {recipe.validate_every_steps}"
                )
        return self

    @property
    def trials(self) -> dict[str, RecipeSpec]:
        """The recipes of the grid by their names; none without a grid."""
        if self.grid is None:
            return {}
        varied = self.grid.values
        found: dict[str, RecipeSpec] = {}
        for chosen in itertools.product(*varied.values()):
            change = dict(zip(varied, chosen, strict=True))
            name = " ".join(f"{field}={value:g}" for field, value in change.items())
            found[name] = RecipeSpec.model_validate({**self.recipe.model_dump(), **change})
        return found


def training_digest(recipe: RecipeSpec, *, data: str, base: str, code: str) -> str:
    """Names a training run: other data, base, recipe, seed or world size is another run.

    The trainer's own check compares the model's path and the adapter only: a changed learning rate,
    file or seed would resume silently. That is why the run's folder has this name.
    """
    return digest_json(
        {"recipe": recipe.model_dump(mode="json"), "data": data, "base": base, "code": code}
    )
