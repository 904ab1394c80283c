"""OpenAI's chat completions over the released chain: `model` is a knowledge base.

Clients keep only the fields that they know, so citations stand in the text too. The last message
of the user is the question; earlier turns are not read.
"""

import json
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from platform_pipelines.core.knowledge_base.disagreement import told
from platform_pipelines.serving.http import (
    KEY_CHARACTERS,
    KEY_HEADER,
    Http,
    pieces,
    read_body,
    text_of,
)
from platform_pipelines.serving.service import Answered, Request, RequestError, answer_record

if TYPE_CHECKING:
    from starlette.requests import Request as HttpRequest
    from starlette.responses import Response

TENANT_HEADER = "x-tenant"


async def models(http: Http, request: "HttpRequest") -> "Response":
    """`GET /v1/models`: what is released."""
    from starlette.responses import JSONResponse

    if http.tenants.declared:
        http.tenant(request, "")
    names = await http.in_thread(http.service.bases.names)
    listed = [
        {"id": n, "object": "model", "created": 0, "owned_by": "platform-pipelines"} for n in names
    ]
    return JSONResponse({"object": "list", "data": listed})


async def chat(http: Http, request: "HttpRequest") -> "Response":
    """`POST /v1/chat/completions`, streamed where it is asked for."""
    from starlette.responses import JSONResponse, StreamingResponse

    body = await read_body(request)
    name = text_of(body, "model")
    named = request.headers.get(TENANT_HEADER) or str(body.get("user") or "")
    declared = http.tenants.declared
    tenant = http.tenant(request, request.headers.get(TENANT_HEADER, "") if declared else named)
    key = request.headers.get(KEY_HEADER, "") or str(body.get("user") or "")
    asked = Request(name, tenant, question_of(body), key=key[:KEY_CHARACTERS])
    answered = await http.in_thread(lambda: http.service.answer(asked))
    created = int(time.time())
    if body.get("stream") is True:
        options = body.get("stream_options")
        usage = isinstance(options, dict) and options.get("include_usage") is True
        return StreamingResponse(
            chunks(name, answered, created, usage=usage), media_type="text/event-stream"
        )
    return JSONResponse(completion(name, answered, created))


def question_of(body: Mapping[str, Any]) -> str:
    """The user's last message, whose content is a text or parts.

    Raises:
        RequestError: there is none.
    """
    turns = body.get("messages")
    for turn in reversed(turns if isinstance(turns, list) else []):
        if isinstance(turn, dict) and turn.get("role") == "user":
            content = turn.get("content")
            parts: Sequence[Any] = content if isinstance(content, list) else [content]
            texts = [p.get("text") if isinstance(p, dict) else p for p in parts]
            return "\n".join(t for t in texts if isinstance(t, str))
    raise RequestError("`messages` holds no message of a user")


def completion(name: str, answered: Answered, created: int) -> dict[str, Any]:
    """The whole answer."""
    message = {"role": "assistant", "content": content_of(answered), "refusal": None}
    choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}
    return {
        **_head(name, answered, created, "chat.completion"),
        "choices": [choice],
        "usage": _usage(answered),
        "platform": answer_record(name, answered),
    }


async def chunks(name: str, answered: Answered, created: int, *, usage: bool) -> AsyncIterator[str]:
    """The answer as a stream: role, statements, the end, tokens when asked for, `[DONE]`."""
    head = _head(name, answered, created, "chat.completion.chunk")

    def chunk(delta: dict[str, Any], finish: str | None = None) -> str:
        choice = {"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}
        return _data({**head, "choices": [choice]})

    yield chunk({"role": "assistant", "content": ""})
    for piece in pieces(content_of(answered)):
        yield chunk({"content": piece})
    yield chunk({}, "stop")
    if usage:
        yield _data({**head, "choices": [], "usage": _usage(answered)})
    yield "data: [DONE]\n\n"


def content_of(answered: Answered) -> str:
    """The text with what it cites below it, and where documents disagree about it."""
    answer = answered.answer
    sources = [
        f"[{c.number}] {c.citation}" + (f" (also in {', '.join(c.also)})" if c.also else "")
        for c in answer.citations
    ]
    differing = told(answer.question, answer.disagreements)
    below = [*([differing, ""] if differing else []), *sources]
    return "\n".join([answered.text, *(["", *below] if below else [])])


def error_body(message: str, status: int) -> dict[str, Any]:
    """An error as OpenAI's clients read it."""
    kind = "invalid_request_error" if status < 500 else "server_error"
    code = {401: "invalid_api_key", 404: "model_not_found", 429: "rate_limit_exceeded"}.get(status)
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def _head(name: str, answered: Answered, created: int, kind: str) -> dict[str, Any]:
    identity = answered.trace_id or f"{abs(hash((name, answered.text, created))):032x}"
    return {
        "id": f"chatcmpl-{identity}",
        "object": kind,
        "created": created,
        "model": name,
        "system_fingerprint": answered.answer.revision[:16],
    }


def _usage(answered: Answered) -> dict[str, int]:
    usage = answered.answer.usage
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
    }


def _data(record: dict[str, Any]) -> str:
    return f"data: {json.dumps(record, ensure_ascii=False)}\n\n"
