"""A model that is served: what it is, and the arguments that the server is started with."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from pydantic import Field, field_validator

from platform_pipelines.core.road.declarations import Spec
from platform_pipelines.core.road.identity import digest_json
from platform_pipelines.core.road.metrics import Metric
from platform_pipelines.core.road.model_questions import METRICS

SERVED_NAME = "chat"
EMBEDDER_NAME = "embedder"  # and the start of its digest, so that nobody mistakes its vectors
SHORT = 12


class ServingSpec(Spec):
    """How a model is served; one record for every side of a comparison."""

    max_length: int = Field(default=2048, ge=16, description="tokens of prompt and answer together")
    kv_cache_gb: int = Field(default=1, ge=1, description="memory for the KV cache, GiB (CPU)")
    dtype: str = Field(default="bfloat16", description="`bfloat16`, `float16` or `float32`")
    max_streams: int = Field(default=16, ge=1, description="requests that run at a time")
    max_queued: int | None = Field(default=None, ge=1, description="more are refused; None: none")
    drain_seconds: int = Field(default=30, ge=1, description="for requests in flight at the end")
    start_seconds: int = Field(default=600, ge=10, description="until it must be ready")

    @property
    def digest(self) -> str:
        """Sides that are served otherwise are not compared."""
        return digest_json(self.model_dump(mode="json"))


@dataclass(frozen=True, slots=True)
class ModelRef:
    """One model: its files' digest, where they are, and its number in the registry (0: none)."""

    digest: str
    url: str
    version: int = 0

    @property
    def short(self) -> str:
        """For names of folders and clusters."""
        return self.digest[:SHORT]

    def record(self) -> dict[str, Any]:
        """As JSON."""
        return {"digest": self.digest, "url": self.url, "version": self.version}


def model_ref(record: Mapping[str, Any]) -> ModelRef:
    """The inverse of `record`."""
    return ModelRef(str(record["digest"]), str(record["url"]), int(record["version"]))


def files_digest(files: Mapping[str, str]) -> str:
    """Names a model by the SHA-256 of each of its files."""
    return digest_json(dict(files))


def vllm_arguments(folder: str, spec: ServingSpec, *, host: str, port: int) -> list[str]:
    """Arguments of `vllm serve` (vLLM 0.32). Never `--trust-remote-code`; safetensors only."""
    arguments = [
        "serve", folder, "--served-model-name", SERVED_NAME, "--host", host, "--port", str(port),
        "--load-format", "safetensors", "--dtype", spec.dtype,
        "--max-model-len", str(spec.max_length), "--max-num-seqs", str(spec.max_streams),
        "--enforce-eager", "--enable-prefix-caching",
        "--shutdown-timeout", str(spec.drain_seconds),
    ]  # fmt: skip
    if spec.max_queued is not None:
        arguments += ["--max-num-queued-reqs", str(spec.max_queued)]
    return arguments


def embedding_arguments(folder: str, spec: ServingSpec, *, host: str, port: int) -> list[str]:
    """As `vllm_arguments`, of an encoder: the mean over its tokens, and its own longest text."""
    digest = folder.rstrip("/").rpartition("/")[2]
    return [
        "serve", folder, "--served-model-name", EMBEDDER_NAME, digest[:SHORT],
        "--host", host, "--port", str(port), "--runner", "pooling",
        "--pooler-config", '{"pooling_type": "MEAN"}',
        "--load-format", "safetensors", "--dtype", spec.dtype,
        "--max-num-seqs", str(spec.max_streams), "--enforce-eager",
        "--shutdown-timeout", str(spec.drain_seconds),
    ]  # fmt: skip


class QuestionsSpec(Spec):
    """The golden questions that two models are asked, and what their answers must be worth."""

    measures: ClassVar[tuple[Metric, ...]] = METRICS  # that may have a floor

    golden_set: str = Field(description="golden questions (JSON Lines): URL or relative path")
    floors: dict[str, float] = Field(
        default_factory=dict, description=f"of {', '.join(m.name for m in METRICS)}"
    )
    minimum_effect: float = Field(
        default=0.05, ge=0, le=1, description="a loss of answer_f1 that does not matter"
    )
    minimum_questions: int = Field(default=20, ge=1, description="fewer answer `undecided`")
    answer_tokens: int = Field(default=48, ge=1, description="longest answer that is asked for")

    @field_validator("floors")
    @classmethod
    def _known(cls, floors: dict[str, float]) -> dict[str, float]:
        allowed = [metric.name for metric in cls.measures]
        unknown = sorted(set(floors) - set(allowed))
        if unknown:
            raise ValueError(f"unknown metrics {unknown}; allowed: {', '.join(allowed)}")
        return floors
