"""The language model's role: words an answer from given passages. OpenAI-compatible servers.

Replies come in several shapes: content as a text or as parts, reasoning beside it or inside it
(`<think>`), refusals, replies cut off at their length. A server that refuses a parameter by name is
asked without it, once and from then on.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Protocol, cast

from platform_pipelines.errors import (
    ConfigurationError,
    RateLimitedError,
    RequestRefusedError,
    TransientError,
    UnavailableError,
)
from platform_pipelines.gateways.embedding_http import JsonClient
from platform_pipelines.gateways.embedding_http import Reply as HttpReply

MAX_TOKENS = 512
TEMPERATURE = 0.1
_THINKING = re.compile(r"<think(?:ing)?>.*?(?:</think(?:ing)?>|\Z)", re.DOTALL | re.IGNORECASE)
_REFUSING = {HTTPStatus.BAD_REQUEST, HTTPStatus.UNPROCESSABLE_ENTITY}
_OF_ONE_REQUEST = {*_REFUSING, HTTPStatus.REQUEST_ENTITY_TOO_LARGE}


@dataclass(frozen=True, slots=True)
class Message:
    """One turn. `role`: system | user | assistant.

    `asked` is the question itself, where the content holds more than it; `key` is whose it is.
    """

    role: str
    content: str
    asked: str = ""
    key: str = ""


@dataclass(frozen=True, slots=True)
class ModelReply:
    """What a model said, without its reasoning. Tokens are 0 where the server does not count.

    `finished` is False when the reply was cut off at `max_tokens`.
    """

    text: str
    model: str
    input_tokens: int = 0
    output_tokens: int = 0
    finished: bool = True
    refusal: str = ""
    tier: str = ""  # of the question, where models are chosen by tiers; or the arm


class LanguageModel(Protocol):
    """Raises UnavailableError, RateLimitedError, ConfigurationError (key or model refused),
    RequestRefusedError (this request, by 400, 413 or 422)."""

    name: str

    def complete(self, messages: Sequence[Message]) -> ModelReply:
        """The model's reply."""
        ...

    def close(self) -> None:
        """Give back connections; safe to call twice."""
        ...


@dataclass
class HttpLanguageModel:
    """`/v1/chat/completions` of vLLM, LiteLLM, NIM or any compatible server."""

    client: JsonClient
    name: str
    temperature: float = TEMPERATURE
    max_tokens: int = MAX_TOKENS
    _refused: set[str] = field(default_factory=set[str], init=False, repr=False)

    def complete(self, messages: Sequence[Message]) -> ModelReply:
        """The model's reply."""
        reply = self._post(messages)
        while not reply.ok and self._learns_from(reply):
            reply = self._post(messages)
        if not reply.ok:
            kind = RequestRefusedError if reply.status in _OF_ONE_REQUEST else ConfigurationError
            raise kind(
                f"the language model refused the request: {reply.status} {reply.message}",
                where=f"model {self.name}",
                remedy="check the declared `answer`, or PLATFORM_LANGUAGE_MODEL and "
                "PLATFORM_LANGUAGE_MODEL_URL",
            )
        return _model_reply(reply.body, self.name)

    def close(self) -> None:
        """Close the connections."""
        self.client.close()

    def _post(self, messages: Sequence[Message]) -> HttpReply:
        limit = "max_completion_tokens" if "max_tokens" in self._refused else "max_tokens"
        payload: dict[str, Any] = {
            "model": self.name,
            "messages": [{"role": m.role, "content": m.content} for m in messages],
            "temperature": self.temperature,
            limit: self.max_tokens,
        }
        for name in self._refused:
            payload.pop(name, None)
        return self.client.post("/v1/chat/completions", payload)

    def _learns_from(self, reply: HttpReply) -> bool:
        """Whether the server refused a parameter that it can be asked without."""
        if reply.status not in _REFUSING:
            return False
        for name in ("max_tokens", "temperature"):
            if name in reply.message and name not in self._refused:
                self._refused.add(name)
                return True
        return False


class FallbackModels:
    """Several models, asked in order: the next when one does not answer or is at its limit."""

    def __init__(self, models: Sequence[LanguageModel]) -> None:
        if not models:
            raise ConfigurationError("a list of language models is empty")
        self._models = tuple(models)
        self.name = models[0].name

    def complete(self, messages: Sequence[Message]) -> ModelReply:
        """The first reply; the last model's error when none replies."""
        failed: TransientError | None = None
        for model in self._models:
            try:
                return model.complete(messages)
            except (UnavailableError, RateLimitedError) as error:
                failed = error
        assert failed is not None
        raise failed

    def close(self) -> None:
        """Close all of them."""
        for model in self._models:
            model.close()


def _model_reply(body: Any, name: str) -> ModelReply:
    try:
        choice = cast("Mapping[str, Any]", body["choices"][0])
        message = cast("Mapping[str, Any]", choice["message"])
        content = message["content"]
    except (KeyError, IndexError, TypeError) as error:
        raise UnavailableError(
            "the language model's reply has no message",
            where=f"model {name}",
            stored=str(body)[:200],
            remedy="check that the server is OpenAI-compatible",
        ) from error
    usage = _fields(body.get("usage"))
    return ModelReply(
        text=_THINKING.sub("", _text(content)).strip(),
        model=name,
        input_tokens=_count(usage.get("prompt_tokens")),
        output_tokens=_count(usage.get("completion_tokens")),
        finished=choice.get("finish_reason") != "length",
        refusal=str(message.get("refusal") or ""),
    )


def _text(content: object) -> str:
    """A text, or the texts of its parts; parts of other kinds (reasoning, images) are none."""
    if not isinstance(content, list):
        return str(content or "")
    parts = [_fields(part) for part in cast("list[Any]", content)]
    return "".join(str(p.get("text") or "") for p in parts if p.get("type", "text") == "text")


def _fields(value: Any) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _count(value: object) -> int:
    return value if isinstance(value, int) and value >= 0 else 0
