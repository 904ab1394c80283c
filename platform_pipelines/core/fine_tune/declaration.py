"""What a person declares of a fine-tuned model: every attribute, its default, what is allowed."""

import itertools
import math
from typing import Any, ClassVar, Literal, cast

from pydantic import Field, model_validator

from platform_pipelines.core.fine_tune.retrieval import METRICS as RETRIEVAL_METRICS
from platform_pipelines.core.road.declarations import Spec, TimedSpec
from platform_pipelines.core.road.identity import digest_json
from platform_pipelines.core.road.metrics import Metric
from platform_pipelines.core.road.served_model import QuestionsSpec, ServingSpec

SHIPPED_BASE = "smollm2-135m-instruct"
SHIPPED_ENCODER = "multilingual-e5-small"
CHAT, EMBEDDING = "chat", "embedding"
MOST_TRIALS = 24
_RETRIEVAL = tuple(metric.name for metric in RETRIEVAL_METRICS)
_ANSWERS = tuple(metric.name for metric in QuestionsSpec.measures)


class DataSpec(Spec):
    """What the model learns from."""

    sources: tuple[str, ...] = Field(
        default=(),
        description="files of chats, or for an embedder of questions with their passages (JSON "
        "Lines): URLs, or paths relative to the YAML",
    )
    reviewed: tuple[str, ...] = Field(
        default=(),
        description="files that `platform-pipelines feedback` or `draft` wrote; only rows to which "
        "a person gave the state `accepted`",
    )
    knowledge_bases: tuple[str, ...] = Field(
        default=(), description="an embedder's: names of those whose chunks it learns from"
    )
    validation_share: float = Field(
        default=0.1, gt=0, lt=0.5, description="of the rows; chosen by each row's own text"
    )
    licence: str = Field(default="", description="of rows that name none")
    tenant: str = Field(default="default", description="of rows that name none")

    @model_validator(mode="after")
    def _from_somewhere(self) -> "DataSpec":
        if not (self.sources or self.reviewed or self.knowledge_bases):
            raise ValueError("data.sources, data.reviewed or data.knowledge_bases names something")
        return self


class ContrastSpec(Spec):
    """How an embedder learns: a question's passage against others."""

    negatives: int = Field(
        default=2, ge=1, le=31, description="passages that do not answer, of each question"
    )
    temperature: float = Field(default=0.02, gt=0, le=10, description="divides similarities")
    query_tokens: int = Field(default=64, ge=8, le=8192, description="a longer question is cut")
    passage_tokens: int = Field(default=256, ge=8, le=8192, description="a longer passage is cut")
    query_prefix: str = Field(
        default="query:", description="before each question, and a space; here and when it serves"
    )
    passage_prefix: str = Field(default="passage:", description="before each passage, likewise")


class RecipeSpec(Spec):
    """How it learns. Every field is part of the run's identity."""

    task: Literal["chat", "embedding"] = Field(
        default="chat", description="`chat`: a language model; `embedding`: a bi-encoder"
    )
    contrast: ContrastSpec = Field(default=ContrastSpec(), description="of an embedder")
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
    """What evidence must say before a model becomes a candidate.

    An embedder is judged by the held-out side of its training set; the golden questions are those
    that it must not have learnt.
    """

    measures: ClassVar[tuple[Metric, ...]] = (*QuestionsSpec.measures, *RETRIEVAL_METRICS)


class FineTuneSpec(TimedSpec):
    """One fine-tuned model. The shortest declaration: a name, sources and a golden set."""

    data: DataSpec
    gate: ModelGateSpec
    base: str = Field(
        default=SHIPPED_BASE,
        description=f"`{SHIPPED_BASE}` or, of an embedder, `{SHIPPED_ENCODER}` (shipped), or the "
        "URL of a folder of safetensors",
    )
    recipe: RecipeSpec = RecipeSpec()
    grid: GridSpec | None = Field(
        default=None, description="recipes to be tried; the adapter is the best one's"
    )
    serving: ServingSpec = ServingSpec()
    profile: Literal["cpu", "gpu-training"] = Field(
        default="cpu", description="the compute profile; on one machine all are a process"
    )
    endpoint_port: int | None = Field(
        default=None, ge=1, le=65535,
        description="an embedder's: where the registered one is served for knowledge bases",
    )  # fmt: skip
    timeout_minutes: int = Field(default=240, ge=1, description="a run older than this is ended")

    @property
    def is_embedder(self) -> bool:
        """Whether vectors are made of texts, and no answers."""
        return self.recipe.task == EMBEDDING

    @model_validator(mode="before")
    @classmethod
    def _of_an_embedder(cls, values: Any) -> Any:
        """What is left out means another thing where vectors are made."""
        if not isinstance(values, dict):
            return values
        given = cast("dict[str, Any]", values)
        recipe: Any = given.get("recipe")
        told = cast("dict[str, Any]", recipe) if isinstance(recipe, dict) else {}
        if told.get("task") != EMBEDDING:
            return given
        serving: Any = given.get("serving") or {}
        if isinstance(serving, dict):
            serving = {"dtype": "float32", **cast("dict[str, Any]", serving)}
        return {"base": SHIPPED_ENCODER, **given, "serving": serving}

    @model_validator(mode="after")
    def _of_one_task(self) -> "FineTuneSpec":
        """What belongs to the other task is refused, not ignored."""
        allowed = _RETRIEVAL if self.is_embedder else _ANSWERS
        wrong = sorted(set(self.gate.floors) - set(allowed))
        if wrong:
            raise ValueError(
                f"gate.floors names {wrong[0]}, which nobody measures of a model for "
                f"{self.recipe.task}; allowed: {', '.join(allowed)}"
            )
        if self.is_embedder and self.recipe.method == "qlora":
            raise ValueError("recipe.method `qlora` is for chat; an embedder takes lora or full")
        if not self.is_embedder and self.data.knowledge_bases:
            raise ValueError(
                "data.knowledge_bases is an embedder's; chats come from one by "
                "`platform-pipelines draft`, reviewed, as data.reviewed"
            )
        if not self.is_embedder and self.endpoint_port is not None:
            raise ValueError("endpoint_port is an embedder's; a chat model has a ModelRollout")
        return self

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
