"""What a person declares of answers: who words them, who judges them, when what is live is judged.

A secret is never declared: keys are read from the environment (`settings.py`).
"""

import re
from typing import Literal

from pydantic import Field, field_validator, model_validator

from platform_pipelines.core.knowledge_base.embed_declaration import PROFILE_PATTERN
from platform_pipelines.core.knowledge_base.metrics import JUDGED
from platform_pipelines.core.road.declarations import Spec
from platform_pipelines.core.road.declared_values import server_problem
from platform_pipelines.core.road.refreshing import cron_problem, timezone_problem

WEBHOOK = "webhook"
TOPIC = re.compile(r"arn:aws[a-z-]*:sns:[a-z0-9-]+:[0-9]{12}:[A-Za-z0-9_-]{1,256}(?:\.fifo)?")
MAX_JUDGE_SECONDS = 60.0  # longer waits stalled whole evaluations (measured once: 605 s)
MAX_JUDGE_CONCURRENCY = 16  # bursts beyond it lost requests on a warm pool


class ModelSpec(Spec):
    """A language model of an OpenAI-compatible server."""

    url: str = Field(description="the server, up to `/v1`")
    model: str = Field(min_length=1, description="the model's name there")

    @field_validator("url")
    @classmethod
    def _is_a_server(cls, url: str) -> str:
        if problem := server_problem(url):
            raise ValueError(problem)
        return url


class AnswerSpec(Spec):
    """How questions are answered; all of it is part of the revision."""

    model: str | None = Field(
        default=None, description="who words answers; none: they are quoted from the documents"
    )
    url: str | None = Field(default=None, description="the model's server, up to `/v1`")
    fallbacks: tuple[ModelSpec, ...] = Field(
        default=(), description="[{url, model}], asked in this order when the model does not answer"
    )
    prompt: Literal["answer_1"] = Field(
        default="answer_1", description="the shipped prompt, by its version"
    )
    temperature: float = Field(default=0.1, ge=0, le=2, description="of the model")
    max_tokens: int = Field(default=512, ge=16, le=8192, description="of a reply")
    passages: int = Field(default=5, ge=1, le=20, description="chunks that a model is given")
    mmr: bool = Field(
        default=False, description="choose passages that differ (maximal marginal relevance)"
    )
    fetch_k: int = Field(default=20, ge=1, le=100, description="`mmr`: chunks to choose from")
    diversity: float = Field(
        default=0.5, ge=0, le=1, description="`mmr`: 0 is the most relevant, 1 the most different"
    )

    @field_validator("url")
    @classmethod
    def _is_a_server(cls, url: str | None) -> str | None:
        if url is not None and (problem := server_problem(url)):
            raise ValueError(problem)
        return url

    @model_validator(mode="after")
    def _complete(self) -> "AnswerSpec":
        if bool(self.model) != bool(self.url):
            raise ValueError("`model` and `url` go together")
        if self.fallbacks and not self.model:
            raise ValueError("`fallbacks` without a `model` are never asked")
        if self.mmr and self.fetch_k < self.passages:
            raise ValueError(f"`fetch_k` {self.fetch_k} is below `passages` {self.passages}")
        return self


class JudgeSpec(Spec):
    """Who judges whole answers, and what that may cost. A budget of None is without end."""

    model: str = Field(min_length=1, description="the judge, by its name there")
    url: str = Field(description="its server, up to `/v1`")
    metrics: tuple[str, ...] = Field(
        default=JUDGED[:4], min_length=1, description=f"of {', '.join(JUDGED)}"
    )
    temperature: float = Field(default=0.0, ge=0, le=2, description="of the judge")
    max_tokens: int = Field(default=2048, ge=64, le=16384, description="of one verdict")
    json_schema: bool = Field(
        default=True, description="have the server enforce the verdict's schema (json_schema)"
    )
    concurrency: int = Field(
        default=8, ge=1, le=MAX_JUDGE_CONCURRENCY, description="calls at a time"
    )
    seconds: float = Field(
        default=60.0, gt=0, le=MAX_JUDGE_SECONDS, description="time-out of one call"
    )
    attempts: int = Field(default=4, ge=1, le=10, description="of one call, with back-off")
    calls: int | None = Field(default=None, ge=1, description="budget of an evaluation")
    tokens: int | None = Field(default=None, ge=1, description="budget, both ways together")
    minutes: float | None = Field(default=None, gt=0, description="budget")
    money: float | None = Field(default=None, gt=0, description="budget, in the prices' unit")
    price_in: float = Field(default=0.0, ge=0, description="of a million tokens that are read")
    price_out: float = Field(default=0.0, ge=0, description="of a million tokens that are written")
    repeats: int = Field(
        default=4, ge=0, le=50, description="questions judged twice, to measure the judge's noise"
    )

    @field_validator("url")
    @classmethod
    def _is_a_server(cls, url: str) -> str:
        if problem := server_problem(url):
            raise ValueError(problem)
        return url

    @field_validator("metrics")
    @classmethod
    def _known(cls, metrics: tuple[str, ...]) -> tuple[str, ...]:
        for name in metrics:
            if name not in JUDGED:
                raise ValueError(f"unknown metric {name!r}; allowed: {', '.join(JUDGED)}")
        return tuple(dict.fromkeys(metrics))

    @model_validator(mode="after")
    def _priced(self) -> "JudgeSpec":
        if self.money is not None and not (self.price_in or self.price_out):
            raise ValueError("a budget of `money` needs `price_in` or `price_out`")
        return self


class EvaluationSpec(Spec):
    """When what is live is evaluated again: judges, models and documents' questions change."""

    cron: tuple[str, ...] = Field(
        default=("0 6 * * *", "0 */6 * * *"),
        min_length=1,
        description="when the live revision is evaluated, five fields each",
    )
    timezone: str = Field(default="Asia/Seoul", description="IANA name")
    profile: str | None = Field(
        default=None,
        pattern=PROFILE_PATTERN,
        description="the compute profile of an evaluation's tasks, a candidate's too; without, "
        "`embed.profile`",
    )
    roll_back: bool = Field(
        default=False, description="roll back when the live revision is worse than the one before"
    )
    notify: tuple[str, ...] = Field(
        default=(),
        description="who is told of a failed evaluation: `webhook` (PLATFORM_NOTIFY_WEBHOOK), or "
        "the ARN of an SNS topic",
    )

    @field_validator("notify")
    @classmethod
    def _can_be_told(cls, notify: tuple[str, ...]) -> tuple[str, ...]:
        for one in notify:
            if one != WEBHOOK and not TOPIC.fullmatch(one):
                raise ValueError(f"{one!r} is neither `webhook` nor the ARN of an SNS topic")
        return tuple(dict.fromkeys(notify))

    @field_validator("cron")
    @classmethod
    def _fires(cls, cron: tuple[str, ...]) -> tuple[str, ...]:
        for one in cron:
            if problem := cron_problem(one):
                raise ValueError(problem)
        return cron

    @field_validator("timezone")
    @classmethod
    def _exists(cls, timezone: str) -> str:
        if problem := timezone_problem(timezone):
            raise ValueError(problem)
        return timezone
