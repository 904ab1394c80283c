"""The identity of the platform's store: made by the first writer, checked by every later one.

Reading never needs it.
"""

import uuid

from platform_pipelines.core.road.ownership import (
    UNKNOWN,
    StoreIdentity,
    identity_from_json,
    store_address,
)
from platform_pipelines.errors import ConflictError, IntegrityError, hide_user
from platform_pipelines.gateways.clock import Clock
from platform_pipelines.gateways.object_store import ObjectStore
from platform_pipelines.settings import Settings
from platform_pipelines.stages.road.connect import open_platform_store

KEY = "identity.json"  # at the root of the platform's store


def own_identity(settings: Settings, clock: Clock) -> StoreIdentity:
    """Who writes here; made when there is none yet.

    Raises:
        OwnershipError: the store is a copy of another one, or was moved.
        IntegrityError: the identity is damaged.
    """
    store = open_platform_store(settings)
    found = _read(store)
    if found is None:
        made = _new(settings, clock, copy_of=None)
        try:
            store.put(KEY, made.to_json().encode(), if_absent=True)
            found = made
        except ConflictError:  # another run was first
            found = _read(store)
            assert found is not None
    found.require_at(_address(settings))
    return found


def known_identity(settings: Settings) -> StoreIdentity | None:
    """The identity as it is stored, wherever it was made; None before the first write.

    Raises:
        IntegrityError: it is damaged.
    """
    return _read(open_platform_store(settings))


def take_identity(settings: Settings, clock: Clock, *, moved: bool) -> StoreIdentity:
    """Let the store write again: a moved one keeps its owner, a copy gets a new one.

    Safe to repeat when moved. Another new identity each time otherwise: what was made under the one
    before is then another owner's.
    """
    store = open_platform_store(settings)
    try:
        found = _read(store)
    except IntegrityError:  # damaged: nobody knows whose it was
        found = None
        moved = False
    if moved and found is not None:
        taken = StoreIdentity(found.owner, _address(settings), _now(clock), found.copy_of)
    elif moved:
        taken = _new(settings, clock, copy_of=None)
    else:
        taken = _new(settings, clock, copy_of=found.owner if found else UNKNOWN)
    store.put(KEY, taken.to_json().encode())
    return taken


def _read(store: ObjectStore) -> StoreIdentity | None:
    if store.head(KEY) is None:
        return None
    data, _ = store.get(KEY)
    return identity_from_json(data, where=f"{store.url}/{KEY}")


def _new(settings: Settings, clock: Clock, *, copy_of: str | None) -> StoreIdentity:
    return StoreIdentity(uuid.uuid4().hex, _address(settings), _now(clock), copy_of)


def _address(settings: Settings) -> str:
    return store_address(hide_user(settings.store_url))


def _now(clock: Clock) -> str:
    return clock.now().isoformat(timespec="seconds")
