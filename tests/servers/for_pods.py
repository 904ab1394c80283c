"""S3 and Milvus of this machine at the address that pods of the test cluster reach it by.

`PP_TEST_HOST` is that address (10.231.0.1 on the cluster of `make cluster-test`). Both servers are
the real ones: S3 by `PP_TEST_S3_SERVER`, a program that takes a folder and ADDRESS:PORT, else moto;
Milvus 2.3.5 listens on all interfaces whatever it is told.
"""

import os
import subprocess
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from platform_pipelines.errors import SourceNotFoundError
from platform_pipelines.gateways.cluster.connection import Connection
from platform_pipelines.settings import S3Settings, Secret, Settings
from tests.servers.milvus_server import free_port, milvus_server, wait_until
from tests.servers.s3_server import REGION, S3Server

HOST = os.environ.get("PP_TEST_HOST", "10.231.0.1")
IMAGE = os.environ.get("PP_TEST_IMAGE", "testcluster.local/platform:1")
CONFIG = "platform"  # the ConfigMap and the Secret of task pods


@contextmanager
def s3_for_pods(folder: Path) -> Iterator[S3Server]:
    """A new, empty S3 server."""
    address = f"{HOST}:{free_port()}"
    named = os.environ.get("PP_TEST_S3_SERVER")
    if named:
        process = subprocess.Popen(
            [named, str(folder), address], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        server = S3Server(f"http://{address}", "test", "testsecret")
        try:
            wait_until(lambda: _answers(server), seconds=30)
            yield server
        finally:
            process.terminate()
            process.wait(10)
        return
    from moto.server import ThreadedMotoServer

    moto = ThreadedMotoServer(HOST, int(address.rpartition(":")[2]), verbose=False)
    moto.start()
    yield S3Server(f"http://{address}", "test", "testsecret")
    moto.stop()


def _answers(server: S3Server) -> bool:
    client = server.client()
    with suppress(Exception):
        client.list_buckets()
        return True
    return False


def milvus_for_pods() -> str:
    """Where pods find Milvus, emptied: what another test's platform left there is not ours."""
    from pymilvus import MilvusClient

    client = MilvusClient(milvus_server())
    try:
        for collection in client.list_collections():
            for alias in client.list_aliases(collection)["aliases"]:
                client.drop_alias(alias)
            client.drop_collection(collection)
    finally:
        client.close()
    return milvus_server().replace("127.0.0.1", HOST)


def settings_for_pods(home: Path, server: S3Server, **more: Any) -> Settings:
    """A platform whose store and vectors are reached from here and from pods alike."""
    bucket = server.make_bucket()
    return Settings(
        home=home,
        store_url=f"s3://{bucket}/platform",
        model_dir=home.parent / "models",
        milvus_uri=milvus_for_pods(),
        s3=S3Settings(
            endpoint=server.endpoint,
            region=REGION,
            access_key=Secret(server.key),
            secret_key=Secret(server.secret),
        ),
        **more,
    )


@dataclass(frozen=True)
class Space:
    """One namespace of the cluster, restricted."""

    connection: Connection
    name: str

    @property
    def path(self) -> str:
        """Of its core objects."""
        return f"/api/v1/namespaces/{self.name}"

    def give(self, settings: Settings) -> None:
        """What task pods need to know, as their ConfigMap and their Secret."""
        assert settings.s3.access_key is not None
        assert settings.s3.secret_key is not None
        known = {
            "PLATFORM_STORE_URL": settings.store_url,
            "PLATFORM_MILVUS_URI": settings.milvus_uri or "",
            "PLATFORM_S3_ENDPOINT": settings.s3.endpoint or "",
            "PLATFORM_S3_REGION": settings.s3.region or "",
            "PLATFORM_WORKERS": "1",
        }
        secret = {
            "PLATFORM_S3_ACCESS_KEY": settings.s3.access_key.value,
            "PLATFORM_S3_SECRET_KEY": settings.s3.secret_key.value,
        }
        self.create("configmaps", {"kind": "ConfigMap", "data": known}, CONFIG)
        self.create("secrets", {"kind": "Secret", "stringData": secret}, CONFIG)

    def create(
        self, kind: str, body: dict[str, Any], name: str, *, labels: Mapping[str, str] | None = None
    ) -> None:
        """An object of the core API."""
        metadata = {"name": name, "namespace": self.name, "labels": dict(labels or {})}
        whole = {"apiVersion": "v1", **body, "metadata": metadata}
        strict = {"fieldValidation": "Strict"}
        self.connection.request("POST", f"{self.path}/{kind}", query=strict, body=whole)

    def run(
        self, spec: dict[str, Any], *, seconds: float, labels: Mapping[str, str] | None = None
    ) -> str:
        """Run a pod to its end; what it printed."""
        name = f"once-{uuid.uuid4().hex[:8]}"
        self.create("pods", {"kind": "Pod", "spec": spec}, name, labels=labels)
        wait_until(lambda: self._phase(name) in ("Succeeded", "Failed"), seconds=seconds)
        text = self.log(name)
        assert self._phase(name) == "Succeeded", text
        return text

    def log(self, pod: str) -> str:
        """What a pod printed."""
        from kubernetes import client

        # As bytes: the client makes a Python dict of what looks like JSON, and text of that.
        core = client.CoreV1Api(self.connection.client)
        answer = core.read_namespaced_pod_log(pod, self.name, _preload_content=False)
        return answer.data.decode("utf-8", "replace")

    def address(self, service: str) -> str:
        """Of a Service's first port, from here."""
        found = self.connection.request("GET", f"{self.path}/services/{service}")["spec"]
        return f"http://{found['clusterIP']}:{found['ports'][0]['port']}"

    def pods(self) -> list[dict[str, Any]]:
        """All that are known."""
        return self.connection.request("GET", f"{self.path}/pods")["items"]

    def jobs(self) -> list[dict[str, Any]]:
        """All that are known."""
        path = f"/apis/batch/v1/namespaces/{self.name}/jobs"
        return self.connection.request("GET", path)["items"]

    def pod(self, name: str) -> dict[str, Any]:
        """One pod."""
        return self.connection.request("GET", f"{self.path}/pods/{name}")

    def ip_of(self, component: str) -> str:
        """The address of a pod of one of the chart's processes."""
        query = {"labelSelector": f"app.kubernetes.io/component={component}"}
        found = self.connection.request("GET", f"{self.path}/pods", query=query)["items"]
        return str(next(p["status"]["podIP"] for p in found if p["status"]["phase"] == "Running"))

    def _phase(self, pod: str) -> str:
        return str(self.pod(pod)["status"]["phase"])


@contextmanager
def restricted_namespace(connection: Connection, name: str) -> Iterator[Space]:
    """A namespace that enforces Pod Security `restricted`; gone afterwards."""
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    body = {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": name, "labels": labels},
    }
    path = f"/api/v1/namespaces/{name}"

    def gone() -> bool:
        try:
            connection.request("GET", path)
        except SourceNotFoundError:
            return True
        return False

    if not gone():  # of a test that was killed
        connection.request("DELETE", path)
        wait_until(gone, seconds=180)
    connection.request("POST", "/api/v1/namespaces", body=body)
    try:
        yield Space(connection, name)
    finally:
        connection.request("DELETE", path)
        wait_until(gone, seconds=180)
