"""The language model of an agent: OpenAI's chat completions with tools, behind the gateway."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from platform_pipelines.core.agent.declaration import AgentModelSpec
from platform_pipelines.errors import RequestRefusedError, UnavailableError

Message = dict[str, Any]
_SECONDS = 300.0
_OK = 200


@dataclass(frozen=True, slots=True)
class WantedCall:
    """A call of a tool that the model asks for."""

    id: str
    tool: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Reply:
    """What the model said, and which tools it asks for."""

    text: str
    calls: tuple[WantedCall, ...]
    message: Message  # as it goes back into the conversation


@dataclass(frozen=True)
class ChatModel:
    """One model of an OpenAI-compatible server."""

    spec: AgentModelSpec
    key: str = field(default="", repr=False)

    async def ask(
        self,
        messages: Sequence[Message],
        *,
        tools: Sequence[Mapping[str, Any]] = (),
        schema: Mapping[str, Any] | None = None,
    ) -> Reply:
        """The next message.

        Raises:
            UnavailableError: the server gives no answer.
            RequestRefusedError: it refuses this request.
        """
        import httpx

        url = f"{self.spec.url.rstrip('/')}/chat/completions"
        headers = {"Authorization": f"Bearer {self.key}"} if self.key else {}
        try:
            async with httpx.AsyncClient(timeout=_SECONDS, trust_env=False) as client:
                answer = await client.post(
                    url, json=self._body(messages, tools, schema), headers=headers
                )
        except httpx.HTTPError as error:
            raise UnavailableError(
                f"the language model gives no answer: {error}", where=url
            ) from error
        if answer.status_code != _OK:
            kind = RequestRefusedError if answer.status_code < 500 else UnavailableError
            raise kind(
                f"the language model answers HTTP {answer.status_code}",
                where=url,
                stored=answer.text[:300],
            )
        return _reply(answer.json())

    def _body(
        self,
        messages: Sequence[Message],
        tools: Sequence[Mapping[str, Any]],
        schema: Mapping[str, Any] | None,
    ) -> dict[str, Any]:
        body: dict[str, Any] = {"model": self.spec.name, "messages": list(messages)}
        if self.spec.temperature is not None:
            body["temperature"] = self.spec.temperature
        if self.spec.maximum_tokens is not None:
            body["max_tokens"] = self.spec.maximum_tokens
        if tools:
            body["tools"] = list(tools)
        if schema is not None:
            body["response_format"] = {
                "type": "json_schema",
                "json_schema": {"name": "reply", "schema": dict(schema), "strict": True},
            }
        return body


def _reply(body: Mapping[str, Any]) -> Reply:
    message: dict[str, Any] = body["choices"][0]["message"]
    text = str(message.get("content") or "")
    wanted = tuple(_wanted(one) for one in message.get("tool_calls") or ())
    kept: Message = {"role": "assistant", "content": text}
    if wanted:
        kept["tool_calls"] = message["tool_calls"]
    return Reply(text, wanted, kept)


def _wanted(call: Mapping[str, Any]) -> WantedCall:
    """A model may write arguments that are no JSON: the tool then says so, and it tries again."""
    function = call["function"]
    try:
        arguments = json.loads(function.get("arguments") or "{}")
    except ValueError:
        arguments = None
    if not isinstance(arguments, dict):
        arguments = {"__unreadable__": str(function.get("arguments"))[:500]}
    return WantedCall(str(call["id"]), str(function["name"]), arguments)
