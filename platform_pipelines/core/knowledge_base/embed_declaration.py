"""What a person declares of an embedder: which one, what it reads, how it is asked."""

from typing import Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from platform_pipelines.core.road.declarations import Server, Spec

PROFILE_PATTERN = r"^[a-z]([a-z0-9-]*[a-z0-9])?$"
SHIPPED_WINDOW_TOKENS = 512  # of multilingual-e5-small, and of the hash embedder
_FIXED = {  # by the embedders that come with this package
    ("local", "dimension"): 384,
    ("local", "window_tokens"): SHIPPED_WINDOW_TOKENS,
    ("hash", "window_tokens"): SHIPPED_WINDOW_TOKENS,
}
_ONLY_SERVED = (
    "url", "revision", "query_prefix", "passage_prefix", "tokenizer", "batch", "concurrency",
)  # fmt: skip


class EmbedSpec(Spec):
    """What turns texts into vectors."""

    provider: Literal["local", "openai", "hash"] = Field(
        default="local",
        description="`local`: on this machine's CPU; `openai`: any OpenAI-compatible server "
        "(vLLM, TEI, NIM); `hash`: free and meaningless, for load tests",
    )
    model: str = Field(default="multilingual-e5-small", description="the model's name")
    url: Server | None = Field(default=None, description="`openai` only: the server, up to `/v1`")
    dimension: int | None = Field(default=None, ge=1, le=32768, description="of the vectors")
    window_tokens: int | None = Field(default=None, ge=16, description="longest text it reads")
    revision: str = Field(
        default="", description="`openai` only: of the model's weights, part of the identity"
    )
    query_prefix: str = Field(default="", description="`openai` only: put before every query")
    passage_prefix: str = Field(default="", description="`openai` only: put before every chunk")
    tokenizer: str = Field(
        default="server",
        description="`openai` only: `server` (its /tokenize) or the path of a tokenizer.json",
    )
    batch: int = Field(default=32, ge=1, le=2048, description="`openai` only: texts in one request")
    concurrency: int = Field(
        default=4, ge=1, le=256, description="`openai` only: requests at a time"
    )
    profile: str = Field(
        default="cpu",
        pattern=PROFILE_PATTERN,
        description="the compute profile of its tasks; on one machine all are a process",
    )

    @property
    def window(self) -> int:
        """The longest text that the embedder reads, in tokens."""
        return self.window_tokens or SHIPPED_WINDOW_TOKENS

    @field_validator(*_ONLY_SERVED)
    @classmethod
    def _used(cls, value: object, info: ValidationInfo) -> object:
        name, provider = str(info.field_name), info.data.get("provider", "openai")
        if provider == "openai" or value == cls.model_fields[name].default:
            return value
        raise ValueError(f"`{name}` goes with provider `openai`, not `{provider}`")

    @field_validator("dimension", "window_tokens")
    @classmethod
    def _of_the_model(cls, value: int | None, info: ValidationInfo) -> int | None:
        provider = info.data.get("provider", "openai")
        fixed = _FIXED.get((provider, str(info.field_name)))
        if fixed is None or value in (None, fixed):
            return value
        raise ValueError(f"provider `{provider}` has {fixed}; serve other models with `openai`")

    @model_validator(mode="after")
    def _complete(self) -> "EmbedSpec":
        if self.provider == "openai":
            absent = [n for n in ("url", "dimension", "window_tokens") if getattr(self, n) is None]
            if absent:
                raise ValueError(f"provider `openai` needs {', '.join(absent)}")
        if self.provider == "local" and self.model != "multilingual-e5-small":
            raise ValueError(
                f"model {self.model!r} is not shipped: provider `local` has multilingual-e5-small, "
                "any other model is served by provider `openai`"
            )
        return self
