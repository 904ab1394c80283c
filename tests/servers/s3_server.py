"""An S3 endpoint for tests: a real server when one is named, else moto in this process.

Set PP_TEST_S3_ENDPOINT, PP_TEST_S3_KEY and PP_TEST_S3_SECRET to run the tests on a real server.
"""

import atexit
import functools
import logging
import os
import uuid
from dataclasses import dataclass
from typing import Any

from platform_pipelines.gateways.object_store import StoreOptions

REGION = "us-east-1"


@dataclass(frozen=True)
class S3Server:
    """Where an S3 server answers, and buckets on it."""

    endpoint: str
    key: str
    secret: str

    @property
    def is_moto(self) -> bool:
        """Whether it is moto, which checks no signature."""
        return bool(self._header("server").startswith("Werkzeug"))

    @property
    def keeps_conditions(self) -> bool:
        """Whether conditional writes mean what they mean on S3.

        versitygw 1.7 checks, then writes (of 100 races of eight writers, 11 had two winners with
        If-Match and 5 with If-None-Match), and takes a delete marker for an object.
        """
        return not self._header("server").upper().startswith("VERSITYGW")

    def _header(self, name: str) -> str:
        import urllib.error
        import urllib.request

        try:
            with urllib.request.urlopen(self.endpoint, timeout=5) as answer:
                return answer.headers.get(name, "")
        except urllib.error.HTTPError as refused:
            with refused:
                return refused.headers.get(name, "")

    @property
    def options(self) -> StoreOptions:
        """How the product reaches this server."""
        return StoreOptions(
            endpoint=self.endpoint, region=REGION, access_key=self.key, secret_key=self.secret
        )

    def client(self) -> Any:
        """A boto3 client, for what a test does behind the product's back; close it."""
        import boto3

        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            aws_access_key_id=self.key,
            aws_secret_access_key=self.secret,
            region_name=REGION,
        )

    def make_bucket(self, *, versioned: bool = False) -> str:
        """A new bucket of a name that no other test has."""
        name = f"test-{uuid.uuid4().hex[:20]}"
        client = self.client()
        try:
            client.create_bucket(Bucket=name)
            if versioned:
                client.put_bucket_versioning(
                    Bucket=name, VersioningConfiguration={"Status": "Enabled"}
                )
        finally:
            client.close()
        return name


@functools.cache
def s3_server() -> S3Server:
    """The one server of this test process; stopped when the process ends."""
    endpoint = os.environ.get("PP_TEST_S3_ENDPOINT")
    if endpoint:
        return S3Server(endpoint, os.environ["PP_TEST_S3_KEY"], os.environ["PP_TEST_S3_SECRET"])
    return _moto()


def _moto() -> S3Server:
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    atexit.register(server.stop)
    host, port = server.get_host_and_port()
    return S3Server(f"http://{host}:{port}", "test", "testsecret")
