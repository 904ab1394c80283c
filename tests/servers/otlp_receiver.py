"""An OTLP receiver over HTTP on 127.0.0.1: it decodes what is sent, as a collector does."""

import gzip
from http.server import BaseHTTPRequestHandler
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from tests.servers.serving import Served

Attributes = dict[str, Any]


class OtlpReceiver(Served):
    """Started by `with`. `spans` are (trace id, name, attributes), as they were sent."""

    root = ""  # the path of the endpoint

    def __init__(self) -> None:
        self.spans: list[tuple[str, str, Attributes]] = []
        self.headers: list[dict[str, str]] = []
        super().__init__(_handler(self))

    @property
    def url(self) -> str:
        """Its root."""
        return f"{self.address}{self.root}"

    def traces(self) -> dict[str, list[tuple[str, Attributes]]]:
        """Spans by trace."""
        found: dict[str, list[tuple[str, Attributes]]] = {}
        for trace, name, attributes in self.spans:
            found.setdefault(trace, []).append((name, attributes))
        return found

    def take(self, path: str, headers: dict[str, str], body: bytes) -> None:
        """One export."""
        assert path == f"{self.root}/v1/traces"
        self.headers.append(headers)
        data = gzip.decompress(body) if headers.get("Content-Encoding") == "gzip" else body
        for resource in ExportTraceServiceRequest.FromString(data).resource_spans:
            for scope in resource.scope_spans:
                self.spans += [
                    (s.trace_id.hex(), s.name, {a.key: _value(a.value) for a in s.attributes})
                    for s in scope.spans
                ]

    def give(self, path: str, headers: dict[str, str]) -> tuple[int, bytes]:
        """What is read back: of a plain receiver, nothing."""
        del path, headers
        return 404, b"{}"


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(v) for v in value.array_value.values]
    return getattr(value, kind)


def _handler(owner: OtlpReceiver) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            owner.take(self.path, dict(self.headers.items()), body)
            content = ExportTraceServiceResponse().SerializeToString()
            self._reply(200, "application/x-protobuf", content)

        def do_GET(self) -> None:
            status, content = owner.give(self.path, dict(self.headers.items()))
            self._reply(status, "application/json", content)

        def _reply(self, status: int, kind: str, content: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Quiet: spans are recorded instead."""

    return Handler
