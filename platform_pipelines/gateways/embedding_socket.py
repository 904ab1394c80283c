"""An embedder for another Python on this machine.

A judge in the environment of evaluations needs the knowledge base's embedder, whose libraries that
environment does not have.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, cast

from platform_pipelines.gateways.embedder import Embedder
from platform_pipelines.gateways.line_socket import ask_line, line_socket


def embedding_socket(embedder: Embedder) -> AbstractContextManager[Path]:
    """Serve question vectors until the end of the block; the path of the socket."""

    def vectors(texts: Any) -> Any:
        return embedder.embed_queries(cast("list[str]", texts)).tolist()

    return line_socket(vectors)


async def embed_over(path: Path, texts: Sequence[str]) -> list[list[float]]:
    """The vectors of questions.

    Raises:
        UnavailableError: the other side is gone, or could not embed them.
    """
    return await ask_line(path, list(texts), what="the embedder")
