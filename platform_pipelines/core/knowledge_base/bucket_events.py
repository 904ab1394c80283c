"""What a message says of a bucket: which objects were made, changed or removed.

S3 writes to SQS directly (keys are URL-encoded, a plus is a space) or through EventBridge (keys are
plain). Source: AWS, "Event message structure" and "Amazon S3 Event Notifications with EventBridge".
Messages come twice, late or in another order, and some never come: they say that it is time to
look, never what is there.
"""

import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_plus

TEST_EVENT = "s3:TestEvent"


@dataclass(frozen=True, slots=True)
class BucketEvent:
    """An object that something happened to."""

    bucket: str
    key: str


@dataclass(frozen=True, slots=True)
class Read:
    """What was read of one message; `problem` says why it is not about a bucket at all."""

    events: tuple[BucketEvent, ...] = ()
    problem: str = ""


def read_message(body: str) -> Read:
    """The events of a message. S3's own test message has none, and no problem."""
    try:
        return Read(_events(json.loads(body)))
    except ValueError:
        return Read(problem="it is not JSON")
    except (KeyError, TypeError, AttributeError) as error:
        return Read(problem=f"it is no event of S3: {type(error).__name__}: {error}")


def _events(message: Any) -> tuple[BucketEvent, ...]:
    if message.get("Event") == TEST_EVENT:
        return ()
    if message.get("source") == "aws.s3":  # through EventBridge
        detail = message["detail"]
        return (BucketEvent(detail["bucket"]["name"], detail["object"]["key"]),)
    return tuple(_of_s3(one) for one in message["Records"])


def _of_s3(record: Any) -> BucketEvent:
    told = record["s3"]
    return BucketEvent(told["bucket"]["name"], unquote_plus(told["object"]["key"]))
