"""Opening what every component has: its store, its lease, its release log."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from platform_pipelines.errors import ConfigurationError
from platform_pipelines.gateways.object_store import ObjectStore, StoreOptions
from platform_pipelines.gateways.obstore_store import open_store
from platform_pipelines.stages.road.access import store_options

if TYPE_CHECKING:
    from platform_pipelines.gateways.clock import Clock
    from platform_pipelines.gateways.lease import Lease
    from platform_pipelines.gateways.release_log import ReleaseLog
    from platform_pipelines.settings import Settings

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


def open_source(settings: "Settings", url: str, *, named: str = "url") -> ObjectStore:
    """What others write and we read: a missing folder is an error, not an empty one.

    Raises:
        ConfigurationError: the URL is wrong, or not below one of PLATFORM_SOURCES.
    """
    store = open_store(url, options=StoreOptions(**store_options(settings)), named=named)
    allowed = [open_store(one, named="PLATFORM_SOURCES").url for one in settings.sources]
    if allowed and not any(f"{store.url}/".startswith(f"{one}/") for one in allowed):
        raise ConfigurationError(
            "this source is not allowed here",
            where=named,
            stored=store.url,
            expected=f"below {' or '.join(allowed)}",
            remedy="declare another source, or have whoever runs this platform allow it",
        )
    return store


def open_own_store(settings: "Settings", url: str) -> ObjectStore:
    """A folder of this platform's own; made when it is not there."""
    options = StoreOptions(**store_options(settings))
    return open_store(url, options=options, create=True, named="PLATFORM_STORE_URL")


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
