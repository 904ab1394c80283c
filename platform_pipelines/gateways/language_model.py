"""The language model's role: words an answer from given passages. OpenAI-compatible servers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast

from platform_pipelines.errors import ConfigurationError, UnavailableError
from platform_pipelines.gateways.embedding_http import JsonClient

MAX_TOKENS = 512


@dataclass(frozen=True, slots=True)
class Message:
    """One turn. `role`: system | user | assistant."""

    role: str
    content: str


class LanguageModel(Protocol):
    """Raises UnavailableError, RateLimitedError, ConfigurationError (key or model refused)."""

    name: str

    def complete(self, messages: Sequence[Message]) -> str:
        """The model's reply, at temperature 0."""
        ...

    def close(self) -> None:
        """Give back connections; safe to call twice."""
        ...


class HttpLanguageModel:
    """`/v1/chat/completions` of vLLM, LiteLLM, NIM or any compatible server."""

    def __init__(self, client: JsonClient, *, name: str) -> None:
        self.name = name
        self._client = client

    def complete(self, messages: Sequence[Message]) -> str:
        """The model's reply, at temperature 0."""
        reply = self._client.post(
            "/v1/chat/completions",
            {
                "model": self.name,
                "messages": [{"role": m.role, "content": m.content} for m in messages],
                "temperature": 0,
                "max_tokens": MAX_TOKENS,
            },
        )
        if not reply.ok:
            raise ConfigurationError(
                f"the language model refused the request: {reply.status} {reply.message}",
                where=f"model {self.name}",
                remedy="check PLATFORM_LANGUAGE_MODEL and PLATFORM_LANGUAGE_MODEL_URL",
            )
        return _content(reply.body, self.name)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()


def _content(body: Any, name: str) -> str:
    try:
        content = cast("object", body["choices"][0]["message"]["content"])
    except (KeyError, IndexError, TypeError) as error:
        raise UnavailableError(
            "the language model's reply has no message",
            where=f"model {name}",
            stored=str(body)[:200],
            remedy="check that the server is OpenAI-compatible",
        ) from error
    return str(content or "").strip()
