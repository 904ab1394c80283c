"""What is live is evaluated by its job: a regression fails the check, tells people, rolls back."""

import json
import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from platform_pipelines.errors import PlatformError
from platform_pipelines.gateways.notifications import publish, send_webhook
from platform_pipelines.gateways.object_store import StoreOptions
from platform_pipelines.settings import Secret, Settings
from tests.declared import definitions_of, use_settings
from tests.knowledge import Knowledge, golden_lines, guide, new_knowledge
from tests.servers.chat_server import ChatServer

pytestmark = pytest.mark.answers
REGION, GUIDES = "ap-northeast-2", range(10)
NAME = "watched"


@pytest.fixture
def sns(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """moto's SNS and SQS."""
    import boto3
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    monkeypatch.setenv("AWS_ENDPOINT_URL_SNS", url)
    known = {
        "endpoint_url": url, "region_name": REGION, "aws_access_key_id": "test",
        "aws_secret_access_key": "test",
    }  # fmt: skip
    yield {name: boto3.client(name, **known) for name in ("sns", "sqs")}
    server.stop()


@pytest.fixture
def topic(sns: Any) -> tuple[str, str]:
    """A topic, and the queue that is subscribed to it."""
    arn = sns["sns"].create_topic(Name="alerts")["TopicArn"]
    queue = sns["sqs"].create_queue(QueueName="alerts")["QueueUrl"]
    of = sns["sqs"].get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])
    sns["sns"].subscribe(TopicArn=arn, Protocol="sqs", Endpoint=of["Attributes"]["QueueArn"])
    return arn, queue


@pytest.fixture
def hook() -> Iterator[ChatServer]:
    """A webhook: what it gets is kept."""
    with ChatServer(lambda body: (200, {"ok": True})) as server:
        yield server


def run_evaluation(knowledge: Knowledge, instance: dg.DagsterInstance) -> Any:
    with definitions_of(knowledge) as defs:
        job = defs.resolve_job_def(f"{NAME}_evaluation")
        return job.execute_in_process(instance=instance, raise_on_error=False)


def test_a_regression_fails_the_check_tells_people_and_rolls_back(
    tmp_path: Path, settings: Settings, sns: Any, topic: tuple[str, str], hook: ChatServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """As declared: a webhook and a topic, and the revision before is live again."""
    arn, queue = topic
    one_vague = golden_lines(GUIDES).replace("What is the quota of pool number 3?", "What is it?")
    (tmp_path / "golden.jsonl").write_text(one_vague, encoding="utf-8")
    here = replace(settings, notify_webhook=Secret(hook.url))
    good = new_knowledge(
        tmp_path / "kb", here, guides=GUIDES, name=NAME,
        gate={"golden_set": (tmp_path / "golden.jsonl").as_uri(), "floors": {"hit_at_k": 0.5}},
        evaluation={"roll_back": True, "notify": ["webhook", arn]},
    )  # fmt: skip
    use_settings(monkeypatch, settings)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("PLATFORM_NOTIFY_WEBHOOK", hook.url)
    good.refresh()
    first = good.log()[-1].revision
    (good.documents / "guide77.md").write_text(guide(77), encoding="utf-8")
    good.refresh()
    with dg.DagsterInstance.ephemeral() as instance:
        well = run_evaluation(good, instance)
        (check,) = well.get_asset_check_evaluations()
        assert (well.success, check.passed) == (True, True)
        assert hook.requests == []
        worse = good.declared(gate={**good.attributes["gate"], "floors": {"mrr": 0.9999}})
        ill = run_evaluation(worse, instance)
        (check,) = ill.get_asset_check_evaluations()
        assert not check.passed
        assert check.severity is dg.AssetCheckSeverity.ERROR
        page = ill.asset_materializations_for_node(f"{NAME}__evaluation")[0].metadata
    assert good.log()[-1].revision == first
    (told,) = hook.requests
    assert told["text"].startswith(f"{NAME}: what is live fails its evaluation: mrr is ")
    assert told["rolled_back_to"] == first
    (message,) = sns["sqs"].receive_message(QueueUrl=queue)["Messages"]
    published = json.loads(message["Body"])
    assert published["Subject"] == f"{NAME}: evaluation failed"
    assert json.loads(published["Message"]) == told
    assert "| webhook | sent |" in str(page["people_told"].value)
    assert page["mrr_since_release"].value == 0.0
    assert 0.5 < page["mrr"].value < 1.0  # Dagster plots numbers of an asset over time


def test_what_cannot_be_told_loses_no_evaluation(
    sns: Any, hook: ChatServer, topic: tuple[str, str]
) -> None:
    """Each failure is typed, and no message holds the webhook's URL."""
    options = StoreOptions(access_key="test", secret_key="test")
    missing = topic[0].replace("alerts", "gone")
    hook.script = lambda body: (503, {})
    attempts = (
        lambda: publish(missing, "s", {}, options),
        lambda: publish("arn:aws:s3:::bucket", "s", {}, options),
        lambda: send_webhook(hook.url, {}),
        lambda: send_webhook("http://127.0.0.1:1/secret", {}),
        lambda: send_webhook("nothing", {}),
    )
    for attempt in attempts:
        with pytest.raises(PlatformError) as caught:
            attempt()
        assert "secret" not in str(caught.value)
        assert hook.url not in str(caught.value)
