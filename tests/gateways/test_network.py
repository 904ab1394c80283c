"""A company's network: its own authority, its proxies, and keys that go to one host only."""

import asyncio
import importlib
import subprocess
import sys
import threading
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from platform_pipelines.errors import ConfigurationError, PlatformError, UnavailableError
from platform_pipelines.gateways import network
from platform_pipelines.gateways.embedding_http import Endpoint, JsonClient, Reply
from platform_pipelines.gateways.event_queue import SqsQueue
from platform_pipelines.gateways.judge_calls import JudgeCalls, JudgeOptions
from platform_pipelines.gateways.milvus.library import milvus_lite
from platform_pipelines.gateways.milvus.store import MilvusStore
from platform_pipelines.gateways.object_store import StoreOptions
from platform_pipelines.gateways.obstore_store import open_store
from platform_pipelines.gateways.prometheus import Prometheus
from platform_pipelines.gateways.s3_client import list_with_boto3
from platform_pipelines.gateways.traces import OtlpTraces
from platform_pipelines.settings import load_settings
from tests.servers.tls import Company, make_company, web_server

PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
PROXIES = (*PROXIES, *(name.upper() for name in PROXIES))
KEYS: dict[str, Any] = {"access_key": "company-access", "secret_key": "company-secret"}


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory) -> Company:
    """One authority for all tests."""
    return make_company(tmp_path_factory.mktemp("company"))


@pytest.fixture(autouse=True)
def own_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the network that runs these tests."""
    for name in (*PROXIES, "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "AWS_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def trusting(company: Company, monkeypatch: pytest.MonkeyPatch) -> Company:
    """This process trusts the company."""
    monkeypatch.setenv("SSL_CERT_FILE", str(company.authority))
    return company


@contextmanager
def s3_server(company: Company) -> Generator[str]:
    """A real S3 server behind TLS."""
    from werkzeug.serving import make_server

    moto: Any = importlib.import_module("moto.server")
    application = moto.DomainDispatcherApplication(moto.create_backend_app)
    server = make_server(
        "127.0.0.1", 0, application, threaded=True, ssl_context=company.server_context()
    )
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"https://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def milvus_server(company: Company, folder: Path) -> Generator[str]:
    """Milvus Lite's engine behind gRPC with TLS."""
    import grpc

    servicer: Any = milvus_lite("adapter.grpc.servicer")
    database = milvus_lite().MilvusLite(str(folder))
    server = grpc.server(ThreadPoolExecutor(4))
    servicer.milvus_pb2_grpc.add_MilvusServiceServicer_to_server(
        servicer.MilvusServicer(database), server
    )
    pair = (company.key.read_bytes(), company.certificate.read_bytes())
    port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([pair]))
    server.start()
    try:
        yield f"https://127.0.0.1:{port}"
    finally:
        server.stop(None).wait()
        database.close()


def ask_a_model(url: str, path: str = "/x") -> Reply:
    """One request with a key."""
    endpoint = Endpoint(
        url=url, api_key="sesame-key", timeout_seconds=5, max_attempts=1, connections=1
    )
    with closing(JsonClient(endpoint)) as client:
        return client.post(path, {})


def send_a_trace(url: str) -> None:
    """One span, by the exporter that `serve` has."""
    traces = OtlpTraces(url, headers={"x-api-key": "sesame-key"}, content=False, version="1")
    with traces.span("ask"):
        pass
    traces.close()


def store_options(endpoint: str) -> StoreOptions:
    """Reach that S3."""
    return StoreOptions(endpoint=endpoint, timeout_seconds=5, retries=0, **KEYS)


def test_every_client_trusts_the_company(trusting: Company, tmp_path: Path) -> None:
    """One variable: today boto3, httpx, gRPC and the exporter each look somewhere else."""
    with s3_server(trusting) as s3:
        import boto3

        client: Any = boto3.client(
            "s3", endpoint_url=s3, region_name="us-east-1", verify=str(trusting.authority),
            aws_access_key_id=KEYS["access_key"], aws_secret_access_key=KEYS["secret_key"],
        )  # fmt: skip
        client.create_bucket(Bucket="documents")
        client.close()
        store = open_store("s3://documents", options=store_options(s3))
        store.put("a.md", b"hello")
        assert store.get("a.md")[0] == b"hello"
        (page,) = list_with_boto3("documents", "", "", store_options(s3))
        assert [found.path for found in page] == ["a.md"]
        sqs: Any = boto3.client(
            "sqs", endpoint_url=s3, region_name="us-east-1", verify=str(trusting.authority),
            aws_access_key_id=KEYS["access_key"], aws_secret_access_key=KEYS["secret_key"],
        )  # fmt: skip
        path = sqs.create_queue(QueueName="q")["QueueUrl"].split("/", 3)[3]
        sqs.close()
        options = StoreOptions(region="us-east-1", **KEYS)
        assert SqsQueue(f"{s3}/{path}", options).receive() == []
    with milvus_server(trusting, tmp_path / "milvus") as uri:
        vectors = MilvusStore(uri=uri, token=None, timeout_seconds=10)
        assert vectors.alias("x") is None
        vectors.close()
    with web_server(trusting) as server:
        assert ask_a_model(server.url).ok
        server.body = b'{"status": "success", "data": {"result": []}}'
        assert Prometheus(server.url).ask("up").series == ()
        send_a_trace(server.url)
        assert [path for _, path, _ in server.asked] == ["/x", "/api/v1/query", "/v1/traces"]


def test_the_judges_client_trusts_the_company(trusting: Company, tmp_path: Path) -> None:
    """It runs in an environment of its own, with the same variable."""
    pytest.importorskip("openai")

    async def ask(url: str) -> None:
        options = JudgeOptions(url=url, model="m", version="1", cache=str(tmp_path))
        calls = JudgeCalls(options)
        await calls._client.models.list()  # pyright: ignore[reportPrivateUsage]
        await calls.close()

    with web_server(trusting) as server:
        server.body = b'{"object": "list", "data": []}'
        server.headers = {"Content-Type": "application/json"}
        asyncio.run(ask(server.url))
        assert server.asked[0][1] == "/v1/models"


def test_libraries_of_workers_trust_the_company(trusting: Company) -> None:
    """MLflow and the hub's client are in environments of their own and ask by requests or httpx."""
    program = "import requests, sys; print(requests.get(sys.argv[1], timeout=5).status_code)"
    with web_server(trusting) as server, web_server() as proxy:
        environment = {
            **load_settings().worker_environment, "HTTPS_PROXY": proxy.url, "https_proxy": proxy.url
        }  # fmt: skip
        done = subprocess.run(
            [sys.executable, "-c", program, server.url],
            env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.stdout.strip() == "200", done.stderr[-300:]
        assert proxy.asked == []


def test_a_stranger_is_trusted_by_nobody(company: Company) -> None:
    """The counterpart: without the variable no client takes the company's certificate."""
    with web_server(company) as server:
        with pytest.raises(UnavailableError, match=r"certificate|CERTIFICATE"):
            ask_a_model(server.url)
        with pytest.raises(UnavailableError):
            Prometheus(server.url).ask("up")
        with pytest.raises(PlatformError):
            open_store("s3://documents", options=store_options(server.url)).get("a.md")
        with pytest.raises(PlatformError):
            list(list_with_boto3("documents", "", "", store_options(server.url)))
        send_a_trace(server.url)
        assert server.asked == []


def test_a_missing_file_of_certificates_is_refused_before_anything(tmp_path: Path) -> None:
    """OpenSSL would silently trust nothing, Python another file."""
    with pytest.raises(ConfigurationError, match="SSL_CERT_FILE") as caught:
        load_settings({"SSL_CERT_FILE": str(tmp_path / "gone.pem")})
    assert "gone.pem" in str(caught.value)
    (tmp_path / "empty.pem").write_text("nothing")
    with pytest.raises(ConfigurationError, match="SSL_CERT_FILE"):
        load_settings({"SSL_CERT_FILE": str(tmp_path / "empty.pem")})


@pytest.mark.parametrize("name", ["http_proxy", "HTTP_PROXY", "ALL_PROXY"])
def test_no_proxy_is_asked_for_this_machine(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A company's proxy cannot reach our own Milvus, model server or test S3."""
    with web_server() as server, web_server() as proxy:
        monkeypatch.setenv(name, proxy.url)
        monkeypatch.setenv("grpc_proxy", proxy.url)
        server.body = b'{"status": "success", "data": {"result": []}}'
        ask_a_model(server.url)
        Prometheus(server.url).ask("up")
        send_a_trace(server.url)
        open_store("s3://documents", options=store_options(server.url)).head("a.md")
        with pytest.raises(UnavailableError):
            MilvusStore(uri="http://127.0.0.1:9", token=None, timeout_seconds=1).alias("x")
        assert proxy.asked == []
        assert len(server.asked) == 4
        assert network.is_loopback("[::1]")
        assert not network.is_loopback("127.example.com")


def test_every_client_goes_by_the_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names that only the proxy knows are reached by it, whichever library asks."""
    with web_server() as proxy:
        for name in ("http_proxy", "HTTP_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        proxy.body = b'{"status": "success", "data": {"result": []}}'
        assert ask_a_model("http://models.internal").ok
        Prometheus("http://prometheus.internal").ask("up")
        send_a_trace("http://collector.internal")
        open_store("s3://documents", options=store_options("http://s3.internal")).head("a.md")
        with pytest.raises(UnavailableError):
            MilvusStore(uri="http://milvus.internal:19530", token=None, timeout_seconds=2).alias(
                "x"
            )
        asked = [path for _, path, _ in proxy.asked]
        assert asked[:4] == [
            "http://models.internal/x",
            "http://prometheus.internal/api/v1/query",
            "http://collector.internal/v1/traces",
            "http://s3.internal/documents/a.md",
        ]
        assert set(asked[4:]) == {"milvus.internal:19530"}  # CONNECT


def test_what_needs_no_proxy_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """NO_PROXY holds names, domains and ports."""
    monkeypatch.setenv("https_proxy", "proxy.corp:3128")
    monkeypatch.setenv("no_proxy", ".corp,s3.internal:9000")
    assert network.proxy_for("https://models.example/v1") == "http://proxy.corp:3128"
    assert network.proxy_for("https://models.corp/v1") is None
    assert network.proxy_for("https://s3.internal:9000") is None
    assert network.proxy_for("unix:///run/milvus.sock") is None


def test_a_key_does_not_follow_a_redirect(tmp_path: Path) -> None:
    """A server that answers `elsewhere` must not make us hand the key to it."""
    with web_server() as declared, web_server() as thief:
        declared.status, declared.headers = 307, {"Location": f"{thief.url}/x"}
        reply = ask_a_model(declared.url)
        assert not reply.ok
        send_a_trace(declared.url)
        assert thief.asked == []
        _, _, headers = declared.asked[0]
        assert headers["authorization"] == "Bearer sesame-key"
        assert declared.asked[-1][2]["x-api-key"] == "sesame-key"


def test_a_key_goes_to_the_hosts_that_are_named() -> None:
    """Whoever may edit a declaration must not learn the key by declaring a server of their own."""
    hosts = ("models.corp.example", "*.ai.example:8443")
    allowed = ["https://models.corp.example/v1", "https://MODELS.corp.example:9/v1"]
    for url in (*allowed, "https://a.ai.example:8443"):
        assert network.sendable("key", url, hosts) == "key"
    for url in ("https://evil.example", "https://models.corp.example.evil.example",
                "https://models.corp.example@evil.example", "https://a.ai.example"):  # fmt: skip
        with pytest.raises(ConfigurationError, match="may not be sent") as caught:
            network.sendable("key", url, hosts)
        assert "PLATFORM_API_KEY_HOSTS" in str(caught.value)
    assert network.sendable(None, "https://evil.example", hosts) is None
    assert network.sendable("key", "https://anywhere.example", ()) == "key"
