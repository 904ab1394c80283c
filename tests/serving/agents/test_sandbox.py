"""Code of an agent: a Job made, awaited, read and deleted, over a server that keeps its contract.

A real cluster does the same in `tests/cluster/test_agent_sandbox.py`.
"""

import asyncio
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from platform_pipelines.core.agent.behaviour import AgentBehaviour
from platform_pipelines.core.agent.declaration import AgentModelSpec, SandboxSpec, ToolSpec
from platform_pipelines.errors import RequestRefusedError, UnavailableError
from platform_pipelines.serving.agents.sandbox import PodSandbox
from platform_pipelines.serving.agents.tools import Toolbox

SPEC = SandboxSpec(namespace="acme-code", image="python:3.11.9-slim", output_characters=100)
JOBS = "/apis/batch/v1/namespaces/acme-code/jobs"


class Api:
    """As much of an API server as a sandbox asks: jobs that end at their second look."""

    def __init__(self) -> None:
        self.jobs: dict[str, dict[str, Any]] = {}
        self.deleted: list[str] = []
        self.looks = 0
        self.ends_as = "Complete"
        self.refuses = False
        self.tokens: set[str | None] = set()

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, bytes]:
        if self.refuses:
            return 403, b'{"message": "exceeded quota"}'
        if method == "POST":
            made = json.loads(body)
            self.jobs[made["metadata"]["name"]] = made
            return 201, body
        name = path.rpartition("/")[2]
        if method == "DELETE":
            self.deleted.append(name)
            return 200, b"{}"
        if path.startswith(JOBS):
            self.looks += 1
            ended = [{"type": self.ends_as, "status": "True", "reason": "DeadlineExceeded"}]
            status = {"conditions": ended} if self.looks > 1 else {}
            return 200, json.dumps({"status": status}).encode()
        if "/log" in path:
            return 200, ("x" * 500 + "42\n").encode()
        return 200, json.dumps({"items": [{"metadata": {"name": "pod-1"}}]}).encode()


@pytest.fixture
def api() -> Iterator[tuple[str, Api]]:
    found = Api()

    class Handler(BaseHTTPRequestHandler):
        def _do(self) -> None:
            found.tokens.add(self.headers.get("authorization"))
            length = int(self.headers.get("content-length") or 0)
            status, data = found.answer(self.command, self.path, self.rfile.read(length))
            self.send_response(status)
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_DELETE = _do

        def log_message(self, *args: Any) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", found
    server.shutdown()
    thread.join()
    server.server_close()


def sandbox(url: str, folder: Path) -> PodSandbox:
    token = folder / "token"
    token.write_text("of-this-agent\n")
    return PodSandbox("assistant", SPEC, url, str(token), None)


def test_a_call_is_one_job_that_is_deleted_afterwards(api: tuple[str, Api], tmp_path: Path) -> None:
    """Its own pod, the last characters of what it printed, and nothing is left behind."""
    url, server = api
    printed = asyncio.run(sandbox(url, tmp_path).run("print(6 * 7)"))
    assert printed.endswith("42\n")
    assert len(printed) == 100
    (job,) = server.jobs.values()
    container = job["spec"]["template"]["spec"]["containers"][0]
    assert container["command"] == ["python", "-I", "-c", "print(6 * 7)"]
    assert server.deleted == list(server.jobs)
    assert server.tokens == {"Bearer of-this-agent"}


def test_code_that_does_not_end_is_ended_and_told(api: tuple[str, Api], tmp_path: Path) -> None:
    """The model reads why."""
    url, server = api
    server.ends_as = "Failed"
    printed = asyncio.run(sandbox(url, tmp_path).run("while True: pass"))
    assert printed.endswith("ended: DeadlineExceeded")
    assert len(server.deleted) == 1


def test_a_refusal_is_an_answer_to_the_model_and_no_code_runs_here(
    api: tuple[str, Api], tmp_path: Path
) -> None:
    """Without a cluster, over its quota or too long: told, and never run in this process."""
    url, server = api
    server.refuses = True
    with pytest.raises(RequestRefusedError, match="does not make the pod: HTTP 403"):
        asyncio.run(sandbox(url, tmp_path).run("1"))
    with pytest.raises(RequestRefusedError, match="too long"):
        asyncio.run(sandbox(url, tmp_path).run("#" * 70_000))
    with pytest.raises(UnavailableError, match="no cluster to run code in"):
        asyncio.run(PodSandbox("assistant", SPEC).run("1"))  # no token: this is no pod
    marker = tmp_path / "ran"
    behaviour = AgentBehaviour(
        name="a", namespace="n", prompt="p", language_model=AgentModelSpec(name="m"),
        tools=(ToolSpec(kind="code", name="python"),), sandbox=SPEC,
    )  # fmt: skip
    box = Toolbox(behaviour, sandbox(url, tmp_path))
    code = f"open({str(marker)!r}, 'w')"
    called = asyncio.run(box.call("", "run_python", {"code": code}))
    assert "HTTP 403" in called.error
    assert not marker.exists()
