"""`platform-pipelines serve`: the application under uvicorn, drained when it is told to end."""

import ipaddress
from collections.abc import Callable
from typing import TYPE_CHECKING
from uuid import uuid4

from platform_pipelines.core.road.records import VERSION
from platform_pipelines.errors import ConfigurationError
from platform_pipelines.gateways.clock import SystemClock
from platform_pipelines.gateways.traces import NoTraces, OtlpTraces, Traces, parse_headers
from platform_pipelines.serving.app import build_app
from platform_pipelines.serving.bases import Bases
from platform_pipelines.serving.here import announce, withdraw
from platform_pipelines.serving.http import Http
from platform_pipelines.serving.ledger import Ledger
from platform_pipelines.serving.limits import Limits
from platform_pipelines.serving.metrics import Metrics
from platform_pipelines.serving.service import Service
from platform_pipelines.serving.tenants import load_tenants
from platform_pipelines.settings import ServingSettings, Settings
from platform_pipelines.stages.road.connect import open_platform_store

if TYPE_CHECKING:
    from starlette.applications import Starlette

DRAIN_SECONDS = 30


def serve(settings: Settings, *, host: str, port: int, progress: Callable[[str], None]) -> None:
    """Answer until SIGTERM or Ctrl-C; requests in work are finished first.

    Raises:
        ConfigurationError: the address is open to others and no tokens are declared.
    """
    import uvicorn

    app = make_app(settings, host=host, port=port, progress=progress)
    configuration = uvicorn.Config(
        app,
        host=host,
        port=port,
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=DRAIN_SECONDS,
        server_header=False,
    )
    progress(f"answers at http://{host}:{port} (Ctrl-C ends it)")
    uvicorn.Server(configuration).run()


def make_app(
    settings: Settings, *, host: str, port: int, progress: Callable[[str], None]
) -> "Starlette":
    """The application with all that it works on.

    Raises:
        ConfigurationError: as `serve`.
    """
    serving = settings.serving
    tenants = load_tenants(serving.tokens_file)
    if not tenants.declared and not _is_local(host):
        raise ConfigurationError(
            "without tokens anybody who reaches the server reads every tenant's documents",
            where=f"--host {host}",
            expected="127.0.0.1, or declared tokens",
            remedy="name a file of tokens in PLATFORM_SERVE_TOKENS_FILE",
        )
    clock = SystemClock()
    bases = Bases(settings, progress, clock)
    traces = open_traces(serving)
    limits = Limits(
        requests=serving.requests_per_minute, tokens=serving.tokens_per_minute, clock=clock
    )
    instance = uuid4().hex[:12]
    ledger = Ledger(lambda: open_platform_store(settings), clock, instance)
    service = Service(bases, traces, limits, Metrics(), clock, ledger)
    http = Http(service, tenants, concurrency=serving.concurrency, seconds=serving.seconds)

    url = f"http://{host}:{port}"

    def end() -> None:
        withdraw(settings, instance)
        ledger.close()
        bases.close()
        traces.close()

    return build_app(
        http,
        url=url,
        hosts=_hosts(host, port, serving),
        instance=instance,
        on_ready=lambda: announce(settings, f"http://{_reached(host)}:{port}", instance),
        on_end=end,
    )


def open_traces(serving: ServingSettings) -> Traces:
    """Where traces go."""
    if serving.otlp_endpoint is None:
        return NoTraces()
    headers = parse_headers(serving.otlp_headers.value) if serving.otlp_headers else {}
    return OtlpTraces(
        serving.otlp_endpoint, headers=headers, content=serving.trace_content, version=VERSION
    )


def _reached(host: str) -> str:
    """By which name this machine reaches it: one that listens everywhere is also here."""
    try:
        everywhere = ipaddress.ip_address(host).is_unspecified
    except ValueError:
        everywhere = host == "localhost"
    return "127.0.0.1" if everywhere else host


def _is_local(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _hosts(host: str, port: int, serving: ServingSettings) -> list[str]:
    """Host headers that MCP clients may send: DNS rebinding needs another one."""
    names = {host, "127.0.0.1", "localhost", *serving.hosts}
    return sorted({f"{name}:{port}" for name in names} | {*serving.hosts})
