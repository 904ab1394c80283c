"""What a person declares of a knowledge base: every attribute, its default and what is allowed.

The one schema: the component, the record of a revision and the command line all read this. A wrong
value is a `ConfigurationError` that names the field, the value and what is allowed.
"""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from platform_pipelines.core.knowledge_base.answer_declaration import (
    AnswerSpec,
    EvaluationSpec,
    JudgeSpec,
)
from platform_pipelines.core.knowledge_base.chunking.policy import policies_from_mapping
from platform_pipelines.core.knowledge_base.embed_declaration import EmbedSpec
from platform_pipelines.core.knowledge_base.metrics import JUDGED, METRICS
from platform_pipelines.core.knowledge_base.parse_declaration import ParseSpec
from platform_pipelines.core.road.declarations import (
    Cron,
    NamedSpec,
    Spec,
    Text,
    Timezone,
    parse_spec,
)
from platform_pipelines.errors import ConfigurationError

DEFAULT_PREFIX = "kb"
PREFIX_PATTERN = r"^[a-z][a-z0-9]*$"  # no underscore: it ends where the name begins


class EventsSpec(Spec):
    """S3's own notifications, instead of a listing every minute."""

    queue: str = Field(
        min_length=1,
        description="the URL of the SQS queue that the bucket (or EventBridge) writes to; the "
        "credentials are those of S3",
    )
    listing_minutes: int = Field(
        default=60, ge=1, le=1440, description="a listing all the same: lost messages are healed"
    )


class SourceSpec(Spec):
    """Where the documents are."""

    url: Text = Field(
        min_length=1,
        description="`s3://bucket/prefix`, `file:///folder`, or a path relative to the YAML",
    )
    include: tuple[str, ...] = Field(
        default=(), description="globs of keys to take, e.g. `docs/*`; empty takes all"
    )
    exclude: tuple[str, ...] = Field(default=(), description="glob patterns of keys to leave out")
    shards: int = Field(
        default=16,
        ge=1,
        le=4096,
        description="parts the work is cut into; fixed per corpus",
    )
    events: EventsSpec | None = Field(
        default=None,
        description="`s3://` only: the bucket's events instead of a listing every minute: `queue`, "
        "the URL of the SQS queue, and `listing_minutes` (60), a listing all the same, which heals "
        "lost messages",
    )

    @model_validator(mode="after")
    def _of_a_bucket(self) -> "SourceSpec":
        if self.events is not None and not self.url.startswith("s3://"):
            raise ValueError("`events` goes with an `s3://` source")
        return self


class IndexSpec(Spec):
    """How vectors and keywords are stored and searched."""

    kind: Literal[
        "auto", "FLAT", "IVF_FLAT", "IVF_SQ8", "IVF_PQ", "HNSW", "SCANN", "DISKANN",
        "GPU_BRUTE_FORCE", "GPU_IVF_FLAT", "GPU_IVF_PQ", "GPU_CAGRA",
    ] = Field(default="auto", description="`auto` chooses by capability and size, and says why"
    )  # fmt: skip
    fallback: bool = Field(
        default=False, description="take what `auto` would when the server cannot do `kind`"
    )
    metric: Literal["COSINE", "IP", "L2"] = Field(default="COSINE", description="of the vectors")
    keyword: bool = Field(
        default=True, description="BM25 beside the vectors where the server can; it says when not"
    )
    dense_weight: float = Field(default=1.0, ge=0, description="in reciprocal rank fusion")
    keyword_weight: float = Field(default=1.0, ge=0, description="in reciprocal rank fusion")
    rank_constant: int = Field(
        default=10,
        ge=1,
        le=1000,
        description="in reciprocal rank fusion: smaller trusts the first places more",
    )
    collapse_copies: bool = Field(
        default=True,
        description="what several documents say nearly to the letter (a PDF beside its HTML pages) "
        'is found once, with the others as "also in"',
    )
    prefix: str = Field(
        default=DEFAULT_PREFIX,
        pattern=PREFIX_PATTERN,
        max_length=20,
        description="first part of the names of collections and aliases: keeps platforms apart "
        "that share a vector store",
    )
    max_dead_share: float = Field(
        default=0.3,
        ge=0,
        le=0.9,
        description="a collection with a larger share of deleted rows is not recycled but built "
        "afresh: deleted rows slow exact search until the server compacts them",
    )

    @model_validator(mode="after")
    def _searches(self) -> "IndexSpec":
        if self.dense_weight or (self.keyword and self.keyword_weight):
            return self
        without = "keyword_weight is 0" if self.keyword else "keyword is false"
        raise ValueError(
            f"nothing would be searched: dense_weight is 0 and {without}; "
            "dense_weight, or keyword_weight with keyword, is over 0"
        )


class GateSpec(Spec):
    """What evidence must say before a revision is released."""

    golden_set: Text | None = Field(
        default=None,
        description="URL of a golden set (JSON Lines), a path relative to the declaration, or "
        "`golden_set:NAME` of a declared one",
    )
    k: int = Field(default=10, ge=1, le=100, description="chunks that an answer may use")
    floors: dict[str, float] = Field(
        default_factory=dict,
        description=f"lowest allowed value of {', '.join((*METRICS, *JUDGED))}",
    )
    minimum_effect: float = Field(
        default=0.02, ge=0, le=1, description="a loss against live that does not matter"
    )
    minimum_questions: int = Field(default=20, ge=1, description="fewer answer `undecided`")
    max_removed: float = Field(
        default=0.2,
        ge=0,
        le=1,
        description="a larger share of the live documents gone or unreadable (and at least "
        "5) is held until `platform-pipelines approve`",
    )
    max_unread: float = Field(
        default=1.0,
        ge=0,
        le=1,
        description="a larger share of documents of which a part was not read (a damaged chart, "
        "a formula without a value, a picture) fails; 1 refuses none",
    )
    own_document_floor: float = Field(
        default=0.9,
        ge=0,
        le=1,
        description="without a golden set: share of sampled sentences that find their document",
    )

    @field_validator("floors")
    @classmethod
    def _known(cls, floors: dict[str, float]) -> dict[str, float]:
        for metric, floor in floors.items():
            if metric not in (*METRICS, *JUDGED):
                allowed = ", ".join((*METRICS, *JUDGED))
                raise ValueError(f"unknown metric {metric!r}; allowed: {allowed}")
            if not 0 <= floor <= 1:
                raise ValueError(f"the floor of {metric} is {floor}; allowed: 0 to 1")
        return floors


class ReleaseSpec(Spec):
    """What happens to revisions once they are released."""

    keep: int = Field(default=3, ge=2, le=20, description="released revisions kept for rollback")


class RefreshSpec(Spec):
    """When a refresh starts by itself; schedule and sensor are off until switched on."""

    cron: Cron = Field(default="0 * * * *", description="five fields: when the schedule refreshes")
    timezone: Timezone = Field(default="UTC", description="IANA name, e.g. `Asia/Seoul`")
    watch: bool = Field(default=True, description="a sensor that notices changed documents")
    timeout_minutes: int = Field(default=240, ge=1, description="a run older than this is ended")


class KnowledgeBaseSpec(NamedSpec):
    """One knowledge base. The shortest declaration is a name and a source URL."""

    source: SourceSpec
    tenant: Text = Field(default="default", min_length=1, max_length=64, description="whose chunks")
    parse: ParseSpec = ParseSpec()
    chunk: dict[str, dict[str, Any]] = Field(
        default_factory=dict, description="document type -> chunk policy; `default` for the others"
    )
    embed: EmbedSpec = EmbedSpec()
    index: IndexSpec = IndexSpec()
    answer: AnswerSpec | None = Field(default=None, description="how questions are answered")
    judge: JudgeSpec | None = Field(default=None, description="who judges whole answers")
    evaluation: EvaluationSpec | None = Field(
        default=None, description="when what is live is evaluated again"
    )
    gate: GateSpec = GateSpec()
    release: ReleaseSpec = ReleaseSpec()
    refresh: RefreshSpec = RefreshSpec()

    @model_validator(mode="after")
    def _has_its_judge(self) -> "KnowledgeBaseSpec":
        judged = [m for m in self.gate.floors if m in JUDGED]
        if judged and (self.judge is None or not set(judged) <= set(self.judge.metrics)):
            raise ValueError(f"gate.floors names {', '.join(judged)}: declare a `judge` of them")
        if self.judge is not None and self.gate.golden_set is None:
            raise ValueError("a judge needs questions: declare `gate.golden_set`")
        return self


def parse_declaration(values: Mapping[str, Any], *, where: str) -> KnowledgeBaseSpec:
    """A checked declaration.

    Raises:
        ConfigurationError: lists every wrong field with its value and what is allowed.
    """
    spec = parse_spec(KnowledgeBaseSpec, values, where=where, noun="a knowledge base")
    _check_chunk(spec, where)
    return spec


def _check_chunk(spec: KnowledgeBaseSpec, where: str) -> None:
    try:
        policies_from_mapping(spec.chunk).check_window(spec.embed.window)
    except ConfigurationError as error:
        raise ConfigurationError(
            error.what,
            where=where,
            stored=error.stored,
            expected=error.expected,
            remedy=f"correct `chunk`; sizes are at most {spec.embed.window} tokens, and a declared "
            "`default` stands for every type that is not named",
        ) from error
