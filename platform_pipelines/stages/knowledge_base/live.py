"""Opening what is live, by name alone: the release log says which revision, its record says how."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from platform_pipelines.core.knowledge_base.calibration import Calibration
from platform_pipelines.core.knowledge_base.revision import Revision, alias_name
from platform_pipelines.core.road.releases import ReleaseEntry
from platform_pipelines.errors import UnknownNameError
from platform_pipelines.gateways.embedder import Embedder
from platform_pipelines.gateways.object_store import ObjectStore
from platform_pipelines.gateways.vector_store import VectorStore
from platform_pipelines.settings import Settings
from platform_pipelines.stages.knowledge_base import connect
from platform_pipelines.stages.knowledge_base.retrieve import Retriever
from platform_pipelines.stages.knowledge_base.revisions import read_revision
from platform_pipelines.stages.knowledge_base.stored_evidence import calibration_in_use
from platform_pipelines.stages.knowledge_base.terms import CorpusTerms
from platform_pipelines.stages.road import connect as road


@dataclass(frozen=True, slots=True)
class Live:
    """A released knowledge base, opened for reading."""

    entry: ReleaseEntry
    revision: Revision
    retriever: Retriever
    calibration: Calibration | None


@dataclass(frozen=True, slots=True)
class LiveRecord:
    """What is released, as it is recorded; nothing is opened."""

    entry: ReleaseEntry
    revision: Revision
    calibration: Calibration | None
    terms: CorpusTerms | None = None

    def opened(self, vectors: VectorStore, embedder: Embedder) -> Live:
        """For reading; the caller closes what it gave."""
        retriever = Retriever(vectors, embedder, self.revision, self.entry.target, self.terms)
        return Live(self.entry, self.revision, retriever, self.calibration)


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
    with connect.vectors_of(settings) as vectors:
        record = read_live(settings, name, vectors)
        embedder = connect.open_embedder(settings, record.revision.recipe.embed, progress)
        try:
            yield record.opened(vectors, embedder)
        finally:
            embedder.close()


def read_live(settings: Settings, name: str, vectors: VectorStore) -> LiveRecord:
    """What readers of a knowledge base follow now.

    Raises:
        UnknownNameError: nothing of that name was released; lists what was.
        UnavailableError: the vector store does not answer.
    """
    store, newest = live_entry(settings, name)
    alias = alias_name(name, read_revision(store, newest.revision).recipe.prefix)
    entry = _followed(store, name, newest, vectors.alias(alias))
    revision = read_revision(store, entry.revision)
    terms = CorpusTerms(store, revision)
    return LiveRecord(entry, revision, calibration_in_use(store, entry), terms)


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
