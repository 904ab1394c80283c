"""One lazily opened, bounded connection to Milvus, made again after the server was lost."""

import logging
import math
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

from platform_pipelines.errors import UnavailableError, hide_user
from platform_pipelines.gateways.milvus.failures import translated
from platform_pipelines.gateways.milvus.library import pymilvus
from platform_pipelines.gateways.network import pymilvus_network


class Connection:
    """`endpoint` gives the server's address, and starts the server where that is ours to do."""

    def __init__(
        self, endpoint: Callable[[], str], *, token: str | None, timeout_seconds: float
    ) -> None:
        self._endpoint = endpoint
        self._token = token
        self._mutex = threading.Lock()
        self._client: Any = None
        self._uri = ""
        # Whole seconds: pymilvus' own waiting loops ignore a time-out that is a float.
        self.timeout_seconds = max(1, math.ceil(timeout_seconds))

    @contextmanager
    def use(self, doing: str) -> Generator[Any]:
        """The client, with every failure translated.

        A failed call leaves the client in place, because other threads may be using it: gRPC
        connects again by itself, and a local server that came back has another address.
        """
        client = self._connected()
        with translated(doing, where=hide_user(self._uri)):
            yield client

    @property
    def uri(self) -> str:
        """Where it is connected to; "" before its first use."""
        return self._uri

    def close(self) -> None:
        """Close the connection; the next use opens it again. Safe to call twice."""
        with self._mutex:
            client, self._client = self._client, None
        if client is not None:
            client.close()

    def _connected(self) -> Any:
        uri = self._endpoint() if self._client is not None else self._first_endpoint()
        with self._mutex:
            if self._client is not None and uri == self._uri:
                return self._client
            lost, self._client = self._client, None
            if lost is not None:
                lost.close()
            self._client, self._uri = self._open(uri), uri
            return self._client

    def _first_endpoint(self) -> str:
        # The import takes a second and a half, as does starting a local server: do both at once.
        importing = threading.Thread(target=pymilvus)
        importing.start()
        try:
            return self._endpoint()
        finally:
            importing.join()

    def _open(self, uri: str) -> Any:
        # Every error is translated and raised; pymilvus also logs each with its stack.
        logging.getLogger("pymilvus").setLevel(logging.CRITICAL)
        with translated("connect", where=hide_user(uri)):
            return pymilvus().MilvusClient(
                uri=uri,
                token=self._token or "",
                timeout=self.timeout_seconds,
                dedicated=True,
                **pymilvus_network(uri),
            )


class Deadline:
    """What is left of a time budget, in the whole seconds that pymilvus understands."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._end = time.monotonic() + seconds

    def left_seconds(self, doing: str) -> int:
        """Seconds left, at least one.

        Raises:
            UnavailableError: none is left.
        """
        left = self._end - time.monotonic()
        if left <= 0:
            raise UnavailableError(
                f"Milvus did not {doing} in {self._seconds:g} s",
                remedy="give the stage more time, or look at the server's load",
            )
        return max(1, math.ceil(left))
