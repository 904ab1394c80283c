"""Reaching one Kubernetes API server, and its answers in this project's errors.

Everything that speaks to a cluster is given a `Connection` by its caller. Requests are plain JSON
over the official client's transport: it knows kubeconfigs, service accounts and their renewal, and
nothing here needs a class for each of hundreds of kinds.
"""

import importlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, cast

from platform_pipelines.errors import (
    ConfigurationError,
    ConflictError,
    ManifestRefusedError,
    PlatformError,
    RateLimitedError,
    SourceForbiddenError,
    SourceNotFoundError,
    UnavailableError,
)

APPLY = "application/apply-patch+yaml"
_MESSAGE_CHARACTERS = 1500


@dataclass(frozen=True, slots=True)
class ClusterAddress:
    """Which cluster, as whom. Without `kubeconfig`: the service account of this pod."""

    kubeconfig: Path | None = None
    context: str | None = None
    timeout_seconds: float = 30.0  # of one request


class Connection:
    """A client of one API server; made without a request.

    Raises:
        ConfigurationError: there is no such kubeconfig or context, or this is no pod.
    """

    def __init__(self, address: ClusterAddress) -> None:
        self.address = address
        self._client = _client(address)

    @property
    def client(self) -> Any:
        """The official `ApiClient` (it ships no types), for its typed APIs."""
        return self._client

    @property
    def server(self) -> str:
        """The API server's URL."""
        return str(self._client.configuration.host)

    def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        content_type: str = "application/json",
    ) -> dict[str, Any]:
        """One request, and the JSON of its answer.

        Raises: as `text`.
        """
        found = self._send(method, path, query, body, content_type, "application/json")
        return _decoded(found, f"{method} {self.server}{path}")

    def text(self, path: str, *, query: Mapping[str, str] | None = None) -> str:
        """What a path says that is no JSON: a pod's log, a page of a pod behind the API's proxy.

        Raises:
            SourceNotFoundError: 404. ConflictError: 409. ManifestRefusedError: 400, 413, 422 and
            what admission denies (403 with a reason of its own). SourceForbiddenError: 401, 403.
            RateLimitedError: 429. UnavailableError: 5xx, or no answer.
        """
        return self._send("GET", path, query, None, "application/json", "*/*").decode(
            "utf-8", "replace"
        )

    def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None,
        body: Mapping[str, Any] | None,
        content_type: str,
        accept: str,
    ) -> bytes:
        from urllib3.exceptions import HTTPError

        refused: type[Exception] = _library("client.exceptions").ApiException
        where = f"{method} {self.server}{path}"
        try:
            answer: Any = self._client.call_api(
                path,
                method,
                query_params=list((query or {}).items()),
                header_params={"Accept": accept, "Content-Type": content_type},
                body=body,
                auth_settings=["BearerToken"],
                response_types_map={},
                _preload_content=False,
                _request_timeout=self.address.timeout_seconds,
            )
        except refused as error:
            raise_refusal(error, where=where)
        except (HTTPError, OSError) as error:
            raise UnavailableError(
                f"the API server does not answer: {type(error).__name__}",
                where=where,
                remedy="look at the address in the kubeconfig and at the control plane",
            ) from error
        return _bytes(answer)

    def close(self) -> None:
        """Give the sockets back."""
        self._client.close()


def raise_refusal(error: Any, *, where: str) -> NoReturn:
    """Raise what an `ApiException` means. `error` is a kubernetes.client ApiException."""
    status = int(error.status or 0)
    message, reason = _told(error)
    raise _meaning(status, message, reason, where) from error


def _meaning(status: int, message: str, reason: str, where: str) -> PlatformError:
    if status == 404:
        return SourceNotFoundError(message, where=where)
    if status == 409:
        return ConflictError(message, where=where, remedy="read again and decide again")
    if status == 429:
        return RateLimitedError(message, where=where)
    if status in (400, 413, 415, 422) or _is_of_the_object(status, message):
        return ManifestRefusedError(
            message, where=where, stored=reason, remedy="correct the field that the message names"
        )
    if status in (401, 403):
        return SourceForbiddenError(
            message, where=where, remedy="give this identity the right, by a Role or a ClusterRole"
        )
    return UnavailableError(message, where=where)


def _is_of_the_object(status: int, message: str) -> bool:
    """Refusals under statuses that mean something else.

    Quotas, Pod Security and admission policies answer 403, as missing rights do; server-side apply
    answers 500 for a field that the schema does not have (Kubernetes 1.35).
    """
    if status == 500:
        return "failed to create typed patch object" in message
    signs = ("denied request", "exceeded quota", "violates PodSecurity", "is forbidden: maximum",
             "is forbidden: minimum", "admission webhook")  # fmt: skip
    return status == 403 and any(sign in message for sign in signs)


def _told(error: Any) -> tuple[str, str]:
    """Message and reason of a Status object, or of what came instead."""
    try:
        status: Any = json.loads(error.body or "{}")
        return str(status["message"])[:_MESSAGE_CHARACTERS], str(status.get("reason", ""))
    except (ValueError, KeyError, TypeError, AttributeError):
        return str(error.reason or error)[:_MESSAGE_CHARACTERS], ""


def _decoded(data: bytes, where: str) -> dict[str, Any]:
    try:
        found: Any = json.loads(data)
    except ValueError as error:
        raise UnavailableError("the API server's answer is no JSON", where=where) from error
    return cast("dict[str, Any]", found)


def _bytes(answer: Any) -> bytes:
    """Of a raw response; some versions of the client wrap it in (data, status, headers)."""
    first: Any = cast("tuple[Any, ...]", answer)[0] if isinstance(answer, tuple) else answer
    return bytes(first.data)


def _library(module: str = "") -> Any:
    """The official client, imported at first use (0.5 s)."""
    return importlib.import_module(f"kubernetes.{module}" if module else "kubernetes")


def _client(address: ClusterAddress) -> Any:
    client, config = _library("client"), _library("config")
    refused: type[Exception] = _library("config.config_exception").ConfigException
    try:
        if address.kubeconfig is not None:
            return config.new_client_from_config(
                config_file=str(address.kubeconfig), context=address.context
            )
        settings = client.Configuration()
        config.load_incluster_config(client_configuration=settings)
        return client.ApiClient(settings)
    except (refused, OSError) as error:
        raise ConfigurationError(
            "no cluster can be reached with this configuration",
            where=str(address.kubeconfig or "the service account of this pod"),
            stored=f"context {address.context!r}: {error}",
            expected="a kubeconfig with that context, or a pod with a service account",
            remedy="set PLATFORM_KUBECONFIG (and PLATFORM_KUBE_CONTEXT)",
        ) from error
