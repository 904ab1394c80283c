"""What an API server's refusals mean: what to correct, what to allow, what to try again."""

import json
import logging
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

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
from platform_pipelines.gateways.cluster.connection import ClusterAddress, Connection

CASES: list[tuple[int, str, type[PlatformError]]] = [
    (404, "pods not found", SourceNotFoundError),
    (409, "the object has been modified", ConflictError),
    (422, "spec.replicas: Invalid value", ManifestRefusedError),
    (400, "strict decoding error: unknown field", ManifestRefusedError),
    (500, "failed to create typed patch object: .spec.x: field not declared", ManifestRefusedError),
    (500, "etcdserver: leader changed", UnavailableError),
    (403, "exceeded quota: tenant, requested: pods=1", ManifestRefusedError),
    (403, 'violates PodSecurity "restricted:v1.35"', ManifestRefusedError),
    (403, "ValidatingAdmissionPolicy 'a' denied request: no", ManifestRefusedError),
    (403, 'User "a" cannot get resource "pods"', SourceForbiddenError),
    (401, "Unauthorized", SourceForbiddenError),
    (429, "too many requests", RateLimitedError),
    (503, "apiserver is shutting down", UnavailableError),
]


class Answers(BaseHTTPRequestHandler):
    """Answers with the status and the message that the path asks for."""

    def do_GET(self) -> None:
        status, message, _ = CASES[int(self.path.rpartition("/")[2])]
        data = json.dumps({"kind": "Status", "message": message, "reason": "Scripted"}).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args: Any) -> None: ...


@pytest.fixture(scope="module")
def connection(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Connection]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    Thread(target=server.serve_forever, daemon=True).start()
    made = Connection(
        ClusterAddress(kubeconfig(tmp_path_factory.mktemp("kube"), server.server_address[1]))
    )
    yield made
    made.close()
    server.shutdown()
    server.server_close()


def kubeconfig(folder: Path, port: int) -> Path:
    config = {
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
        "users": [{"name": "u", "user": {}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
    }  # fmt: skip
    file = folder / "config"
    file.write_text(json.dumps(config))
    return file


@pytest.mark.parametrize("case", range(len(CASES)), ids=lambda n: CASES[n][1][:30])
def test_a_refusal_is_the_error_that_it_means(connection: Connection, case: int) -> None:
    """A quota that looks like a missing right is asked for in vain."""
    _, message, kind = CASES[case]
    with pytest.raises(kind) as caught:
        connection.request("GET", f"/x/{case}")
    assert type(caught.value) is kind
    assert message in caught.value.what or kind is RateLimitedError


def test_a_server_that_is_gone_may_come_back(tmp_path: Path) -> None:
    """It is tried again, and the address is told."""
    logging.getLogger("urllib3").setLevel(logging.ERROR)
    gone = Connection(ClusterAddress(kubeconfig(tmp_path, 9), timeout_seconds=2))
    with pytest.raises(UnavailableError, match=r"127\.0\.0\.1:9"):
        gone.request("GET", "/version")


def test_a_missing_kubeconfig_or_context_is_told_before_anything_is_asked(tmp_path: Path) -> None:
    """The message names the variables that take them."""
    with pytest.raises(ConfigurationError, match="PLATFORM_KUBECONFIG"):
        Connection(ClusterAddress(tmp_path / "none"))
    with pytest.raises(ConfigurationError, match="'other'"):
        Connection(ClusterAddress(kubeconfig(tmp_path, 1), context="other"))
    with pytest.raises(ConfigurationError, match="service account"):
        Connection(ClusterAddress())
