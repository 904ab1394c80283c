"""The IAM policies of `deploy/aws`, enforced by moto: they are enough, and all of it is needed."""

import json
import logging
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from platform_pipelines.errors import PlatformError
from platform_pipelines.gateways.event_queue import SqsQueue
from platform_pipelines.gateways.object_store import ObjectStore, StoreOptions
from platform_pipelines.gateways.obstore_store import open_store

AWS = Path(__file__).parents[2] / "deploy" / "aws"
REGION, ACCOUNT = "us-east-1", "123456789012"
NAMES = {"DOCUMENTS": "my-documents", "STORE": "my-store", "REGION": REGION, "ACCOUNT": ACCOUNT}


@dataclass(frozen=True)
class Cloud:
    """S3, SQS and IAM of moto."""

    endpoint: str

    def client(self, name: str) -> Any:
        import boto3

        return boto3.client(
            name, endpoint_url=self.endpoint, region_name=REGION, aws_access_key_id="test",
            aws_secret_access_key="test",
        )  # fmt: skip

    def ask(self, what: str, body: str = "") -> None:
        kind = {"Content-Type": "text/plain"}  # else moto reads a form
        address = f"{self.endpoint}/moto-api/{what}"
        request = urllib.request.Request(address, body.encode(), kind)
        with urllib.request.urlopen(request, timeout=10):
            pass

    def options(self, policy: dict[str, Any]) -> StoreOptions:
        """The keys of somebody who may do what the policy says, from now on enforced."""
        iam = self.client("iam")
        iam.create_user(UserName="pods")
        iam.put_user_policy(
            UserName="pods", PolicyName="theirs", PolicyDocument=json.dumps(for_moto(policy))
        )
        key = iam.create_access_key(UserName="pods")["AccessKey"]
        self.ask("reset-auth", "0")
        return StoreOptions(
            endpoint=self.endpoint, region=REGION, access_key=key["AccessKeyId"],
            secret_key=key["SecretAccessKey"],
        )  # fmt: skip


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    made = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    made.start()
    host, port = made.get_host_and_port()
    yield f"http://{host}:{port}"
    made.stop()


@pytest.fixture
def cloud(server: str) -> Iterator[Cloud]:
    """Two buckets with an object each, and the queue with a message; nobody else may anything."""
    made = Cloud(server)
    s3, sqs = made.client("s3"), made.client("sqs")
    for bucket in ("my-documents", "my-store"):
        s3.create_bucket(Bucket=bucket)
        s3.put_object(Bucket=bucket, Key="handbook/a.md", Body=b"# A")
    url = sqs.create_queue(QueueName="platform-documents")["QueueUrl"]
    sqs.send_message(QueueUrl=url, MessageBody="{}")
    yield made
    made.ask("reset-auth", "1e9")
    made.ask("reset")


def policy(name: str) -> dict[str, Any]:
    """With this account's names, and two of moto's own ways to ask.

    For a bulk delete it asks for `s3:DeleteObject` on the bucket, where AWS asks on each key; for
    DeleteMessageBatch it asks for an action of that name, where AWS asks for `sqs:DeleteMessage`.
    """
    text = (AWS / name).read_text(encoding="utf-8")
    for word, value in NAMES.items():
        text = text.replace(word, value)
    made: dict[str, Any] = json.loads(text)
    for statement in made["Statement"]:
        if statement["Sid"] == "KeepStore":
            statement["Resource"] = [statement["Resource"], "arn:aws:s3:::my-store"]
    return made


def for_moto(told: dict[str, Any]) -> dict[str, Any]:
    """Who may delete a message may delete several, as on AWS."""
    for statement in told["Statement"]:
        if "sqs:DeleteMessage" in _actions(statement):
            statement["Action"] = [*_actions(statement), "sqs:DeleteMessageBatch"]
    return told


def of_a_run(options: StoreOptions) -> None:
    """What a run and its tasks do: read documents; list, read, write and delete in the store."""
    documents = open_store("s3://my-documents/handbook", options=options)
    _listed(documents)
    documents.get("a.md")
    store = open_store("s3://my-store", options=options)
    _listed(store)
    store.get("handbook/a.md")
    store.put("handbook/b.md", b"# B")
    store.delete(["handbook/b.md"])


def of_the_code_location(options: StoreOptions) -> None:
    """What a sensor does: list documents, read the store, hear of events."""
    _listed(open_store("s3://my-documents/handbook", options=options))
    store = open_store("s3://my-store", options=options)
    _listed(store)
    store.get("handbook/a.md")
    queue = SqsQueue(f"{options.endpoint}/{ACCOUNT}/platform-documents", options)
    messages = queue.receive()
    assert messages
    queue.delete(messages)


def _listed(store: ObjectStore) -> None:
    assert [one.key for page in store.list_objects() for one in page]


USES: dict[str, Callable[[StoreOptions], None]] = {
    "iam-run.json": of_a_run,
    "iam-code.json": of_the_code_location,
}


def removed() -> Iterator[tuple[str, str, str]]:
    """Every action of every statement: file, statement, action."""
    for name in USES:
        for statement in policy(name)["Statement"]:
            for action in _actions(statement):
                yield name, statement["Sid"], action


def _actions(statement: dict[str, Any]) -> list[str]:
    told = statement["Action"]
    return [told] if isinstance(told, str) else list(told)


@pytest.mark.parametrize("name", USES)
def test_the_policy_is_enough(name: str, cloud: Cloud) -> None:
    """Everything that those pods do is allowed."""
    USES[name](cloud.options(policy(name)))


@pytest.mark.parametrize(("name", "sid", "action"), list(removed()))
def test_each_action_is_needed(name: str, sid: str, action: str, cloud: Cloud) -> None:
    """Without it, something that those pods do is refused, by an error of the platform's own."""
    less = policy(name)
    for statement in less["Statement"]:
        if statement["Sid"] == sid:
            statement["Action"] = [one for one in _actions(statement) if one != action]
    less["Statement"] = [one for one in less["Statement"] if one["Action"]]
    with pytest.raises(PlatformError, match=r"(?i)denied|forbidden|not authorized|refuse|may not"):
        USES[name](cloud.options(less))
