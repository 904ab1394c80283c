"""Telling people: a webhook (Slack, Teams, PagerDuty or one's own), or an SNS topic.

The webhook's URL is a secret: whoever has it may write there. It appears in no message.
"""

import importlib
import json
from collections.abc import Mapping
from typing import Any

from platform_pipelines.core.knowledge_base.answer_declaration import TOPIC
from platform_pipelines.errors import (
    ConfigurationError,
    CredentialsError,
    PlatformError,
    SourceForbiddenError,
    SourceNotFoundError,
    UnavailableError,
)
from platform_pipelines.gateways.object_store import StoreOptions

SECONDS = 10.0
ATTEMPTS = 3
_SUBJECT_CHARACTERS = 100  # SNS refuses a longer one, and one with control characters
_REFUSALS: dict[str, type[PlatformError]] = {
    "NotFound": SourceNotFoundError,
    "AuthorizationError": SourceForbiddenError,
    "AccessDenied": SourceForbiddenError,
    "InvalidClientTokenId": CredentialsError,
    "SignatureDoesNotMatch": CredentialsError,
    "ExpiredToken": CredentialsError,
}


def send_webhook(url: str, record: Mapping[str, Any]) -> None:
    """POST the record as JSON; its `text` is what Slack and its likes show.

    Raises:
        UnavailableError: no answer, or 5xx, after some attempts.
        ConfigurationError: it is refused, or the URL is none.
    """
    import httpx

    transport = httpx.HTTPTransport(retries=ATTEMPTS - 1)
    try:
        with httpx.Client(timeout=SECONDS, transport=transport, trust_env=False) as client:
            reply = client.post(url, json=dict(record))
    except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
        raise _wrong("PLATFORM_NOTIFY_WEBHOOK is no http:// or https:// URL") from error
    except httpx.HTTPError as error:
        raise UnavailableError(
            f"the webhook does not answer ({type(error).__name__})", remedy="look at its server"
        ) from error
    if reply.status_code >= 500:
        raise UnavailableError(f"the webhook answers {reply.status_code}")
    if not reply.is_success:
        raise _wrong(f"the webhook refuses the message: {reply.status_code}")


def publish(topic: str, subject: str, record: Mapping[str, Any], options: StoreOptions) -> None:
    """Publish the record as JSON to an SNS topic, in the topic's own region.

    Raises:
        SourceNotFoundError, SourceForbiddenError, CredentialsError, UnavailableError,
        ConfigurationError: not the ARN of a topic.
    """
    if not TOPIC.fullmatch(topic):
        raise _wrong(f"{topic!r} is no ARN of an SNS topic")
    region = topic.split(":")[3]
    library: Any = importlib.import_module("boto3")
    failures: Any = importlib.import_module("botocore.exceptions")
    config: Any = importlib.import_module("botocore.config")
    try:
        client = library.client(
            "sns",
            region_name=region,
            aws_access_key_id=options.access_key,
            aws_secret_access_key=options.secret_key,
            aws_session_token=options.session_token,
            config=config.Config(
                connect_timeout=SECONDS, read_timeout=SECONDS, retries={"max_attempts": ATTEMPTS}
            ),
        )
        shown = "".join(c for c in subject if c.isascii() and c.isprintable())
        text = json.dumps(dict(record), ensure_ascii=False)
        client.publish(TopicArn=topic, Subject=shown[:_SUBJECT_CHARACTERS], Message=text)
        client.close()
    except failures.ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", ""))
        kind = _REFUSALS.get(code, UnavailableError)
        raise kind(f"the topic refuses the message: {code}", where=topic) from error
    except failures.BotoCoreError as error:
        raise UnavailableError(
            "SNS does not answer, or there are no credentials", where=topic, stored=str(error)
        ) from error


def _wrong(what: str) -> ConfigurationError:
    return ConfigurationError(
        what, where="evaluation.notify", remedy="check PLATFORM_NOTIFY_WEBHOOK, or the topic"
    )
