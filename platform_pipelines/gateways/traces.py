"""The traces' role: one trace an answer, sent by OTLP over HTTP.

Attribute names are those of OpenTelemetry's GenAI conventions, as texts: the library has them under
a private path. Questions, passages and answers are sent only where content is captured. Any OTLP
receiver takes them: a collector, Langfuse (`/api/public/otel`), LangSmith (`/otel`).
"""

import json
import re
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol, cast

from platform_pipelines.gateways.langfuse import INGESTION, is_langfuse
from platform_pipelines.gateways.network import authorities, requests_session

SERVICE = "platform-pipelines"
EXPORT_SECONDS = 3  # a dead receiver must not hold up the end of the process
_NAMES = {
    "operation": "gen_ai.operation.name",
    "knowledge_base": "gen_ai.data_source.id",
    "model": "gen_ai.response.model",
    "provider": "gen_ai.provider.name",
    "input_tokens": "gen_ai.usage.input_tokens",
    "output_tokens": "gen_ai.usage.output_tokens",
    "question": "gen_ai.retrieval.query.text",
    "messages": "gen_ai.input.messages",
    "reply": "gen_ai.output.messages",
}
_CONTENT = frozenset(("question", "messages", "reply", "answer", "documents"))
# What Langfuse shows and gives back under names of its own.
_LANGFUSE = {
    "question": "langfuse.observation.input",
    "answer": "langfuse.observation.output",
    "knowledge_base": "langfuse.observation.metadata.knowledge_base",
    "tenant": "langfuse.observation.metadata.tenant",
    "revision": "langfuse.observation.metadata.revision",
}
_PROMPT = re.compile(r"(?P<name>.+)_(?P<version>\d{1,6})")


class Span(Protocol):
    """A part of a trace."""

    trace_id: str

    def set(self, **attributes: Any) -> None:
        """Say more of it."""
        ...


class Traces(Protocol):
    """Spans nest where they are opened: the first one of a thread's context is the trace."""

    def span(self, name: str, **attributes: Any) -> Any:
        """A context manager of a `Span`; an error inside is recorded on it."""
        ...

    def close(self) -> None:
        """Send what waits; at most a few seconds."""
        ...


@dataclass
class _NoSpan:
    trace_id: str = ""

    def set(self, **attributes: Any) -> None:
        del attributes


class NoTraces:
    """Nowhere to send them."""

    @contextmanager
    def span(self, name: str, **attributes: Any) -> Generator[Span]:
        """Nothing."""
        del name, attributes
        yield _NoSpan()

    def close(self) -> None:
        """Nothing."""


@dataclass
class _OtlpSpan:
    span: Any
    named: Callable[[Mapping[str, Any]], dict[str, Any]]
    trace_id: str = field(init=False)

    def __post_init__(self) -> None:
        self.trace_id = f"{self.span.get_span_context().trace_id:032x}"

    def set(self, **attributes: Any) -> None:
        self.span.set_attributes(self.named(attributes))


class OtlpTraces:
    """An OTLP receiver. `endpoint` is its root: spans go to `/v1/traces` below it."""

    def __init__(
        self, endpoint: str, *, headers: Mapping[str, str], content: bool, version: str
    ) -> None:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        url = endpoint.rstrip("/").removesuffix("/v1/traces") + "/v1/traces"
        self._langfuse = is_langfuse(endpoint)
        self._session = requests_session(url)
        exporter = OTLPSpanExporter(
            url,
            certificate_file=authorities(),
            headers={**headers, **(INGESTION if self._langfuse else {})},
            timeout=EXPORT_SECONDS,
            session=self._session,
        )
        resource = Resource.create({"service.name": SERVICE, "service.version": version})
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer(SERVICE, version)
        self._content = content

    @contextmanager
    def span(self, name: str, **attributes: Any) -> Generator[Span]:
        """A span below the current one."""
        given = {"operation": name, **attributes}
        shown = f"{name} {attributes.get('model') or attributes.get('knowledge_base') or ''}"
        with self._tracer.start_as_current_span(
            shown.strip(), attributes=self._named(given)
        ) as span:
            yield _OtlpSpan(span, self._named)

    def _named(self, given: Mapping[str, Any]) -> dict[str, Any]:
        return otlp_attributes(given, content=self._content, langfuse=self._langfuse)

    def flush(self) -> None:
        """Send what waits now."""
        self._provider.force_flush(EXPORT_SECONDS * 1000)

    def close(self) -> None:
        """Send what waits, and end."""
        self.flush()
        self._provider.shutdown()
        self._session.close()


def otlp_attributes(
    given: Mapping[str, Any], *, content: bool, langfuse: bool = False
) -> dict[str, Any]:
    """By their conventional names; what is ours stands under `platform.`."""
    kept = {n: v for n, v in given.items() if v is not None and (content or n not in _CONTENT)}
    named = {_NAMES.get(n, f"platform.{n}"): _plain(n, v) for n, v in kept.items()}
    if langfuse:
        named |= {_LANGFUSE[n]: _plain(n, v) for n, v in kept.items() if n in _LANGFUSE}
        named |= _langfuse_prompt(str(kept.get("prompt", "")))
    return named


def _langfuse_prompt(name: str) -> dict[str, Any]:
    """A versioned file's name (`answer_1`) as Langfuse tells a prompt and its version."""
    found = _PROMPT.fullmatch(name)
    if found is None:
        return {}
    prompt = "langfuse.observation.prompt"
    return {f"{prompt}.name": found["name"], f"{prompt}.version": int(found["version"])}


def parse_headers(text: str) -> dict[str, str]:
    """`NAME=VALUE`, comma-separated, as OTEL_EXPORTER_OTLP_HEADERS has them."""
    pairs = (part.partition("=") for part in text.split(",") if part.strip())
    return {name.strip().lower(): value.strip() for name, _, value in pairs}


def _plain(name: str, value: Any) -> Any:
    if name == "messages":
        turns = [{"role": m.role, "parts": [{"type": "text", "content": m.content}]} for m in value]
        return json.dumps(turns, ensure_ascii=False)
    if name == "reply":
        parts = [{"type": "text", "content": value}]
        return json.dumps([{"role": "assistant", "parts": parts}], ensure_ascii=False)
    if isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, list | tuple):
        return [str(item) for item in cast("Sequence[Any]", value)]
    return str(value)
