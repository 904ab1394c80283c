"""What messages of S3 and of EventBridge say, and what is none of theirs."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from platform_pipelines.core.knowledge_base.bucket_events import BucketEvent, read_message


def of_s3(*keys: str, bucket: str = "b") -> str:
    """As S3 writes to SQS: keys are URL-encoded."""
    records = [{"s3": {"bucket": {"name": bucket}, "object": {"key": key}}} for key in keys]
    return json.dumps({"Records": records})


def test_keys_of_s3_are_decoded() -> None:
    """A plus is a space, and Korean is UTF-8 in percents."""
    read = read_message(of_s3("docs/a+b.md", "docs/%ED%9C%B4%EA%B0%80.md", "docs/c%2Bd.md"))
    assert [one.key for one in read.events] == ["docs/a b.md", "docs/휴가.md", "docs/c+d.md"]
    assert read.problem == ""


def test_keys_of_eventbridge_are_plain() -> None:
    """Decoding them would make `a+b` another document."""
    detail = {"bucket": {"name": "b"}, "object": {"key": "docs/a+b.md"}}
    message = {"source": "aws.s3", "detail-type": "Object Created", "detail": detail}
    assert read_message(json.dumps(message)).events == (BucketEvent("b", "docs/a+b.md"),)


def test_the_first_message_of_a_notification_is_a_test() -> None:
    """It has no Records, and nothing is wrong with it."""
    read = read_message(json.dumps({"Service": "Amazon S3", "Event": "s3:TestEvent"}))
    assert (read.events, read.problem) == ((), "")


@pytest.mark.parametrize(
    "body",
    ["", "not json", "[]", '"text"', "null", "{}", '{"Records": 1}', '{"Records": [{}]}',
     '{"source": "aws.s3"}', '{"Records": [{"s3": {"bucket": {}}}]}', '{"Records": [null]}'],
)  # fmt: skip
def test_what_is_no_event_is_named_and_costs_nothing(body: str) -> None:
    """A stranger's message in the queue does not stop the sensor."""
    read = read_message(body)
    assert read.events == ()
    assert read.problem


@given(st.recursive(st.none() | st.integers() | st.text(max_size=5),
                    lambda inner: st.lists(inner, max_size=3)
                    | st.dictionaries(st.sampled_from(["Records", "s3", "source", "detail"]),
                                      inner, max_size=3)))  # fmt: skip
def test_no_message_raises(value: Any) -> None:
    """Whatever is in the queue."""
    read = read_message(json.dumps(value))
    assert read.events == () or read.problem == ""
