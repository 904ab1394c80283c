"""An OpenAI-compatible chat server on 127.0.0.1 whose replies a test scripts."""

import json
import sys
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.servers.serving import Served

Json = dict[str, Any]
Script = Callable[[Json], "str | tuple[int, Json]"]  # the text of a reply, or a status and a body


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128  # bursts of a judge's calls; a dropped one comes again after a second

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Quiet about clients that are killed; all else is told."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class ChatServer(Served):
    """Started by `with`; `url` is then valid. `requests` has the bodies as they came."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.requests: list[Json] = []
        self.most_at_once = 0
        self.retry_after = ""  # sent with every refusal
        self._now = 0
        self._lock = threading.Lock()
        super().__init__(_handler(self), _Server)

    @property
    def url(self) -> str:
        """`http://127.0.0.1:PORT/v1`."""
        return f"{self.address}/v1"

    def answer(self, body: Json) -> tuple[int, Json]:
        """What a request gets."""
        with self._lock:
            self.requests.append(body)
            self._now += 1
            self.most_at_once = max(self.most_at_once, self._now)
        try:
            said = self.script(body)
        finally:
            with self._lock:
                self._now -= 1
        return said if isinstance(said, tuple) else (200, reply(said, model=body["model"]))


def reply(text: str, *, model: str = "scripted", finish: str = "stop") -> Json:
    """A chat completion; a token is a word."""
    message = {"role": "assistant", "content": text}
    words = len(text.split())
    return {
        "id": "1", "object": "chat.completion", "created": 0, "model": model,
        "choices": [{"index": 0, "message": message, "finish_reason": finish}],
        "usage": {"prompt_tokens": 100, "completion_tokens": words, "total_tokens": 100 + words},
    }  # fmt: skip


def _handler(owner: ChatServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # one write a reply, else the client's late acknowledgement costs 40 ms

        def do_POST(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            status, body = owner.answer(json.loads(self.rfile.read(length)))
            content = json.dumps(body, ensure_ascii=False).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            if status != 200 and owner.retry_after:
                self.send_header("Retry-After", owner.retry_after)
            self.end_headers()
            self.wfile.write(content)
            self.wfile.flush()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Quiet: requests are recorded instead."""

    return Handler
