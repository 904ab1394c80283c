"""A receiver of OTLP traces over HTTP on this machine: what a program under test really sends."""

import gzip
import importlib
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from platform_pipelines.errors import UnavailableError

_POLL_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Span:
    """One received span."""

    trace_id: str
    span_id: str
    name: str
    seconds: float
    attributes: Mapping[str, Any] = field(default_factory=dict[str, Any])


class TraceReceiver:
    """Listens on a free local port inside the `with` block; any path is taken."""

    def __init__(self) -> None:
        self._spans: list[Span] = []
        self._guard = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self._take))
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def url(self) -> str:
        """Where to send traces, without a path."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> "TraceReceiver":
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def spans(self) -> tuple[Span, ...]:
        """What came so far."""
        with self._guard:
            return tuple(self._spans)

    def wait_for(self, wanted: Callable[[Span], bool], *, seconds: float) -> tuple[Span, ...]:
        """The wanted spans, as soon as there is one.

        Raises:
            UnavailableError: none came in time.
        """
        ends = time.monotonic() + seconds
        while True:
            found = tuple(span for span in self.spans() if wanted(span))
            if found:
                return found
            if time.monotonic() > ends:
                raise UnavailableError(
                    f"no such trace came within {seconds:g} s",
                    where=self.url,
                    stored=f"{len(self.spans())} spans",
                    remedy="look at the callbacks of the program that should send it",
                )
            time.sleep(_POLL_SECONDS)

    def _take(self, data: bytes) -> None:
        found = decode_spans(data)
        with self._guard:
            self._spans += found


def decode_spans(data: bytes) -> list[Span]:
    """The spans of an OTLP protobuf request."""
    module: Any = importlib.import_module(
        "opentelemetry.proto.collector.trace.v1.trace_service_pb2"
    )
    request = module.ExportTraceServiceRequest()
    request.ParseFromString(data)
    return [
        Span(
            trace_id=span.trace_id.hex(),
            span_id=span.span_id.hex(),
            name=span.name,
            seconds=(span.end_time_unix_nano - span.start_time_unix_nano) / 1e9,
            attributes={one.key: _value(one.value) for one in span.attributes},
        )
        for resource in request.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    return getattr(value, kind) if kind in _PLAIN else str(value)


_PLAIN = ("string_value", "bool_value", "int_value", "double_value")


def _handler(take: Callable[[bytes], None]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            data = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            if self.headers.get("Content-Encoding") == "gzip":
                data = gzip.decompress(data)
            take(data)
            self.send_response(200)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - of the base class
            del format, args  # nobody reads a server's log of a test

    return Handler
