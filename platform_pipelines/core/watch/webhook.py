"""What an Alertmanager posts (webhook, version 4): alerts that fire, and those that are over.

Source: Prometheus, "Alerting: configuration", `webhook_config`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from platform_pipelines.core.road.identity import canonical_json
from platform_pipelines.core.watch.declaration import RollbackSpec
from platform_pipelines.errors import ConfigurationError

VERSION = "4"
MOST_ALERTS = 1000
REMEMBERED_SECONDS = 24 * 3600  # a firing alert is posted again long before (`repeat_interval`)


@dataclass(frozen=True, slots=True)
class Received:
    """One alert, as it was last posted. Times are seconds of the epoch."""

    fingerprint: str
    is_firing: bool
    labels: Mapping[str, str]
    since: float
    at: float  # when it was posted

    def to_json(self) -> str:
        """As it is stored."""
        return canonical_json(
            {
                "fingerprint": self.fingerprint, "is_firing": self.is_firing,
                "labels": dict(self.labels), "since": self.since, "at": self.at,
            }
        )  # fmt: skip

    @property
    def shown(self) -> str:
        """Its labels, for people."""
        return ", ".join(f"{k}={v}" for k, v in sorted(self.labels.items()))


def received_from(raw: Mapping[str, Any]) -> Received:
    """The inverse of `Received.to_json`, parsed.

    Raises:
        ValueError, KeyError, TypeError: it is none.
    """
    labels = {str(k): str(v) for k, v in raw["labels"].items()}
    return Received(
        str(raw["fingerprint"]), bool(raw["is_firing"]), labels, float(raw["since"]),
        float(raw["at"]),
    )  # fmt: skip


def parse_webhook(body: Mapping[str, Any], *, now: float) -> list[Received]:
    """The alerts of a post.

    Raises:
        ConfigurationError: it is none of version 4, or an alert has no fingerprint or time.
    """
    alerts = body.get("alerts")
    if body.get("version") != VERSION or not isinstance(alerts, list):
        raise ConfigurationError(
            "no post of an Alertmanager", where="/v1/alerts", stored=body.get("version"),
            expected=f"version {VERSION} with `alerts`",
        )  # fmt: skip
    if len(cast("list[Any]", alerts)) > MOST_ALERTS:
        raise ConfigurationError("too many alerts in a post", expected=f"<= {MOST_ALERTS}")
    return [_alert(one, now) for one in cast("list[Any]", alerts)]


def firing_of(alerts: Iterable[Received], rule: RollbackSpec, *, now: float) -> Received | None:
    """The longest firing of the alert that a rule names; None while it is quiet."""
    wanted = {"alertname": rule.alert, **rule.labels}
    found = [
        one
        for one in alerts
        if one.is_firing
        and now - one.at <= REMEMBERED_SECONDS
        and all(one.labels.get(name) == value for name, value in wanted.items())
    ]
    return min(found, key=lambda one: one.since, default=None)


def _alert(raw: Any, now: float) -> Received:
    try:
        fields = cast("Mapping[str, Any]", raw)
        fingerprint, status = str(fields["fingerprint"]), str(fields["status"])
        since = datetime.fromisoformat(str(fields["startsAt"]))
        labels = {str(k): str(v) for k, v in fields["labels"].items()}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ConfigurationError(
            f"an alert of a post is damaged: {error!r}", where="/v1/alerts"
        ) from error
    if not fingerprint.isalnum() or status not in ("firing", "resolved"):
        raise ConfigurationError(
            "an alert has no fingerprint or no status", where="/v1/alerts", stored=status
        )
    return Received(fingerprint, status == "firing", labels, since.timestamp(), now)
