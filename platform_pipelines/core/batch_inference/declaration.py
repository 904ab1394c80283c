"""What a batch inference declares: prompts, answers, the model, when, and what may fail."""

from decimal import Decimal
from typing import Literal

from pydantic import Field, model_validator

from platform_pipelines.core.road.declarations import Cron, ScheduledSpec, Server, Spec
from platform_pipelines.core.road.identity import digest_json
from platform_pipelines.core.road.pricing import TokenPrice


class BatchModelSpec(Spec):
    """Who answers, and for how much."""

    url: Server = Field(description="an OpenAI-compatible server or the gateway, up to `/v1`")
    model: str = Field(min_length=1, description="the model's name there")
    system: str = Field(default="", description="a system message before every prompt")
    temperature: float = Field(default=0.0, ge=0, le=2, description="of the answers")
    max_tokens: int = Field(default=512, ge=1, description="of one answer")
    input_per_million: Decimal = Field(
        ge=0, description="US dollars for 1,000,000 prompt tokens; 0 where nobody is paid"
    )
    output_per_million: Decimal = Field(ge=0, description="US dollars for 1,000,000 answer tokens")

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


class BatchProviderSpec(Spec):
    """Where a provider's own batches are looked after."""

    poll_seconds: float = Field(default=60.0, gt=0, le=3600, description="between two looks")
    at_once: int = Field(default=4, ge=1, le=100, description="batches that are under way at once")
    role: str | None = Field(
        default=None, description="`bedrock_batch`: the ARN of the role that reads and writes S3"
    )
    staging: str | None = Field(
        default=None, description="`bedrock_batch`: `s3://bucket/prefix` of its files"
    )


class BatchInferenceSpec(ScheduledSpec):
    """Every prompt of a folder, answered once."""

    prompts: str = Field(
        description="a folder of JSON Lines: `s3://bucket/prefix`, `file:///folder`, or a path "
        "relative to the YAML; a line has `id` and `prompt`, or `messages`, or is a line of "
        "OpenAI's batch API"
    )
    answers: str | None = Field(
        default=None, description="the folder of the answers; none: in the platform's store"
    )
    language_model: BatchModelSpec = Field(description="who answers")
    through: Literal["server", "jobs", "openai_batch", "bedrock_batch"] = Field(
        default="server",
        description="`server`: asked from here; `jobs`: from Jobs of `profile`, the model beside "
        "them where the profile has an engine; `openai_batch`: the server's Batch API; "
        "`bedrock_batch`: Bedrock's",
    )
    profile: str = Field(default="gpu-spot", description="`jobs`: the compute profile")
    provider: BatchProviderSpec = Field(
        default=BatchProviderSpec(), description="of `openai_batch` and `bedrock_batch`"
    )
    batch: int = Field(default=100, ge=1, le=50_000, description="answers in one stored file")
    concurrency: int = Field(default=8, ge=1, le=256, description="prompts that are asked at once")
    attempts: int = Field(default=4, ge=1, le=20, description="for one prompt, in one run")
    failed_share: float = Field(
        default=0.02, ge=0, lt=1, description="of the prompts: more than this fails the check"
    )
    tenant: str = Field(default="(platform)", description="who pays, on the pages of costs")
    cron: Cron = Field(default="0 2 * * *", description="when it runs; off until switched on")
    timeout_minutes: int = Field(default=480, ge=1, description="a run older than this is ended")

    @model_validator(mode="after")
    def _complete(self) -> "BatchInferenceSpec":
        staging = self.provider.staging or ""
        if self.through == "bedrock_batch" and not (
            self.provider.role and staging.startswith("s3://")
        ):
            raise ValueError("through `bedrock_batch` needs `provider.role` and `provider.staging`")
        return self
