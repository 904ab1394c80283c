"""What chooses a question's model: the tiers that are live, or the experiment that assigns it."""

import re

from platform_pipelines.core.road.assignments import FILE, Assignment, assignment_from_json
from platform_pipelines.core.road.declarations import NAME_PATTERN
from platform_pipelines.core.road.manifests import revision_from_json
from platform_pipelines.core.road.releases import current
from platform_pipelines.core.road.tiers import POLICY_FILE, TierPolicy, policy_from_json
from platform_pipelines.errors import ConfigurationError
from platform_pipelines.settings import Settings
from platform_pipelines.stages.road.applied import manifests_key
from platform_pipelines.stages.road.connect import (
    open_component_store,
    open_platform_store,
    release_log,
)

CATALOGUES, EXPERIMENTS = "model_catalogue", "experiment"


def live_choice(settings: Settings, name: str) -> TierPolicy | Assignment | None:
    """What a declared model's name stands for, if it is no model's.

    Raises:
        ConfigurationError: two live catalogues have tiers of this name.
    """
    return live_assignment(settings, name) or live_tiers(settings, name)


def live_assignment(settings: Settings, name: str) -> Assignment | None:
    """The assignment of an experiment, as its last verdict left it; None: there is none."""
    if not re.fullmatch(NAME_PATTERN, name):
        return None
    store, key = open_platform_store(settings), f"{EXPERIMENTS}/{name}/{FILE}"
    if not store.exists(key):
        return None
    return assignment_from_json(store.get(key)[0], where=f"{store.url}/{key}")


def live_tiers(settings: Settings, name: str) -> TierPolicy | None:
    """The tiers that callers know by this name; None: no live catalogue has them.

    Raises:
        ConfigurationError: two live catalogues have them.
    """
    found = {
        catalogue: policy
        for catalogue in _catalogues(settings)
        if (policy := _policy(settings, catalogue)) is not None and policy.name == name
    }
    if len(found) > 1:
        raise ConfigurationError(
            f"two live catalogues have tiers called {name!r}",
            stored=", ".join(sorted(found)),
            remedy="give one of them another `tiers.name`",
        )
    return next(iter(found.values()), None)


def _catalogues(settings: Settings) -> list[str]:
    store = open_platform_store(settings)
    keys = (one.key for batch in store.list_objects(CATALOGUES) for one in batch)
    parts = (key.split("/") for key in keys)
    return sorted({one[1] for one in parts if len(one) > 2 and one[2] == "releases"})


def _policy(settings: Settings, catalogue: str) -> TierPolicy | None:
    store = open_component_store(settings, CATALOGUES, catalogue)
    live = current(release_log(store, catalogue).entries())
    if live is None:
        return None
    key = manifests_key(live.target)
    revision = revision_from_json(store.get(key)[0], where=f"{store.url}/{key}")
    for manifest in revision.manifests:
        text = (manifest.get("data") or {}).get(POLICY_FILE)
        if manifest["kind"] == "ConfigMap" and text is not None:
            return policy_from_json(text, where=revision.digest)
    return None
