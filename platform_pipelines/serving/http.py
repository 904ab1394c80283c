"""HTTP around the service: reading requests, errors as statuses, answers as JSON or as events."""

import json
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any, TypeVar

from platform_pipelines.core.knowledge_base.feedback import FeedbackSpec
from platform_pipelines.core.road.declarations import parse_spec
from platform_pipelines.errors import (
    ConfigurationError,
    MissingTenantError,
    PlatformError,
    RateLimitedError,
    TransientError,
    UnknownNameError,
)
from platform_pipelines.serving.limits import BODY_BYTES
from platform_pipelines.serving.service import (
    Answered,
    Request,
    RequestError,
    Service,
    answer_record,
)
from platform_pipelines.serving.tenants import NotAllowedError, Tenants

if TYPE_CHECKING:
    from anyio import CapacityLimiter
    from starlette.requests import Request as HttpRequest
    from starlette.responses import Response

Result = TypeVar("Result")
TENANT_HEADER = "x-tenant"
KEY_HEADER = "x-user-id"  # whose question it is: an experiment's arm is chosen by it
KEY_CHARACTERS = 200
WAITING_PER_WORKER = 8  # requests that wait for a thread; more are sent away at once


class TooLateError(TransientError):
    """A request took longer than it may."""


class BusyError(TransientError):
    """More requests wait than will be answered in time."""


class Http:
    """What the routes share: the service, who asks, and the threads that work."""

    def __init__(
        self, service: Service, tenants: Tenants, *, concurrency: int, seconds: float
    ) -> None:
        self.service = service
        self.tenants = tenants
        self.is_ready = False
        self._concurrency = concurrency
        self._seconds = seconds
        self._limiter: CapacityLimiter | None = None

    async def in_thread(self, work: Callable[[], Result]) -> Result:
        """Work in a thread, in time.

        Raises:
            BusyError, TooLateError, and what `work` raises.
        """
        import anyio
        from anyio.to_thread import run_sync

        if self._limiter is None:
            self._limiter = anyio.CapacityLimiter(self._concurrency)
        if self._limiter.statistics().tasks_waiting >= self._concurrency * WAITING_PER_WORKER:
            raise BusyError("too many requests wait", remedy="try again shortly")
        try:
            with anyio.fail_after(self._seconds):
                return await run_sync(work, limiter=self._limiter, abandon_on_cancel=True)
        except TimeoutError as error:
            raise TooLateError(
                f"no answer within {self._seconds:g} s", remedy="ask for less, or try again"
            ) from error

    def tenant(self, request: "HttpRequest", named: str) -> str:
        """Who asks.

        Raises:
            NotAllowedError, MissingTenantError.
        """
        return self.tenants.of_request(request.headers.get("authorization", ""), named)

    async def search(self, request: "HttpRequest") -> "Response":
        """`POST /v1/search`."""
        from starlette.responses import JSONResponse

        body = await read_body(request)
        asked = self._asked(request, body)
        return JSONResponse(await self.in_thread(lambda: self.service.search(asked)))

    async def answer(self, request: "HttpRequest") -> "Response":
        """`POST /v1/answer`; with `"stream": true` as server-sent events."""
        from starlette.responses import JSONResponse, StreamingResponse

        body = await read_body(request)
        asked = self._asked(request, body)
        answered = await self.in_thread(lambda: self.service.answer(asked))
        if body.get("stream") is True:
            events = answer_events(asked.knowledge_base, answered)
            return StreamingResponse(events, media_type="text/event-stream")
        return JSONResponse(answer_record(asked.knowledge_base, answered))

    async def feedback(self, request: "HttpRequest") -> "Response":
        """`POST /v1/feedback`: what a person says of an answer. Said twice it is kept once."""
        from starlette.responses import JSONResponse

        body = await read_body(request)
        named = text_of(body, "tenant", request.headers.get(TENANT_HEADER, ""))
        tenant = self.tenant(request, named)
        name = text_of(body, "knowledge_base")
        said = _said({k: v for k, v in body.items() if k not in ("tenant", "knowledge_base")})
        is_new = await self.in_thread(lambda: self.service.feedback(name, tenant, said))
        return JSONResponse({"kept": True, "new": is_new}, status_code=201 if is_new else 200)

    def _asked(self, request: "HttpRequest", body: dict[str, Any]) -> Request:
        unknown = sorted(set(body) - {"knowledge_base", "tenant", "query", "k", "stream"})
        if unknown:
            raise RequestError(
                f"no such field: {', '.join(unknown)}",
                expected="knowledge_base, tenant, query, k, stream",
            )
        named = text_of(body, "tenant", request.headers.get(TENANT_HEADER, ""))
        tenant = self.tenant(request, named)
        k = body.get("k", 0)
        if not isinstance(k, int) or isinstance(k, bool) or ("k" in body and k < 1):
            raise RequestError("`k` is no whole number over 0", stored=k)
        name, query = text_of(body, "knowledge_base"), text_of(body, "query")
        return Request(name, tenant, query, k, request.headers.get(KEY_HEADER, "")[:KEY_CHARACTERS])


def _said(fields: dict[str, Any]) -> FeedbackSpec:
    try:
        return parse_spec(FeedbackSpec, fields, where="/v1/feedback", noun="feedback")
    except ConfigurationError as error:
        raise RequestError(error.what) from error


async def read_body(request: "HttpRequest") -> dict[str, Any]:
    """A JSON object of bounded size.

    Raises:
        RequestError: it is none, or too large.
    """
    data = bytearray()
    async for part in request.stream():
        data += part
        if len(data) > BODY_BYTES:
            raise RequestError("the request is too large", expected=f"<= {BODY_BYTES} bytes")
    try:
        body = json.loads(data)
    except ValueError as error:
        raise RequestError("the request is not JSON", stored=str(error)[:100]) from error
    if not isinstance(body, dict):
        raise RequestError("the request is no JSON object", stored=type(body).__name__)
    return body


def text_of(body: dict[str, Any], field: str, default: str | None = None) -> str:
    """A text field. Raises RequestError."""
    value = body.get(field, default)
    if not isinstance(value, str) or (default is None and not value.strip()):
        raise RequestError(f"`{field}` is missing or no text", stored=type(value).__name__)
    return value


async def answer_events(name: str, answered: Answered) -> AsyncIterator[str]:
    """The text statement by statement, then the whole record.

    A statement is sent when it was checked: nothing has to be taken back.
    """
    for piece in pieces(answered.text):
        yield event("delta", {"text": piece})
    yield event("answer", answer_record(name, answered))


def pieces(text: str) -> list[str]:
    """Lines of an answer with their ends; joined they are the text."""
    return text.splitlines(keepends=True)


def event(kind: str, record: dict[str, Any]) -> str:
    """One server-sent event."""
    return f"event: {kind}\ndata: {json.dumps(record, ensure_ascii=False)}\n\n"


def status_of(error: PlatformError) -> int:
    """The HTTP status of an error."""
    if isinstance(error, NotAllowedError):
        return error.status
    for kind, status in _STATUSES:
        if isinstance(error, kind):
            return status
    return 500


_STATUSES: tuple[tuple[type[PlatformError], int], ...] = (
    (RequestError, 400),
    (MissingTenantError, 400),
    (UnknownNameError, 404),
    (RateLimitedError, 429),
    (TooLateError, 504),
    (TransientError, 503),
)


def headers_of(error: PlatformError) -> dict[str, str]:
    """What a client should know beside the status."""
    if isinstance(error, NotAllowedError) and error.status == 401:
        return {"WWW-Authenticate": "Bearer"}
    if isinstance(error, RateLimitedError):
        return {"Retry-After": str(max(1, round(error.retry_after_seconds or 1)))}
    return {"Retry-After": "1"} if isinstance(error, TransientError) else {}


def message_of(error: PlatformError) -> str:
    """What a stranger may read: of a fault of ours, nothing but that it happened."""
    if status_of(error) == 500:
        return "the server cannot answer; its log says why"
    known = f"; known: {error.stored}" if isinstance(error, UnknownNameError) else ""
    remedy = f"; {error.remedy}" if error.remedy else ""
    return f"{error.what}{known}{remedy}"
