"""JSON over HTTP to a model server: what is tried again, what is not, and in which words.

Tried again, with back-off: no connection, a broken or late reply, a 200 that holds an error or no
JSON (a login page, a reply that was cut off), 408, 424 (a model server's own
backend failed), 425, 429 and 5xx. Any other status comes back as a `Reply` for the caller to judge.
The key appears in no message and in no repr; redirects are not followed, so it goes to one host.
"""

import json
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

from platform_pipelines.core.road.backoff import Backoff, parse_http_date, parse_retry_after
from platform_pipelines.core.road.identity import digest_bytes
from platform_pipelines.errors import (
    ConfigurationError,
    RateLimitedError,
    TransientError,
    UnavailableError,
    hide_user,
)
from platform_pipelines.gateways.network import proxy_for, trusted

if TYPE_CHECKING:
    import httpx

_AGAIN = {408, 424, 425, 429}
_REFUSED = {401, 403}
_MESSAGE_CHARACTERS = 500


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a server is and how patiently it is asked. `url` with or without `/v1` at its end."""

    url: str
    api_key: str | None = field(repr=False)
    timeout_seconds: float
    max_attempts: int
    connections: int
    ca_file: Path | None = None  # None: those of `network.authorities`
    backoff: Backoff = field(default_factory=Backoff)

    def root(self) -> str:
        """The URL below which `/v1/embeddings` and `/tokenize` are.

        Raises:
            ConfigurationError: not an http(s) URL, or one that holds a password or a query.
        """
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigurationError(
                "the model server's url is not an http:// or https:// URL",
                stored=hide_user(self.url),
                expected="for example http://embedder.example:8000/v1",
            )
        if parts.username or parts.password or parts.query or parts.fragment:
            raise ConfigurationError(
                "the model server's url holds more than scheme, host, port and path",
                where=f"{parts.scheme}://{parts.hostname}",
                remedy="give the key as api_key, not in the url",
            )
        return self.url.rstrip("/").removesuffix("/v1")


@dataclass(frozen=True, slots=True)
class Reply:
    """A final answer: its JSON (None when it is none), and the server's words."""

    status: int
    body: Any
    message: str

    @property
    def ok(self) -> bool:
        """Whether the status is 200."""
        return self.status == HTTPStatus.OK


class JsonClient:
    """Sends JSON and tries again. Threads may share it; it connects on first use.

    Raises (from `get` and `post`):
        ConfigurationError: the url is wrong, or the key is refused (401, 403).
        RateLimitedError: 429 to the last attempt, or Retry-After is longer than we wait.
        UnavailableError: no usable answer to the last attempt.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        transport: "httpx.BaseTransport | None" = None,
        sleep: Callable[[float], None] = time.sleep,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._endpoint = endpoint
        self._transport = transport
        self._sleep = sleep
        self._now = now
        self._rng = random.Random()  # noqa: S311  jitter must differ between processes
        self._lock = threading.Lock()
        self._client: httpx.Client | None = None

    def post(self, path: str, payload: dict[str, Any]) -> Reply:
        """POST `payload` to `path` below the root."""
        return self._send("POST", path, json.dumps(payload, allow_nan=False).encode())

    def get(self, path: str) -> Reply:
        """GET `path` below the root."""
        return self._send("GET", path, b"")

    def post_once(self, path: str, payload: dict[str, Any]) -> Reply:
        """As `post`, one attempt: what is not known to have failed must not be sent again."""
        content = json.dumps(payload, allow_nan=False).encode()
        outcome = self._attempt(self._open(), "POST", self._endpoint.root() + path, content)
        if isinstance(outcome, Reply):
            return outcome
        raise outcome.error

    def upload(self, path: str, name: str, data: bytes, fields: dict[str, str]) -> Reply:
        """A file as a form's part, with the form's other fields."""
        boundary = digest_bytes(data)
        head = "".join(
            f'--{boundary}\r\nContent-Disposition: form-data; name="{key}"\r\n\r\n{value}\r\n'
            for key, value in fields.items()
        )
        head += (
            f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'
            "Content-Type: application/jsonl\r\n\r\n"
        )
        content = head.encode() + data + f"\r\n--{boundary}--\r\n".encode()
        return self._send("POST", path, content, f"multipart/form-data; boundary={boundary}")

    def download(self, path: str) -> bytes:
        """A file's bytes, whatever they are."""
        import httpx

        url = self._endpoint.root() + path
        try:
            response = self._open().get(url)
        except httpx.RequestError as error:
            raise _unavailable(url, f"{type(error).__name__}: {error}", error) from error
        if response.status_code != HTTPStatus.OK:
            raise _unavailable(url, f"HTTP {response.status_code}: {response.text[:200]}")
        return response.content

    def close(self) -> None:
        """Closes the connections; the next use opens new ones."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.close()

    def _send(self, method: str, path: str, content: bytes, kind: str = "") -> Reply:
        client = self._open()
        url = self._endpoint.root() + path
        attempts = 0
        while True:
            attempts += 1
            outcome = self._attempt(client, method, url, content, kind)
            if isinstance(outcome, Reply):
                return outcome
            wait_seconds = self._endpoint.backoff.delay_seconds(
                attempts, rng=self._rng, retry_after_seconds=outcome.retry_after_seconds
            )
            if attempts >= self._endpoint.max_attempts or wait_seconds is None:
                raise outcome.error
            self._sleep(wait_seconds)

    def _attempt(
        self, client: "httpx.Client", method: str, url: str, content: bytes, kind: str = ""
    ) -> "Reply | _Failure":
        import httpx

        try:
            headers = {"Content-Type": kind} if kind else None
            response = client.request(method, url, content=content or None, headers=headers)
        except (httpx.UnsupportedProtocol, httpx.InvalidURL) as error:
            raise ConfigurationError(
                f"the model server's url is wrong: {error}", where=url
            ) from error
        except httpx.RequestError as error:
            return _Failure(_unavailable(url, f"{type(error).__name__}: {error}", error))
        reply = _reply(response, self._endpoint.api_key)
        if reply.status in _REFUSED:
            raise _refused(url, reply, with_key=self._endpoint.api_key is not None)
        wish = self._retry_after_seconds(response)
        if reply.status == HTTPStatus.TOO_MANY_REQUESTS:
            what = f"the model server is at its limit (HTTP 429): {reply.message}"
            return _Failure(RateLimitedError(what, retry_after_seconds=wish, where=url), wish)
        if reply.ok and (odd := _no_result(reply)):
            return _Failure(_unavailable(url, f"HTTP 200 with {odd}: {reply.message[:200]}"), wish)
        if reply.status in _AGAIN or reply.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            return _Failure(_unavailable(url, f"HTTP {reply.status}: {reply.message}"), wish)
        return reply

    def _retry_after_seconds(self, response: "httpx.Response") -> float | None:
        # by the server's own clock where it tells it: ours may be minutes away
        there = parse_http_date(response.headers.get("Date"))
        now = there or datetime.fromtimestamp(self._now(), UTC)
        return parse_retry_after(response.headers.get("Retry-After"), now=now)

    def _open(self) -> "httpx.Client":
        import httpx

        endpoint = self._endpoint
        endpoint.root()  # a wrong url is told before anything is sent
        key = {"Authorization": f"Bearer {endpoint.api_key}"} if endpoint.api_key else {}
        with self._lock:
            if self._client is None:
                self._client = httpx.Client(
                    headers={"Content-Type": "application/json", **key},
                    timeout=endpoint.timeout_seconds,
                    limits=httpx.Limits(max_connections=endpoint.connections),
                    verify=trusted(endpoint.ca_file),
                    proxy=None if self._transport else proxy_for(endpoint.url),
                    transport=self._transport,
                    trust_env=False,  # trust and proxies are those of all clients: `network`
                )
            return self._client


@dataclass(frozen=True, slots=True)
class _Failure:
    """What is raised unless a further attempt succeeds."""

    error: TransientError
    retry_after_seconds: float | None = None


def _unavailable(url: str, found: str, cause: Exception | None = None) -> UnavailableError:
    error = UnavailableError(
        "the model server gives no usable answer",
        where=url,
        stored=found,
        remedy="see whether it runs, and whether its url is right",
    )
    error.__cause__ = cause
    return error


def _refused(url: str, reply: Reply, *, with_key: bool) -> ConfigurationError:
    return ConfigurationError(
        f"the model server refuses the request (HTTP {reply.status}): {reply.message}",
        where=url,
        stored="api_key is set" if with_key else "api_key is not set",
        expected="a key that may use this model",
        remedy="set its api_key: PLATFORM_EMBEDDER_API_KEY, PLATFORM_LANGUAGE_MODEL_API_KEY",
    )


def _reply(response: "httpx.Response", api_key: str | None) -> Reply:
    try:
        body = response.json()
    except ValueError:  # UnicodeDecodeError is one
        body = None
    message = _message(body) or response.text or response.reason_phrase
    if api_key:  # some servers quote the key that they refuse
        message = message.replace(api_key, "***")
    return Reply(response.status_code, body, " ".join(message[:_MESSAGE_CHARACTERS].split()))


def _no_result(reply: Reply) -> str:
    """Why a 200 is none: a login page, a reply that was cut off, or an error in its body."""
    if reply.body is None:
        return "no JSON"
    body: Any = reply.body
    fields = cast("dict[str, Any]", body) if isinstance(body, dict) else {}
    return "an error" if fields.get("error") else ""


def _message(body: Any) -> str:
    """The words of an error: {"error": {"message"}} (OpenAI, vLLM), {"message"} or {"error"} (TEI),
    {"detail"} (FastAPI, NIM)."""
    if not isinstance(body, dict):
        return ""
    fields = cast("dict[str, Any]", body)
    for name in ("error", "message", "detail"):
        value = fields.get(name)
        if isinstance(value, dict):
            return _message(value)
        if value:
            return str(value)
    return ""
