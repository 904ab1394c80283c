"""An embedder for another Python on this machine: over a Unix socket in a private folder.

A judge in the environment of evaluations needs the knowledge base's embedder, whose libraries that
environment does not have. One request and one reply a connection, each one line of JSON.
"""

import asyncio
import json
import socketserver
import tempfile
import threading
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from platform_pipelines.errors import UnavailableError
from platform_pipelines.gateways.embedder import Embedder

LINE_BYTES = 16 * 1024 * 1024


@contextmanager
def embedding_socket(embedder: Embedder) -> Generator[Path]:
    """Serve question vectors until the end of the block; the path of the socket."""
    with tempfile.TemporaryDirectory(prefix="platform-") as folder:  # of this user alone
        path = Path(folder) / "embed"
        server = _Server(str(path), _handler(embedder))
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield path
        finally:
            server.shutdown()
            thread.join()
            server.server_close()


async def embed_over(path: Path, texts: Sequence[str]) -> list[list[float]]:
    """The vectors of questions.

    Raises:
        UnavailableError: the other side is gone, or could not embed them.
    """
    try:
        reader, writer = await asyncio.open_unix_connection(str(path), limit=LINE_BYTES)
        writer.write(json.dumps(list(texts)).encode() + b"\n")
        await writer.drain()
        reply: Any = json.loads(await reader.readline())
        writer.close()
        await writer.wait_closed()
    except (OSError, ValueError) as error:
        raise UnavailableError(
            "the embedder does not answer", where=str(path), stored=str(error)
        ) from error
    if isinstance(reply, str):
        raise UnavailableError("the embedder failed", where=str(path), stored=reply)
    return cast("list[list[float]]", reply)


class _Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
    request_queue_size = 64


def _handler(embedder: Embedder) -> type[socketserver.StreamRequestHandler]:
    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            texts = cast("list[str]", json.loads(self.rfile.readline(LINE_BYTES)))
            try:
                reply: Any = embedder.embed_queries(texts).tolist()
            except Exception as error:  # noqa: BLE001 - told to the other side, which raises it
                reply = f"{type(error).__name__}: {error}"
            self.wfile.write(json.dumps(reply).encode() + b"\n")

    return Handler
