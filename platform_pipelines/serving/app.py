"""The ASGI application: routes, errors, readiness, and MCP mounted last."""

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from platform_pipelines.errors import PlatformError
from platform_pipelines.serving import openai
from platform_pipelines.serving.alerts import alerts
from platform_pipelines.serving.here import INSTANCE_HEADER
from platform_pipelines.serving.http import Http, headers_of, message_of, status_of
from platform_pipelines.serving.mcp import build_mcp

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

LOG = logging.getLogger("platform_pipelines.serving")


def build_app(
    http: Http,
    *,
    url: str,
    hosts: list[str],
    instance: str,
    on_ready: Callable[[], None],
    on_end: Callable[[], None],
) -> "Starlette":
    """The application. `hosts` are names that clients may address it by; `on_end` closes.

    `instance` is this server's own name, which `/readyz` tells in a header.
    """
    from mcp.server.transport_security import TransportSecuritySettings
    from starlette.applications import Starlette
    from starlette.routing import Mount, Route

    mcp = build_mcp(http, url)
    security = TransportSecuritySettings(allowed_hosts=hosts)
    inner = mcp.streamable_http_app(
        json_response=True, stateless_http=True, transport_security=security
    )

    @asynccontextmanager
    async def lifespan(_: "Starlette") -> AsyncIterator[None]:
        # The mounted app's own lifespan does not run.
        async with mcp.session_manager.run(), _ready(http, on_ready, on_end):
            yield

    routes = [
        Route("/healthz", _healthz),
        Route("/readyz", partial(_readyz, http, instance)),
        Route("/metrics", partial(_metrics, http)),
        Route("/v1/search", http.search, methods=["POST"]),
        Route("/v1/answer", http.answer, methods=["POST"]),
        Route("/v1/feedback", http.feedback, methods=["POST"]),
        Route("/v1/alerts", partial(alerts, http), methods=["POST"]),
        Route("/v1/models", partial(openai.models, http)),
        Route("/v1/chat/completions", partial(openai.chat, http), methods=["POST"]),
        Mount("/", inner),
    ]
    handlers: dict[Any, Any] = {PlatformError: _refuse}
    app = Starlette(routes=routes, lifespan=lifespan, exception_handlers=handlers)
    app.state.traces = http.service.traces
    return app


@asynccontextmanager
async def _ready(
    http: Http, on_ready: Callable[[], None], on_end: Callable[[], None]
) -> AsyncIterator[None]:
    """Between warm and closed."""
    from anyio.to_thread import run_sync

    await run_sync(http.service.bases.warm)
    http.is_ready = True
    await run_sync(on_ready)
    try:
        yield
    finally:
        http.is_ready = False
        await run_sync(on_end)


async def _healthz(_: "Request") -> "Response":
    return _plain("ok", 200)


async def _readyz(http: Http, instance: str, _: "Request") -> "Response":
    reply = _plain("ready", 200) if http.is_ready else _plain("not ready", 503)
    reply.headers[INSTANCE_HEADER] = instance
    return reply


async def _metrics(http: Http, _: "Request") -> "Response":
    from starlette.responses import Response

    page, kind = http.service.metrics.page()
    return Response(page, media_type=kind)


async def _refuse(_: "Request", error: Exception) -> "Response":
    from starlette.responses import JSONResponse

    assert isinstance(error, PlatformError)
    status = status_of(error)
    if status >= 500:
        LOG.error("%s: %s", type(error).__name__, error)
    body = openai.error_body(message_of(error), status)
    body["error"]["kind"] = type(error).__name__
    return JSONResponse(body, status_code=status, headers=headers_of(error))


def _plain(text: str, status: int) -> "Response":
    from starlette.responses import PlainTextResponse

    return PlainTextResponse(text, status_code=status)
