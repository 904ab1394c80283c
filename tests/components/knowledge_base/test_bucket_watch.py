"""The sensor of a bucket whose events come through a queue: S3 and SQS are moto's."""

import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import dagster as dg
import pytest

from platform_pipelines.components.knowledge_base.automation import build_refresh_job
from platform_pipelines.components.knowledge_base.watching import build_sensor
from platform_pipelines.errors import (
    ConfigurationError,
    SourceNotFoundError,
    UnavailableError,
)
from platform_pipelines.gateways.event_queue import SqsQueue
from platform_pipelines.gateways.object_store import StoreOptions
from platform_pipelines.settings import S3Settings, Secret, Settings
from tests.declared import resources_of
from tests.fakes import FakeClock
from tests.knowledge import Knowledge
from tests.servers.milvus_server import free_port

REGION = "us-east-1"


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@dataclass
class Bucket:
    """A bucket that notifies a queue, and the sensor of the knowledge base that reads it."""

    knowledge: Knowledge
    clients: dict[str, Any]
    queue: str
    instance: dg.DagsterInstance
    clock: FakeClock
    resources: dict[str, Any]
    cursor: str | None = None

    def put(self, key: str, text: str = "# A\n\nText.") -> None:
        self.clients["s3"].put_object(Bucket="docs", Key=key, Body=text.encode())

    def send(self, body: Any) -> None:
        text = body if isinstance(body, str) else json.dumps(body)
        self.clients["sqs"].send_message(QueueUrl=self.queue, MessageBody=text)

    def left(self) -> int:
        """Messages that are still there, seen or not."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        told = self.clients["sqs"].get_queue_attributes(QueueUrl=self.queue, AttributeNames=names)
        return sum(int(told["Attributes"][name]) for name in names)

    def lose(self) -> None:
        """What happens to messages sometimes."""
        self.clients["sqs"].purge_queue(QueueUrl=self.queue)

    def tick(self) -> Any:
        spec = self.knowledge.spec
        sensor = build_sensor(spec, build_refresh_job(spec), clock=self.clock)
        context = dg.build_sensor_context(
            instance=self.instance, cursor=self.cursor, resources=self.resources
        )
        seen = sensor.evaluate_tick(context)
        self.cursor = seen.cursor or self.cursor
        return seen


@pytest.fixture
def bucket(endpoint: str, knowledge: Knowledge, settings: Settings) -> Iterator[Bucket]:
    import boto3

    known = {
        "endpoint_url": endpoint, "region_name": REGION, "aws_access_key_id": "test",
        "aws_secret_access_key": "testsecret",
    }  # fmt: skip
    clients: dict[str, Any] = {n: boto3.client(n, **known) for n in ("s3", "sqs")}
    clients["s3"].create_bucket(Bucket="docs")
    queue = clients["sqs"].create_queue(QueueName="events")["QueueUrl"]
    arn = clients["sqs"].get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])
    notify = {
        "QueueArn": arn["Attributes"]["QueueArn"],
        "Events": ["s3:ObjectCreated:*", "s3:ObjectRemoved:*"],
    }
    s3 = S3Settings(
        endpoint=endpoint, region=REGION, access_key=Secret("test"), secret_key=Secret("testsecret")
    )
    source = {
        "url": "s3://docs/handbook", "shards": 2, "exclude": ["drafts/*"],
        "events": {"queue": queue, "listing_minutes": 30},
    }  # fmt: skip
    with dg.DagsterInstance.ephemeral() as instance:
        made = Bucket(
            knowledge.declared(source=source), clients, queue, instance,
            FakeClock(datetime.now(UTC)), resources_of(replace(settings, s3=s3)),
        )  # fmt: skip
        made.put("handbook/first.md")
        clients["s3"].put_bucket_notification_configuration(
            Bucket="docs", NotificationConfiguration={"QueueConfigurations": [notify]}
        )
        yield made
    for one in clients["s3"].list_objects_v2(Bucket="docs").get("Contents", []):
        clients["s3"].delete_object(Bucket="docs", Key=one["Key"])
    clients["s3"].delete_bucket(Bucket="docs")
    clients["sqs"].delete_queue(QueueUrl=queue)
    for client in clients.values():
        client.close()


def test_an_event_of_the_source_asks_for_a_refresh(bucket: Bucket) -> None:
    """The first look lists; then S3's own message of a document does, and is deleted."""
    assert len(bucket.tick().run_requests) == 1
    assert bucket.left() == 0, "the test message of S3 is read and deleted"
    assert "no document" in bucket.tick().skip_message
    bucket.put("handbook/휴가 규정+1.md")
    assert bucket.left() == 1
    assert len(bucket.tick().run_requests) == 1
    assert bucket.left() == 0
    assert "no document" in bucket.tick().skip_message


def test_what_is_not_of_the_source_is_deleted_and_nothing_is_listed(bucket: Bucket) -> None:
    """Another prefix, what is left out, another bucket, a stranger's message."""
    bucket.tick()
    bucket.put("policies/a.md")
    bucket.put("handbook/drafts/b.md")
    bucket.send(
        {"Records": [{"s3": {"bucket": {"name": "other"}, "object": {"key": "handbook/c"}}}]}
    )
    bucket.send("what is this")
    before = bucket.cursor
    bucket.clock.advance(60)
    assert bucket.tick().run_requests == []
    assert bucket.cursor == before, "the bucket was not listed"
    assert bucket.left() == 0


def test_messages_twice_and_out_of_order_ask_once(bucket: Bucket) -> None:
    """They say that it is time to look, never what is there."""
    bucket.tick()
    bucket.put("handbook/a.md")
    key = {"s3": {"bucket": {"name": "docs"}, "object": {"key": "handbook/a.md"}}}
    for _ in range(12):
        bucket.send({"Records": [key]})
    assert len(bucket.tick().run_requests) == 1
    bucket.send({"Records": [key]})
    assert bucket.tick().run_requests == []


def test_a_lost_message_is_healed_by_the_periodic_listing(bucket: Bucket) -> None:
    """No later than the declared minutes."""
    bucket.tick()
    bucket.put("handbook/lost.md")
    bucket.lose()
    bucket.clock.advance(29 * 60)
    assert bucket.tick().run_requests == []
    bucket.clock.advance(60)
    assert len(bucket.tick().run_requests) == 1
    bucket.clock.advance(60)
    assert bucket.tick().run_requests == []


def test_a_tick_that_dies_before_its_end_loses_nothing(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Messages are deleted last: until then they come again."""
    bucket.tick()
    bucket.put("handbook/a.md")

    def dies(*_: Any) -> Any:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(SqsQueue, "delete", dies)
        with pytest.raises(KeyboardInterrupt):
            bucket.tick()
    assert bucket.left() == 1


def test_a_queue_that_is_not_there_fails_the_tick(bucket: Bucket, endpoint: str) -> None:
    """Named, with what to allow; a queue that does not answer is looked at again later."""
    gone = SqsQueue(
        f"{endpoint}/123456789012/gone",
        StoreOptions(region=REGION, access_key="test", secret_key="testsecret"),
    )
    with pytest.raises(SourceNotFoundError, match="gone"):
        gone.receive()
    options = StoreOptions(region=REGION, access_key="test", secret_key="testsecret")
    away = SqsQueue(f"http://127.0.0.1:{free_port()}/1/q", options)
    with pytest.raises(UnavailableError, match="does not answer"):
        away.receive()
    with pytest.raises(ConfigurationError, match=r"source\.events\.queue"):
        SqsQueue("events", StoreOptions())


def test_events_go_with_a_bucket(knowledge: Knowledge) -> None:
    """A folder has none."""
    source = {"url": "documents", "events": {"queue": "https://sqs.eu-west-1.amazonaws.com/1/q"}}
    with pytest.raises(ConfigurationError, match="goes with an `s3://` source"):
        knowledge.declared(source=source).spec  # noqa: B018
