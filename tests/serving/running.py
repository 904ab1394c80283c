"""A server of the product in this process, on a port of its own."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import uvicorn

from platform_pipelines.serving.server import make_app
from platform_pipelines.settings import Settings
from tests.servers.milvus_server import wait_until

HOST = "127.0.0.1"


@dataclass
class Running:
    """Where it answers, and a plain client of it."""

    url: str
    client: httpx.Client
    said: list[str]
    traces: Any

    def flush(self) -> None:
        """Have what was traced sent now."""
        self.traces.flush()

    def post(self, path: str, token: str = "", **body: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return self.client.post(path, json=body, headers=headers)


@contextmanager
def running(settings: Settings) -> Iterator[Running]:
    """Started and warm; drained at the end."""
    with socket.socket() as found:
        found.bind((HOST, 0))
        port = found.getsockname()[1]
    said: list[str] = []
    app = make_app(settings, host=HOST, port=port, progress=said.append)
    server = uvicorn.Server(
        uvicorn.Config(app, host=HOST, port=port, log_level="warning", access_log=False, ws="none")
    )
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        wait_until(lambda: server.started or not thread.is_alive(), seconds=60)
        assert server.started
        with httpx.Client(base_url=f"http://{HOST}:{port}", timeout=60) as client:
            yield Running(f"http://{HOST}:{port}", client, said, app.state.traces)
    finally:
        server.should_exit = True
        thread.join(60)
