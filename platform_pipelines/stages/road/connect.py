"""Opening what every component has: its store, its lease, its release log.

Records of stores are the same as JSON, for worker processes: they travel over an inherited pipe,
never on a command line, and are not logged.
"""

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from platform_pipelines.gateways.object_store import ObjectStore, StoreOptions
from platform_pipelines.gateways.obstore_store import open_store

if TYPE_CHECKING:
    from platform_pipelines.gateways.clock import Clock
    from platform_pipelines.gateways.lease import Lease
    from platform_pipelines.gateways.release_log import ReleaseLog
    from platform_pipelines.settings import Secret, Settings

LEASE_SECONDS = 60.0

Progress = Callable[[str], None]


def open_platform_store(settings: "Settings") -> ObjectStore:
    """The root under which all components are."""
    return open_own_store(settings, settings.store_url)


def component_url(settings: "Settings", folder: str, name: str) -> str:
    """Where a component keeps what it made: `folder` is the component's, `name` the instance's."""
    return f"{settings.store_url.rstrip('/')}/{folder}/{name}"


def open_component_store(settings: "Settings", folder: str, name: str) -> ObjectStore:
    """The store of a component's instance.

    Raises:
        ConfigurationError: the store's URL is wrong.
    """
    return open_own_store(settings, component_url(settings, folder, name))


def open_own_store(settings: "Settings", url: str) -> ObjectStore:
    """A folder of this platform's own; made when it is not there."""
    options = store_options(settings)
    return open_store(url, options=options, create=True, named="PLATFORM_STORE_URL")


def store_record(settings: "Settings", url: str, *, create: bool) -> Mapping[str, object]:
    """A store, for a worker."""
    return {"url": url, "create": create, "options": store_options_record(settings)}


def open_from_record(record: str) -> ObjectStore:
    """The store of a record, in a worker."""
    values = json.loads(record)
    options = StoreOptions(**values["options"])
    return open_store(values["url"], options=options, create=values["create"])


def release_log(store: ObjectStore, name: str) -> "ReleaseLog":
    """The append-only log of a component."""
    from platform_pipelines.gateways.release_log import ReleaseLog

    return ReleaseLog(store, name)


def open_lease(
    settings: "Settings", store: ObjectStore, name: str, clock: "Clock", progress: Progress
) -> "Lease":
    """The right to write to a component's store."""
    from platform_pipelines.gateways.lease import Lease, LeaseOptions

    options = LeaseOptions(ttl_seconds=LEASE_SECONDS, wait_seconds=settings.lease_wait_seconds)
    return Lease(
        store, name, holder=settings.actor, clock=clock, options=options, progress=progress
    )


def store_options(settings: "Settings") -> StoreOptions:
    """How this platform's object store is reached."""
    return StoreOptions(**store_options_record(settings))


def store_options_record(settings: "Settings") -> dict[str, Any]:
    """The same as JSON."""
    s3 = settings.s3
    return {
        "endpoint": s3.endpoint,
        "region": s3.region,
        "path_style": s3.path_style,
        "access_key": plain_secret(s3.access_key),
        "secret_key": plain_secret(s3.secret_key),
        "session_token": plain_secret(s3.session_token),
    }


def plain_secret(secret: "Secret | None") -> str | None:
    """The value of a secret, None where there is none."""
    return secret.value if secret else None
