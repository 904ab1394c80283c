"""A chat with a model server, streamed, and looked into: a refusal may stand inside HTTP 200."""

import http.client
import json
import time
from contextlib import closing
from dataclasses import dataclass
from typing import Any, cast


@dataclass(frozen=True, slots=True)
class ChatReply:
    """One answer. `error` is empty when the stream ended whole; `side` is who answered."""

    text: str
    error: str
    tokens: int
    seconds: float
    first_token_seconds: float | None
    side: str = ""


def chat(
    host: str,
    port: int,
    question: str,
    *,
    model: str,
    max_tokens: int,
    cohort: str | None = None,
    timeout_seconds: float = 120.0,
) -> ChatReply:
    """Ask once, greedily. Never raises for what the server does: it is told in `error`."""
    started = time.monotonic()
    body = {
        "model": model,
        "messages": [{"role": "user", "content": question}],
        "max_tokens": max_tokens,
        "temperature": 0,
        "stream": True,
    }
    headers = {"content-type": "application/json", **({"x-cohort": cohort} if cohort else {})}
    stream = _Stream(started)
    try:
        with closing(http.client.HTTPConnection(host, port, timeout=timeout_seconds)) as connection:
            connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
            answer = connection.getresponse()
            sides = map(answer.getheader, ("x-litellm-model-id", "x-model-cluster"))
            stream.side = next(filter(None, sides), "")
            if answer.status != 200:
                stream.error = (
                    f"HTTP {answer.status}: {answer.read()[:200].decode('utf-8', 'replace')}"
                )
            else:
                for line in answer:
                    stream.read(line)
    except (OSError, http.client.HTTPException) as error:
        stream.error = f"{type(error).__name__}: {error}"
    return stream.reply()


class _Stream:
    """Server-sent events of one answer."""

    def __init__(self, started: float) -> None:
        self._started = started
        self._pieces: list[str] = []
        self._first: float | None = None
        self._is_done = False
        self.error = ""
        self.side = ""

    def read(self, line: bytes) -> None:
        """One line."""
        data = line.strip().removeprefix(b"data: ")
        if not line.startswith(b"data: "):
            return
        if data == b"[DONE]":
            self._is_done = True
            return
        event: Any = json.loads(data)
        if "error" in event:
            self.error = f"refused inside the stream: {str(event['error'])[:200]}"
            return
        for choice in cast("list[dict[str, Any]]", event.get("choices", [])):
            piece = choice.get("delta", {}).get("content")
            if piece:
                self._first = self._first or time.monotonic() - self._started
                self._pieces.append(piece)

    def reply(self) -> ChatReply:
        """What came, in the end."""
        cut = "" if self.error or self._is_done else "the stream was cut"
        return ChatReply(
            text="".join(self._pieces).strip(),
            error=self.error or cut,
            tokens=len(self._pieces),
            seconds=time.monotonic() - self._started,
            first_token_seconds=self._first,
            side=self.side,
        )
