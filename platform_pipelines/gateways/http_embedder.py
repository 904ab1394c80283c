"""A model behind an OpenAI-compatible server: vLLM, Text Embeddings Inference (TEI), NIM."""

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar

from platform_pipelines.core.road.identity import digest_json
from platform_pipelines.errors import ConfigurationError
from platform_pipelines.gateways.embedder import TokenCounter
from platform_pipelines.gateways.embedding_http import Endpoint, JsonClient
from platform_pipelines.gateways.embedding_requests import EmbeddingRequests, Served
from platform_pipelines.gateways.embedding_tokens import (
    CountedModel,
    FileTokenCounter,
    ServerTokenCounter,
    sendable,
)

if TYPE_CHECKING:
    import httpx
    import numpy as np
    import numpy.typing as npt

    Matrix: TypeAlias = npt.NDArray[np.float32]

In = TypeVar("In")
Out = TypeVar("Out")


@dataclass(kw_only=True, eq=False)
class HttpEmbedder:
    """An `Embedder` that asks a server. Threads may share it; it connects on first use.

    `url` with or without `/v1`; `batch` texts go into one request and `concurrency` requests out at
    once. `tokenizer` is `server` (its `/tokenize`), or a tokenizer.json. `revision` is what the
    operator knows of the served weights (a commit, a date): no server tells which weights it holds,
    so a change of weights under the same name is only seen when `revision` changes, too.
    `input_type` sends NIM's field of that name, for models that take no prefix.

    Raises (from every method that embeds or counts):
        ConfigurationError: wrong url, refused key (401, 403), unknown model (404), bad request.
        IntegrityError: a text is too long for the server, or its vectors cannot be used.
        DimensionError: vectors of another length than `dimension`.
        RateLimitedError, UnavailableError: still so after `max_attempts`.
    """

    url: str
    model: str
    dimension: int
    window_tokens: int
    api_key: str | None = field(repr=False)
    batch: int
    concurrency: int
    timeout_seconds: float
    max_attempts: int
    query_prefix: str
    passage_prefix: str
    tokenizer: Literal["server"] | Path
    revision: str = ""
    input_type: bool = False
    ca_file: Path | None = None
    transport: "httpx.BaseTransport | None" = None
    sleep: Callable[[float], None] = time.sleep
    now: Callable[[], float] = time.time

    name: str = field(init=False)
    digest: str = field(init=False)  # of the declaration: not of the url, nor of the weights

    def __post_init__(self) -> None:
        self._refuse_below_one("dimension", "window_tokens", "batch", "concurrency", "max_attempts")
        self.name = self.model
        self.digest = self._declared_digest()
        endpoint = Endpoint(
            url=self.url,
            api_key=self.api_key,
            timeout_seconds=self.timeout_seconds,
            max_attempts=self.max_attempts,
            connections=self.concurrency,
            ca_file=self.ca_file,
        )
        self._client = JsonClient(
            endpoint, transport=self.transport, sleep=self.sleep, now=self.now
        )
        self._requests = EmbeddingRequests(
            self._client, Served(self.model, self.dimension, self.window_tokens)
        )
        self._counter = self._make_counter()
        self._lock = threading.Lock()
        self._pool: ThreadPoolExecutor | None = None

    def embed_passages(self, texts: Sequence[str]) -> "Matrix":
        """[len(texts), dimension] float32, rows of unit length, in the order of `texts`."""
        return self._embed(texts, self.passage_prefix, "passage")

    def embed_queries(self, texts: Sequence[str]) -> "Matrix":
        """[len(texts), dimension] float32, rows of unit length, in the order of `texts`."""
        return self._embed(texts, self.query_prefix, "query")

    def token_counter(self) -> TokenCounter:
        """Counts by the server or by the file, as `tokenizer` says."""
        return self._counter

    def close(self) -> None:
        """Ends threads and connections; the next use makes new ones."""
        with self._lock:
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(cancel_futures=True)
        self._client.close()

    def _embed(self, texts: Sequence[str], prefix: str, role: str) -> "Matrix":
        import numpy as np

        vectors = np.empty((len(texts), self.dimension), np.float32)
        extra = {"input_type": role} if self.input_type else {}

        def embed(start: int) -> None:
            part = [sendable(prefix + text) for text in texts[start : start + self.batch]]
            vectors[start : start + len(part)] = self._requests.embed(
                part, first_index=start, extra=extra
            )

        for _ in self._spread(embed, range(0, len(texts), self.batch)):
            pass
        return vectors

    def _spread(self, call: Callable[[In], Out], items: Iterable[In]) -> Iterable[Out]:
        """Calls on each item, `concurrency` at once; results in order. The first error ends it."""
        with self._lock:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(self.concurrency, "embedder")
            pool = self._pool
        futures: list[Future[Out]] = [pool.submit(call, item) for item in items]
        try:
            return [future.result() for future in futures]
        finally:
            for future in futures:
                future.cancel()

    def _refuse_below_one(self, *settings: str) -> None:
        for setting in settings:
            if getattr(self, setting) < 1:
                raise ConfigurationError(
                    f"{setting} of the embedder counts from 1", stored=getattr(self, setting)
                )

    def _declared_digest(self) -> str:
        return digest_json(
            {
                "model": self.model,
                "revision": self.revision,
                "dimension": self.dimension,
                "window_tokens": self.window_tokens,
                "prefixes": [self.query_prefix, self.passage_prefix],
                "input_type": self.input_type,
            }
        )

    def _make_counter(self) -> TokenCounter:
        counted = CountedModel(self.model, self.window_tokens, self.passage_prefix)
        if isinstance(self.tokenizer, Path):
            return FileTokenCounter(counted, file=self.tokenizer)
        spread: Any = self._spread
        return ServerTokenCounter(counted, client=self._client, spread=spread, batch=self.batch)
