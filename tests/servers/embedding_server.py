"""An OpenAI-compatible embedding server on 127.0.0.1 that misbehaves when told to.

It serves the hash embedder's vectors, records every request, and speaks as vLLM, TEI or NIM do
where they differ: token counting, and refusing what is too long.
"""

import json
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal, Self

from platform_pipelines.gateways.hash_embedder import HashEmbedder

Json = dict[str, Any]


@dataclass(frozen=True)
class Fault:
    """What a request for embeddings gets: another answer, none (`drop`), or a changed one."""

    status: int = 200
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    drop: bool = False
    change: Callable[[Json], Json] | None = None


@dataclass(frozen=True)
class Recorded:
    """One request as it came."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: Json


Answer = tuple[int, Json | list[Any]]


class EmbeddingServer:
    """Started by `with`; `url` is then valid. Requests for embeddings use up `faults`.

    Vectors come in reverse order with right `index` fields, as the protocol allows.
    """

    def __init__(
        self,
        *,
        speaks: Literal["vllm", "tei", "nim"] = "vllm",
        model: str = "hash-384",
        embedder: HashEmbedder | None = None,
        api_key: str | None = None,
        max_batch: int = 1_000,
        faults: Iterable[Fault] = (),
    ) -> None:
        self.speaks = speaks
        self.model = model
        self.embedder = embedder or HashEmbedder()
        self.api_key = api_key
        self.max_batch = max_batch
        self.faults = deque(faults)
        self.requests: list[Recorded] = []
        self.most_at_once = 0
        self._now = 0
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    @property
    def url(self) -> str:
        """`http://127.0.0.1:PORT/v1`."""
        return f"http://127.0.0.1:{self._server.server_port}/v1"

    def inputs(self) -> list[list[str]]:
        """The texts of each request for embeddings, in the order in which they came."""
        return [one.body["input"] for one in self.requests if one.path == "/v1/embeddings"]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def answer(self, request: Recorded) -> Answer | Fault:
        """What a request gets."""
        with self._lock:
            self.requests.append(request)
            self._now += 1
            self.most_at_once = max(self.most_at_once, self._now)
        try:
            return self._route(request)
        finally:
            with self._lock:
                self._now -= 1

    def _route(self, request: Recorded) -> Answer | Fault:
        if self.api_key and request.headers.get("Authorization") != f"Bearer {self.api_key}":
            sent = request.headers.get("Authorization", "")
            return 401, {"error": {"message": f"Incorrect API key provided: {sent}", "code": 401}}
        if request.path == "/v1/models":
            return 200, {"object": "list", "data": [{"id": self.model, "object": "model"}]}
        if request.path == "/v1/embeddings":
            return self._embeddings(request.body)
        if request.path == "/tokenize" and self.speaks != "nim":
            return self._tokenize(request.body)
        return 404, {"detail": "Not Found"}

    def _embeddings(self, body: Json) -> Answer | Fault:
        with self._lock:
            fault = self.faults.popleft() if self.faults else None
        if fault is not None and fault.change is None:
            return fault
        texts: list[str] = body["input"]
        refusal = self._refusal(body, texts)
        if refusal is not None:
            return refusal
        vectors = self.embedder.embed_queries(texts).tolist()
        data = [
            {"object": "embedding", "index": index, "embedding": vector}
            for index, vector in reversed(list(enumerate(vectors)))
        ]
        reply: Json = {"object": "list", "model": body["model"], "data": data}
        return 200, fault.change(reply) if fault and fault.change else reply

    def _refusal(self, body: Json, texts: Sequence[str]) -> Answer | None:
        if self.speaks != "tei" and body["model"] != self.model:
            message = f"The model `{body['model']}` does not exist."
            return 404, {"error": {"message": message, "type": "NotFoundError", "code": 404}}
        if len(texts) > self.max_batch:
            message = f"batch size {len(texts)} > maximum allowed batch size {self.max_batch}"
            return 413, {"message": message, "type": "Validation"}
        window = self.embedder.window_tokens
        longest = max(self._count(text) for text in texts)
        if longest <= window:
            return None
        if self.speaks == "tei":
            message = f"`inputs` must have less than {window} tokens. Given: {longest}"
            return 413, {"message": f"Input validation error: {message}", "type": "Validation"}
        message = f"This model's maximum context length is {window} tokens; requested {longest}."
        return 400, {"error": {"message": message, "type": "BadRequestError", "code": 400}}

    def _tokenize(self, body: Json) -> Answer:
        if self.speaks == "tei":
            if "inputs" not in body:
                return 422, {"message": "missing field `inputs`", "type": "Validation"}
            return 200, [[{"id": 1}] * self._count(text) for text in body["inputs"]]
        if "prompt" not in body:
            return 400, {"error": {"message": "prompt or messages is needed", "code": 400}}
        count = self._count(body["prompt"])
        window = self.embedder.window_tokens
        return 200, {"count": count, "max_model_len": window, "tokens": [1] * count}

    def _count(self, text: str) -> int:
        return self.embedder.token_counter().count([text])[0]


def _handler(owner: EmbeddingServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._serve({})

        def do_POST(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            self._serve(json.loads(self.rfile.read(length)))

        def _serve(self, body: Json) -> None:
            headers = dict(self.headers.items())
            answer = owner.answer(Recorded(self.command, self.path, headers, body))
            if not isinstance(answer, Fault):
                status, content = answer
                answer = Fault(status=status, body=json.dumps(content).encode())
            if answer.drop:
                self.close_connection = True
                return
            content = answer.body or b""
            # without the real Date: a fault's own headers stand in for the server's clock
            self.send_response_only(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Quiet: requests are recorded instead."""

    return Handler
