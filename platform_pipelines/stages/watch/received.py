"""Alerts that an Alertmanager posted: kept in the platform's store, the last word of each."""

import json
from collections.abc import Sequence

from platform_pipelines.core.watch.declaration import RollbackSpec
from platform_pipelines.core.watch.webhook import Received, firing_of, received_from
from platform_pipelines.errors import IntegrityError
from platform_pipelines.settings import Settings
from platform_pipelines.stages.road.connect import open_platform_store
from platform_pipelines.stages.watch.alerts import Firing

FOLDER = "alerts"


def keep_alerts(settings: Settings, alerts: Sequence[Received]) -> None:
    """Each under its fingerprint; what is over says so."""
    store = open_platform_store(settings)
    for one in alerts:
        store.put(f"{FOLDER}/{one.fingerprint}.json", one.to_json().encode())


def received_firing(settings: Settings, rule: RollbackSpec, *, now: float) -> Firing | None:
    """The firing that a rule is about, None while it is quiet.

    Raises:
        IntegrityError: a stored alert is damaged.
    """
    store = open_platform_store(settings)
    keys = sorted(one.key for page in store.list_objects(FOLDER) for one in page)
    alerts: list[Received] = []
    for fetched in store.get_many(keys):
        if fetched.error is not None:
            raise fetched.error
        try:
            alerts.append(received_from(json.loads(fetched.data)))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise IntegrityError(
                f"a stored alert is damaged: {error!r}",
                where=f"{store.url}/{fetched.key}",
                remedy="delete it: an alert that fires is posted again",
            ) from error
    found = firing_of(alerts, rule, now=now)
    return None if found is None else Firing(found.since, found.shown)
