"""Langfuse's role beyond OTLP: what people said of traces, read back by its public API.

Scores by `GET /api/public/v3/scores` (Langfuse 3.179 or later), the questions they are about by
`GET /api/public/v2/observations`. The key is the one of the OTLP endpoint: Basic, public:secret.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.alias_generators import to_camel

from platform_pipelines.errors import (
    ConfigurationError,
    CredentialsError,
    PlatformError,
    RateLimitedError,
    UnavailableError,
)
from platform_pipelines.gateways.network import proxy_for, trusted

OTLP_PATH = "/api/public/otel"
INGESTION = {"x-langfuse-ingestion-version": "4"}  # spans are shown at once, not minutes later
SECONDS = 20.0
PAGE = 100  # the most that it gives
_SAID_BY = "API,ANNOTATION"  # not EVAL: a model's score is no person's word
_ROOT_METADATA = ("knowledge_base", "tenant", "revision")

_Read = TypeVar("_Read", bound=BaseModel)


class _Record(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, extra="ignore", frozen=True)


class _Subject(_Record):
    kind: str
    id: str
    trace_id: str | None = None


class _Score(_Record):
    id: str
    name: str
    data_type: str
    value: bool | float | str
    timestamp: str
    comment: str | None = None
    metadata: Mapping[str, Any] | None = None
    subject: _Subject | None = None


class _Meta(_Record):
    cursor: str | None = None


class _Scores(_Record):
    data: tuple[_Score, ...]
    meta: _Meta


class _Observation(_Record):
    input: Any = None
    metadata: Mapping[str, Any] | None = None


class _Observations(_Record):
    data: tuple[_Observation, ...]


@dataclass(frozen=True, slots=True)
class Scored:
    """One score of a trace. `value` is as its `kind` (NUMERIC, BOOLEAN, CORRECTION, …) has it."""

    trace_id: str
    name: str
    kind: str
    value: bool | float | str
    day: str  # ISO
    comment: str
    metadata: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Asked:
    """The root of a trace; `question` is empty where content is not captured."""

    question: str
    knowledge_base: str
    tenant: str
    revision: str


def is_langfuse(otlp_endpoint: str) -> bool:
    """Whether an OTLP endpoint is Langfuse's."""
    return otlp_endpoint.rstrip("/").removesuffix("/v1/traces").endswith(OTLP_PATH)


class Langfuse:
    """Use as a context manager."""

    def __init__(self, otlp_endpoint: str, headers: Mapping[str, str]) -> None:
        import httpx

        root = otlp_endpoint.rstrip("/").removesuffix("/v1/traces").removesuffix(OTLP_PATH)
        self._root = root
        self._client = httpx.Client(
            base_url=root,
            headers=dict(headers),
            timeout=SECONDS,
            verify=trusted(),
            proxy=proxy_for(root),
            trust_env=False,
        )

    def __enter__(self) -> "Langfuse":
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def scores(self, since: str) -> Iterator[Scored]:
        """What people said of traces since a time (ISO), page by page.

        Raises:
            CredentialsError, ConfigurationError, RateLimitedError, UnavailableError.
        """
        cursor: str | None = None
        while True:
            asked = {
                "limit": PAGE, "fields": "details,subject", "source": _SAID_BY,
                "fromTimestamp": since, **({"cursor": cursor} if cursor else {}),
            }  # fmt: skip
            page = self._read("/api/public/v3/scores", asked, _Scores)
            for score in page.data:
                if (trace := _trace_of(score.subject)) is not None:
                    yield Scored(
                        trace, score.name, score.data_type, score.value, score.timestamp[:10],
                        score.comment or "", score.metadata or {},
                    )  # fmt: skip
            cursor = page.meta.cursor
            if not cursor:
                return

    def asked(self, trace_id: str) -> Asked | None:
        """What a trace was about; None where it is not there, or not ours.

        Raises:
            As `scores`.
        """
        query = {
            "traceId": trace_id, "isRootObservation": "true", "fields": "core,basic,io,metadata",
            "expandMetadata": ",".join(_ROOT_METADATA), "limit": 1,
        }  # fmt: skip
        found = self._read("/api/public/v2/observations", query, _Observations).data
        known = found[0].metadata or {} if found else {}
        if not known.get("knowledge_base"):
            return None
        question = found[0].input
        return Asked(
            question if isinstance(question, str) else "",
            *(str(known.get(name) or "") for name in _ROOT_METADATA),
        )

    def _read(self, path: str, query: Mapping[str, Any], kind: type[_Read]) -> _Read:
        import httpx

        where = f"{self._root}{path}"
        try:
            reply = self._client.get(path, params=dict(query))
        except httpx.HTTPError as error:
            raise UnavailableError(
                f"Langfuse does not answer ({type(error).__name__})", where=where
            ) from error
        if not reply.is_success:
            raise _refusal(reply.status_code, reply.headers.get("retry-after", ""), where)
        try:
            return kind.model_validate_json(reply.content)
        except ValidationError as error:
            raise ConfigurationError(
                "Langfuse answers in another shape", where=where,
                stored=str(error.errors(include_input=False)[0]["loc"]),
                expected="its API of version 3.179 or later",
                remedy="check PLATFORM_OTLP_ENDPOINT, and the server's version",
            ) from error  # fmt: skip


def _trace_of(subject: _Subject | None) -> str | None:
    if subject is None or subject.kind not in ("trace", "observation"):
        return None
    return subject.id if subject.kind == "trace" else subject.trace_id


def _refusal(status: int, retry_after: str, where: str) -> PlatformError:
    if status in (401, 403):
        return CredentialsError(
            "Langfuse refuses the key", where=where, stored=str(status),
            remedy="set PLATFORM_OTLP_HEADERS to Authorization=Basic base64(public:secret)",
        )  # fmt: skip
    if status == 429:
        wish = float(retry_after) if retry_after.isdigit() else None
        return RateLimitedError("Langfuse is at its limit", retry_after_seconds=wish, where=where)
    if status >= 500:
        return UnavailableError(f"Langfuse answers {status}", where=where)
    return ConfigurationError(
        "Langfuse does not know what is asked", where=where, stored=str(status),
        expected="Langfuse 3.179 or later, with its scores API of version 3",
        remedy="update the server, or send feedback to POST /v1/feedback",
    )  # fmt: skip
