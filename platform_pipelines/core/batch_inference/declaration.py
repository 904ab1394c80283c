"""What a batch inference declares: prompts, answers, the model, when, and what may fail."""

from decimal import Decimal

from pydantic import Field, field_validator, model_validator

from platform_pipelines.core.road.declarations import NAME_MAX_CHARACTERS, NAME_PATTERN, Spec
from platform_pipelines.core.road.declared_values import server_problem
from platform_pipelines.core.road.identity import digest_json
from platform_pipelines.core.road.pricing import TokenPrice
from platform_pipelines.core.road.refreshing import cron_problem, owner_problem, timezone_problem


class BatchModelSpec(Spec):
    """Who answers, and for how much."""

    url: str = Field(description="an OpenAI-compatible server or the gateway, up to `/v1`")
    model: str = Field(min_length=1, description="the model's name there")
    system: str = Field(default="", description="a system message before every prompt")
    temperature: float = Field(default=0.0, ge=0, le=2, description="of the answers")
    max_tokens: int = Field(default=512, ge=1, description="of one answer")
    input_per_million: Decimal = Field(
        ge=0, description="US dollars for 1,000,000 prompt tokens; 0 where nobody is paid"
    )
    output_per_million: Decimal = Field(ge=0, description="US dollars for 1,000,000 answer tokens")

    @field_validator("url")
    @classmethod
    def _reachable(cls, url: str) -> str:
        if problem := server_problem(url):
            raise ValueError(problem)
        return url

    @property
    def recipe(self) -> str:
        """Digest of what decides an answer; a price or an address is none of it."""
        return digest_json(
            {"model": self.model, "system": self.system, "temperature": self.temperature,
             "max_tokens": self.max_tokens}
        )  # fmt: skip

    @property
    def price(self) -> TokenPrice:
        """Of its tokens."""
        return TokenPrice(self.input_per_million, self.output_per_million)


class BatchInferenceSpec(Spec):
    """Every prompt of a folder, answered once."""

    name: str = Field(
        pattern=NAME_PATTERN,
        max_length=NAME_MAX_CHARACTERS,
        description="lower-case letters, digits and single underscores",
    )
    prompts: str = Field(
        description="a folder of JSON Lines: `s3://bucket/prefix`, `file:///folder`, or a path "
        "relative to the YAML; a line has `id` and `prompt`, or `messages`, or is a line of "
        "OpenAI's batch API"
    )
    answers: str | None = Field(
        default=None, description="the folder of the answers; none: in the platform's store"
    )
    language_model: BatchModelSpec = Field(description="who answers")
    batch: int = Field(default=100, ge=1, le=10_000, description="answers in one stored file")
    concurrency: int = Field(default=8, ge=1, le=256, description="prompts that are asked at once")
    attempts: int = Field(default=4, ge=1, le=20, description="for one prompt, in one run")
    failed_share: float = Field(
        default=0.02, ge=0, lt=1, description="of the prompts: more than this fails the check"
    )
    tenant: str = Field(default="(platform)", description="who pays, on the pages of costs")
    cron: str = Field(default="0 2 * * *", description="when it runs; off until switched on")
    timezone: str = Field(default="UTC", description="of that cron, an IANA name")
    timeout_minutes: int = Field(default=480, ge=1, description="a run older than this is ended")
    description: str = Field(default="", description="one sentence for the asset pages")
    owner: str = Field(default="team:platform", description="`team:name` or an e-mail address")

    @model_validator(mode="after")
    def _sound(self) -> "BatchInferenceSpec":
        problems = {
            "owner": owner_problem(self.owner),
            "cron": cron_problem(self.cron),
            "timezone": timezone_problem(self.timezone),
        }
        told = [f"{name} {problem}" for name, problem in problems.items() if problem]
        if told:
            raise ValueError("; ".join(told))
        return self
