"""OpenAI's Files and Batches on 127.0.0.1: batches that end after some looks, and lost answers."""

import json
import re
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import urlsplit

from tests.servers.serving import Served

Json = dict[str, Any]
Answer = Callable[[Json], tuple[int, Json]]  # a request's body -> status, body


class BatchServer(Served):
    """Started by `with`. `batches` are those that were started, in order; each is billed."""

    def __init__(self, answer: Answer, *, looks: int = 1) -> None:
        self.answer = answer
        self.looks = looks  # before a batch ends
        self.batches: list[Json] = []
        self.files: dict[str, bytes] = {}
        self.loses = 0  # so many acknowledgements of started batches do not arrive
        self.ends_as = "completed"
        self.keeps = 1.0  # share of the results that an ended batch has
        self._seen: dict[str, int] = {}
        self._lock = threading.Lock()
        super().__init__(_handler(self))

    @property
    def url(self) -> str:
        """`http://127.0.0.1:PORT/v1`."""
        return f"{self.address}/v1"

    def keep(self, content_type: str, body: bytes) -> Json:
        """The part `file` of a form whose `purpose` is `batch`."""
        boundary = re.search(r"boundary=(\S+)", content_type)
        assert boundary
        parts = body.split(f"--{boundary[1]}".encode())
        assert any(b'name="purpose"\r\n\r\nbatch\r\n' in part for part in parts)
        (file,) = [part for part in parts if b'name="file"' in part]
        with self._lock:
            name = f"file-{len(self.files)}"
            self.files[name] = file.partition(b"\r\n\r\n")[2].removesuffix(b"\r\n")
        return {"id": name, "object": "file"}

    def start(self, body: Json) -> Json | None:
        """The batch; None: it was started, and the answer is lost."""
        assert body["endpoint"] == "/v1/chat/completions"
        assert body["completion_window"] == "24h"
        with self._lock:
            batch = {
                "id": f"batch-{len(self.batches)}", "object": "batch", "status": "in_progress",
                "input_file_id": body["input_file_id"], "metadata": body["metadata"],
                "request_counts": {"completed": 0},
            }  # fmt: skip
            self.batches.append(batch)
            self.loses -= 1
            return None if self.loses >= 0 else batch

    def look(self, name: str) -> Json:
        """It ends after so many looks."""
        (batch,) = [one for one in self.batches if one["id"] == name]
        self._seen[name] = self._seen.get(name, 0) + 1
        if self._seen[name] > self.looks and batch["status"] == "in_progress":
            self._end(batch)
        return batch

    def read(self, path: list[str]) -> Json | bytes:
        """A file's content, one batch, or all of them, the newest first."""
        if path[2] == "files":
            return self.files[path[3]]
        if len(path) == 4:
            return self.look(path[3])
        return {"data": list(reversed(self.batches)), "has_more": False}

    def _end(self, batch: Json) -> None:
        batch["status"] = self.ends_as
        if self.ends_as == "failed":
            batch["errors"] = {"data": [{"message": "the model takes no batches"}]}
            return
        lines = [json.loads(x) for x in self.files[batch["input_file_id"]].splitlines()]
        good, bad = [], []
        for line in lines[: round(len(lines) * self.keeps)]:
            status, body = self.answer(line["body"])
            told = {"custom_id": line["custom_id"], "error": None,
                    "response": {"status_code": status, "body": body}}  # fmt: skip
            (good if status == 200 else bad).append(told)
        for name, rows in (("output_file_id", good), ("error_file_id", bad)):
            if rows:
                file = f"{name}-{batch['id']}"
                self.files[file] = "\n".join(map(json.dumps, rows)).encode()
                batch[name] = file


def _handler(owner: BatchServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.path == "/v1/files":
                self._send(owner.keep(self.headers["Content-Type"], body))
                return
            assert self.path == "/v1/batches"
            batch = owner.start(json.loads(body))
            if batch is None:
                self.close_connection = True
                self.connection.close()
                return
            self._send(batch)

        def do_GET(self) -> None:
            self._send(owner.read(urlsplit(self.path).path.split("/")))

        def _send(self, body: Json | bytes) -> None:
            content = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Quiet."""

    return Handler
