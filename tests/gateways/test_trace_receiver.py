"""Traces as a real OTLP exporter sends them, and programs that do not start."""

import sys
from pathlib import Path

import pytest

from platform_pipelines.errors import UnavailableError
from platform_pipelines.gateways.local_program import free_port, running
from platform_pipelines.gateways.trace_receiver import TraceReceiver


def test_a_span_of_a_real_exporter_arrives_with_its_attributes() -> None:
    """By protobuf over HTTP, compressed: what LiteLLM and our own server send."""
    from opentelemetry.exporter.otlp.proto.http import Compression
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor

    with TraceReceiver() as receiver:
        exporter = OTLPSpanExporter(f"{receiver.url}/v1/traces", compression=Compression.Gzip)
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(exporter))
        with provider.get_tracer("test").start_as_current_span("ask") as span:
            span.set_attribute("tokens", 7)
            span.set_attribute("cost", 0.5)
            span.set_attribute("model", "small")
        provider.shutdown()
        (seen,) = receiver.wait_for(lambda one: one.name == "ask", seconds=5)
    assert dict(seen.attributes) == {"tokens": 7, "cost": 0.5, "model": "small"}
    assert len(seen.trace_id) == 32


def test_a_trace_that_does_not_come_is_an_error_that_says_what_did() -> None:
    """A page without its trace must not look as if there were none to show."""
    with TraceReceiver() as receiver, pytest.raises(UnavailableError, match="0 spans"):
        receiver.wait_for(lambda _: True, seconds=0.1)


def test_a_program_that_ends_at_once_is_told_with_its_last_words(tmp_path: Path) -> None:
    """Nobody waits two minutes for a program that is gone."""
    url = f"http://127.0.0.1:{free_port()}/"
    command = [sys.executable, "-c", "raise SystemExit('no config')"]
    with (
        pytest.raises(UnavailableError, match="no config"),
        running(command, environment={}, log=tmp_path / "log", ready_url=url, seconds=60),
    ):
        pass
