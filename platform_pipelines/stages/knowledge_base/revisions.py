"""Records of revisions in the store: written once, named by their digest, read by everybody."""

from platform_pipelines.core.knowledge_base.revision import Revision, revision_from_json
from platform_pipelines.errors import EvidenceError, IntegrityError
from platform_pipelines.gateways.object_store import ObjectStore
from platform_pipelines.stages.knowledge_base.workspace import Workspace

REVISIONS = "revisions"
INDEX = "index"  # the stage whose head names the candidate


def revision_key(digest: str) -> str:
    """Where the record of a revision is."""
    return f"{REVISIONS}/{digest}.json"


def read_revision(store: ObjectStore, digest: str) -> Revision:
    """The record of a revision.

    Raises:
        EvidenceError: there is none.
        IntegrityError: it is damaged.
    """
    key = revision_key(digest)
    if not store.exists(key):
        raise EvidenceError(
            f"there is no record of revision {digest}",
            where=f"{store.url}/{key}",
            remedy="restore it from a backup, or delete heads/index.json and run the refresh job",
        )
    data, _ = store.get(key)
    return revision_from_json(data, where=f"{store.url}/{key}")


def find_revision(store: ObjectStore, digest: str) -> Revision | None:
    """The record of a revision, or None when there is none that can be read."""
    try:
        return read_revision(store, digest)
    except (EvidenceError, IntegrityError):
        return None


def revision_names(store: ObjectStore) -> list[str]:
    """The digests of all revisions that there is a record of."""
    listed = (item.key for batch in store.list_objects(REVISIONS) for item in batch)
    return [key.rpartition("/")[2].removesuffix(".json") for key in listed]


def candidate(workspace: Workspace) -> Revision:
    """The revision that was built last.

    Raises:
        EvidenceError: nothing was indexed yet.
    """
    head = workspace.require_head(INDEX)
    return read_revision(workspace.store, head.details["revision"])
