"""`index`: build the candidate revision in the vector store, beside whatever is live.

A small change costs little: a spare collection, or a candidate that was never released, is brought
to the candidate's rows; a fresh one is built where none is fit (`building`).
"""

from dataclasses import replace
from typing import Any

from platform_pipelines.core.knowledge_base.declaration import IndexSpec, KnowledgeBaseSpec
from platform_pipelines.core.knowledge_base.index_choice import (
    IndexChoice,
    choose_index,
    preferred_kind,
)
from platform_pipelines.core.knowledge_base.keywords import KEYWORDS_VERSION
from platform_pipelines.core.knowledge_base.revision import (
    Revision,
    recipe_of,
)
from platform_pipelines.core.knowledge_base.slots import SlotState
from platform_pipelines.core.road.identity import digest_parts
from platform_pipelines.core.road.snapshot import Snapshot, plan_shards
from platform_pipelines.errors import ConflictError, EvidenceError
from platform_pipelines.gateways.vector_store import Capabilities, VectorStore
from platform_pipelines.stages.knowledge_base import connect
from platform_pipelines.stages.knowledge_base.building import Built, ensure_collection, is_whole
from platform_pipelines.stages.knowledge_base.chunks import STAGE as CHUNKS
from platform_pipelines.stages.knowledge_base.chunks import chunk_settings
from platform_pipelines.stages.knowledge_base.collect import collect
from platform_pipelines.stages.knowledge_base.owned import refuse_foreign_alias
from platform_pipelines.stages.knowledge_base.pointer import Alias
from platform_pipelines.stages.knowledge_base.prompts import shipped_prompt
from platform_pipelines.stages.knowledge_base.revisions import read_revision, revision_key
from platform_pipelines.stages.knowledge_base.slots import read_slot
from platform_pipelines.stages.knowledge_base.vectors import STAGE as VECTORS
from platform_pipelines.stages.knowledge_base.workspace import Workspace
from platform_pipelines.stages.road import connect as road
from platform_pipelines.stages.road.outcome import StageOutcome
from platform_pipelines.stages.road.release import repair
from platform_pipelines.stages.road.workspace import POINTER

STAGE = "index"
EXACT = "FLAT"
SEARCH_VERSION = 2  # raise it when `retrieve` would answer another order from the same lists


def refresh_index(workspace: Workspace) -> StageOutcome:
    """Bring the candidate revision up to the vectors and the declared index.

    Raises:
        CapabilityError: the server cannot build the declared index, and no fallback is declared.
        UnavailableError: the vector store does not answer; nothing was released.
        IntegrityError: rows and counts do not agree.
        EvidenceError: chunks or vectors were made under another declaration.
        ConflictError: the vectors are not of these chunks (another run is between the two).
    """
    chunks = workspace.require_head(CHUNKS)
    vectors = workspace.require_head(VECTORS)
    _require_of_one(workspace, chunks, vectors)
    previous, version = workspace.head(STAGE)
    request = _request_digest(workspace, chunks, vectors)
    with connect.vectors_of(workspace.settings) as store:
        repair(workspace, Alias(workspace, store))
        if previous and previous.settings == request and _stands(workspace, store, previous):
            return StageOutcome.unchanged(previous)
        with workspace.writing(STAGE, version) as held:
            refuse_foreign_alias(held, store)
            revision = _revision(held, store, chunks, vectors)
            # Before the collection: what a killed run leaves is known to be ours, and collected.
            held.store.put(revision_key(revision.digest), revision.to_json().encode())
            built = ensure_collection(held, store, revision, recycle=True)
            snapshot = _record(revision, built, request)
            held.move_head(snapshot, version)
            with held.lease(POINTER) as pointer:
                entries = road.release_log(held.store, held.name).entries()
                collect(held.holding(pointer), store, entries, revision, built.collection)
    changes = {"inserted": built.inserted, "deleted": built.deleted}
    return StageOutcome.changed(snapshot, previous, changes)


def _require_of_one(workspace: Workspace, chunks: Snapshot, vectors: Snapshot) -> None:
    """A revision's record says how to search it: today's declaration must be what made it."""
    embedder = connect.embedder_identity(workspace.settings, workspace.spec.embed)
    pairs = ((chunks, chunk_settings(workspace)), (vectors, embedder))
    for snapshot, declared in pairs:
        if snapshot.settings != declared:
            raise EvidenceError(
                f"`{snapshot.stage}` were made under another declaration",
                where=workspace.name,
                stored=snapshot.settings,
                expected=declared,
                remedy=f"run the job {workspace.name}_refresh, or materialise "
                f"{snapshot.stage} first",
            )
    if not plan_shards(VECTORS, chunks, vectors, settings=embedder).is_empty:
        raise ConflictError(
            "the vectors are not of these chunks",
            where=workspace.name,
            stored=vectors.digest,
            expected=f"vectors of the chunks {chunks.digest}",
            remedy="materialise vectors first; another run may be between the two: run again",
        )


def _record(revision: Revision, built: Built, request: str) -> Snapshot:
    """The snapshot that points to the revision's record."""
    return Snapshot(
        stage=STAGE,
        settings=request,
        shards=(),
        counts={"rows": revision.rows, "documents": revision.documents},
        details={
            "revision": revision.digest,
            "collection": built.collection,
            "built": built.told,
            "index": dict(revision.index),
            "notes": dict(revision.notes),
        },
    )


def _request_digest(workspace: Workspace, chunks: Snapshot, vectors: Snapshot) -> str:
    spec = workspace.spec
    server = workspace.settings.milvus_uri or "embedded"
    return digest_parts(
        chunks.digest, vectors.digest, spec.index.model_dump_json(), spec.embed.model_dump_json(),
        spec.tenant, server, str(KEYWORDS_VERSION), str(SEARCH_VERSION), *_answered(spec),
    )  # fmt: skip


def _answered(spec: KnowledgeBaseSpec) -> list[str]:
    """A changed prompt or model takes the road like a changed document."""
    return [spec.answer.model_dump_json(), _prompt(spec)] if spec.answer else []


def _prompt(spec: KnowledgeBaseSpec) -> str:
    return shipped_prompt(spec.answer.prompt) if spec.answer else ""


def _stands(workspace: Workspace, store: VectorStore, previous: Snapshot) -> bool:
    """Whether the collection that was built last, and its record, are still there and whole."""
    digest, collection = previous.details["revision"], previous.details["collection"]
    slot = read_slot(workspace, collection)
    if slot and not (slot.state is SlotState.SEALED and slot.revision == digest):
        return False
    if not workspace.store.exists(revision_key(digest)):
        return False
    revision = read_revision(workspace.store, digest)
    there = collection in store.collections(workspace.collection_prefix)
    return there and is_whole(store, revision, collection)


def _revision(
    workspace: Workspace, store: VectorStore, chunks: Snapshot, vectors: Snapshot
) -> Revision:
    spec = workspace.spec
    dimension = vectors.counts["dimension"]
    capabilities = _capabilities(workspace, store, rows=chunks.rows)
    choice = choose_index(
        spec.index.kind,
        rows=chunks.rows,
        dimension=dimension,
        capabilities=capabilities,
        gpu=workspace.settings.milvus_gpu,
        fallback=spec.index.fallback,
    )
    keyword = spec.index.keyword and capabilities.keyword_search
    documents = workspace.require_head("documents")
    return Revision(
        name=spec.name,
        chunks_digest=chunks.digest,
        embedder_digest=vectors.settings,
        index=_index_record(spec.index, choice, keyword=keyword),
        rows=chunks.rows,
        documents=documents.counts["parsed"],
        dimension=dimension,
        chunks=chunks.shards,
        vectors=vectors.shards,
        declaration=spec.model_dump(mode="json"),
        recipe=recipe_of(spec, prompt=_prompt(spec)),
        notes=_notes(choice, wanted=spec.index.keyword, keyword=keyword, server=capabilities),
    )


def _capabilities(workspace: Workspace, store: VectorStore, *, rows: int) -> Capabilities:
    """What a probe of the preferred kind saw; of all kinds, when the server cannot do that one.

    The embedded Milvus is a part of this product: exact search and keywords are known of it. They
    are not probed, so that no busy machine makes a lesser revision.
    """
    settings = workspace.settings
    product, server_version = store.server()
    kind = preferred_kind(
        workspace.spec.index.kind, rows=rows, product=product, gpu=settings.milvus_gpu
    )
    is_embedded = settings.milvus_uri is None
    if is_embedded and kind == EXACT:
        return Capabilities(product, server_version, (EXACT,), keyword_search=True)
    seen = store.capabilities((kind,))
    if kind not in seen.index_kinds:
        seen = store.capabilities()
    return replace(seen, keyword_search=seen.keyword_search or is_embedded)


def _index_record(spec: IndexSpec, choice: IndexChoice, *, keyword: bool) -> dict[str, Any]:
    """How it is stored and searched: all of it is part of the revision, and so is gated."""
    return {
        "kind": str(choice.kind),
        "metric": spec.metric,
        "dense_weight": spec.dense_weight,
        "keyword_weight": spec.keyword_weight,
        "rank_constant": spec.rank_constant,
        "search_version": SEARCH_VERSION,
        **({"collapse_copies": True} if spec.collapse_copies else {}),
        "index_parameters": dict(choice.index_parameters),
        "search_parameters": dict(choice.search_parameters),
        "keyword": keyword,
        "keywords_version": KEYWORDS_VERSION,
    }


def _notes(choice: IndexChoice, *, wanted: bool, keyword: bool, server: Any) -> dict[str, str]:
    notes = {"server": f"{server.product} {server.version}", "index": choice.reason}
    if choice.fallback_from:
        notes["fallback"] = f"{choice.fallback_from} was asked for; {choice.kind} was built"
    if wanted and not keyword:
        notes["keyword"] = f"{server.product} {server.version} has no BM25: vectors alone are used"
    return notes
