"""Opening what is live, by name alone: the release log says which revision, its record says how."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from platform_pipelines.core.knowledge_base.calibration import Calibration
from platform_pipelines.core.knowledge_base.evidence import calibration_of
from platform_pipelines.core.knowledge_base.revision import Revision, alias_name
from platform_pipelines.core.road.releases import ReleaseEntry
from platform_pipelines.core.road.snapshot import snapshot_from_json
from platform_pipelines.errors import UnknownNameError
from platform_pipelines.gateways.object_store import ObjectStore
from platform_pipelines.settings import Settings
from platform_pipelines.stages.knowledge_base import connect
from platform_pipelines.stages.knowledge_base.evidence import STAGE as EVIDENCE
from platform_pipelines.stages.knowledge_base.evidence import read_evidence
from platform_pipelines.stages.knowledge_base.retrieve import Retriever
from platform_pipelines.stages.knowledge_base.revisions import read_revision
from platform_pipelines.stages.road import connect as road
from platform_pipelines.stages.road.workspace import head_key


@dataclass(frozen=True, slots=True)
class Live:
    """A released knowledge base, opened for reading."""

    entry: ReleaseEntry
    revision: Revision
    retriever: Retriever
    calibration: Calibration | None


def names(settings: Settings) -> list[str]:
    """Knowledge bases that have a release log in this store, sorted."""
    store = road.open_platform_store(settings)
    found: set[str] = set()
    for batch in store.list_objects("knowledge"):
        for item in batch:
            parts = item.key.split("/")
            if len(parts) > 2 and parts[2] == "releases":
                found.add(parts[1])
    return sorted(found)


@contextmanager
def open_live(settings: Settings, name: str, progress: road.Progress) -> Iterator[Live]:
    """The live revision of a knowledge base: what its alias points to.

    Raises:
        UnknownNameError: nothing of that name was released; lists what was.
        UnavailableError: the vector store or the embedder does not answer.
    """
    store, newest = live_entry(settings, name)
    with connect.vectors_of(settings) as vectors:
        entry = _followed(store, name, newest, vectors.alias(alias_name(name)))
        revision = read_revision(store, entry.revision)
        embedder = connect.open_embedder(settings, revision.recipe.embed, progress)
        try:
            retriever = Retriever(vectors, embedder, revision, entry.target)
            yield Live(entry, revision, retriever, _calibration(store, entry))
        finally:
            embedder.close()


def _followed(
    store: ObjectStore, name: str, newest: ReleaseEntry, points_to: str | None
) -> ReleaseEntry:
    """The release that the alias points to: for a moment, or after a kill, it is not the newest.

    The collection itself is searched then, so that what is named is what is searched.
    """
    if points_to in (None, newest.target):
        return newest
    entries = road.release_log(store, name).entries()
    return next((e for e in reversed(entries) if e.target == points_to), newest)


def live_entry(settings: Settings, name: str) -> tuple[ObjectStore, ReleaseEntry]:
    """The knowledge base's store and the last entry of its release log.

    Raises:
        UnknownNameError: nothing of that name was released; lists what was.
    """
    store = connect.open_knowledge_store(settings, name)
    entry = road.release_log(store, name).head()
    if entry is None:
        known = names(settings)
        raise UnknownNameError(
            f"nothing called {name!r} is released",
            where=settings.store_url,
            stored=", ".join(known) or "no knowledge base at all",
            remedy=f"run `dg launch --job {name}_refresh`, or name one of those",
        )
    return store, entry


def _calibration(store: ObjectStore, entry: ReleaseEntry) -> Calibration | None:
    """From the newest evidence about what is live, else from the evidence of its release."""
    if store.exists(head_key(EVIDENCE)):
        data, _ = store.get(head_key(EVIDENCE))
        head = snapshot_from_json(data, where=f"{store.url}/{head_key(EVIDENCE)}")
        if head.details["revision"] == entry.revision:
            found = read_evidence(store, head.details["evidence"])
            return calibration_of(found) if found else None
    found = read_evidence(store, entry.evidence_digest or "")
    return calibration_of(found) if found else None
