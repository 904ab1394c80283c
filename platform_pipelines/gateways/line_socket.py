"""What one process answers another Python on this machine: over a Unix socket in a private folder.

The environment of evaluations has neither the libraries of the embedder nor those of the object
store; the process that started it has both. One question and one reply a connection, each one line
of JSON.
"""

import asyncio
import json
import socketserver
import tempfile
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from platform_pipelines.errors import UnavailableError

LINE_BYTES = 16 * 1024 * 1024


@contextmanager
def line_socket(answer: Callable[[Any], Any]) -> Generator[Path]:
    """Serve `answer`, from several threads at once, until the end of the block; the path."""
    with tempfile.TemporaryDirectory(prefix="platform-") as folder:  # of this user alone
        path = Path(folder) / "asked"
        server = _Server(str(path), _handler(answer))
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield path
        finally:
            server.shutdown()
            thread.join()
            server.server_close()


async def ask_line(path: Path, question: Any, *, what: str) -> Any:
    """The reply to a question; `what` names who answers.

    Raises:
        UnavailableError: the other side is gone, or failed.
    """
    try:
        reader, writer = await asyncio.open_unix_connection(str(path), limit=LINE_BYTES)
        writer.write(json.dumps(question).encode() + b"\n")
        await writer.drain()
        reply: Any = json.loads(await reader.readline())
        writer.close()
        await writer.wait_closed()
    except (OSError, ValueError) as error:
        raise UnavailableError(
            f"{what} does not answer", where=str(path), stored=str(error)
        ) from error
    if "failed" in reply:
        raise UnavailableError(f"{what} failed", where=str(path), stored=reply["failed"])
    return reply["reply"]


class _Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
    request_queue_size = 64


def _handler(answer: Callable[[Any], Any]) -> type[socketserver.StreamRequestHandler]:
    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            question = json.loads(self.rfile.readline(LINE_BYTES))
            try:
                reply = {"reply": answer(question)}
            except Exception as error:  # noqa: BLE001 - told to the other side, which raises it
                reply = {"failed": f"{type(error).__name__}: {error}"}
            self.wfile.write(json.dumps(reply).encode() + b"\n")

    return Handler
