"""Golden sets that have a name: where their versions are, for all that ask their questions."""

import json

from platform_pipelines.core.road.snapshot import Snapshot
from platform_pipelines.errors import EvidenceError, UnknownNameError
from platform_pipelines.gateways.object_store import ObjectStore
from platform_pipelines.settings import Settings
from platform_pipelines.stages.road.connect import open_component_store
from platform_pipelines.stages.road.workspace import read_head

FOLDER = "golden_sets"  # of the platform's store
STAGE = "questions"


def open_golden_store(settings: Settings, name: str) -> ObjectStore:
    """Where a golden set keeps its versions."""
    return open_component_store(settings, FOLDER, name)


def version_key(digest: str) -> str:
    """Where one version of a golden set is."""
    return f"{STAGE}/{digest}.jsonl"


def answerable_lines(text: str) -> str:
    """Those questions of a version that have an answer."""
    return "\n".join(line for line in text.split("\n") if line and json.loads(line)["answerable"])


def read_version(settings: Settings, name: str) -> tuple[Snapshot, str, str]:
    """The newest version of a golden set: its snapshot, its JSON Lines, and its address.

    Raises:
        UnknownNameError: no such golden set was made yet.
        EvidenceError: the version's file is gone.
    """
    store = open_golden_store(settings, name)
    head = read_head(store, STAGE)
    if head is None:
        raise UnknownNameError(
            f"there is no golden set {name!r} yet", where=store.url,
            remedy=f"run the job {name}_golden_set, or correct the name",
        )  # fmt: skip
    key = version_key(head.shards[0].digest)
    if not store.exists(key):
        raise EvidenceError(
            "the golden set's version is gone", where=f"{store.url}/{key}",
            remedy=f"run the job {name}_golden_set again",
        )  # fmt: skip
    return head, store.get(key)[0].decode(), f"{store.url}/{key}"
