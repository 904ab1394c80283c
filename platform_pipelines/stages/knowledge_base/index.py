"""`index`: build the candidate revision in the vector store, beside whatever is live.

The collection's name carries the revision's digest. A collection that a killed run left half-filled
or did not seal is filled and sealed; one that is whole is taken as it is.
"""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from itertools import chain, islice, repeat, zip_longest
from typing import Any

from platform_pipelines.core.knowledge_base.declaration import IndexSpec, KnowledgeBaseSpec
from platform_pipelines.core.knowledge_base.index_choice import (
    IndexChoice,
    choose_index,
    preferred_kind,
)
from platform_pipelines.core.knowledge_base.keywords import KEYWORDS_VERSION, keyword_text
from platform_pipelines.core.knowledge_base.revision import (
    Revision,
    collection_prefix,
    recipe_of,
)
from platform_pipelines.core.road.identity import digest_parts
from platform_pipelines.core.road.snapshot import ShardRecord, Snapshot, plan_shards
from platform_pipelines.errors import ConflictError, EvidenceError, IntegrityError
from platform_pipelines.gateways.vector_store import Capabilities, CollectionSpec, Row, VectorStore
from platform_pipelines.stages.knowledge_base import connect
from platform_pipelines.stages.knowledge_base.chunks import STAGE as CHUNKS
from platform_pipelines.stages.knowledge_base.chunks import chunk_settings
from platform_pipelines.stages.knowledge_base.collect import collect
from platform_pipelines.stages.knowledge_base.pointer import Alias
from platform_pipelines.stages.knowledge_base.prompts import shipped_prompt
from platform_pipelines.stages.knowledge_base.revisions import read_revision, revision_key
from platform_pipelines.stages.knowledge_base.tables import read_batches
from platform_pipelines.stages.knowledge_base.vectors import STAGE as VECTORS
from platform_pipelines.stages.knowledge_base.vectors_worker import read_vectors
from platform_pipelines.stages.knowledge_base.workspace import Workspace
from platform_pipelines.stages.road import connect as road
from platform_pipelines.stages.road.outcome import StageOutcome
from platform_pipelines.stages.road.release import repair
from platform_pipelines.stages.road.workspace import POINTER

STAGE = "index"
EXACT = "FLAT"
SEARCH_VERSION = 1  # raise it when `retrieve` would answer another order from the same lists
INSERT_ROWS = 250
INSERTERS = 2
FIRST_ROWS = 128  # the server waits for the first ones
BATCH_ROWS = 256  # at a time as Python objects
SEAL_SECONDS = 1800.0

ROW_COLUMNS = (
    "chunk_id", "document_key", "text", "search_text", "text_digest", "title", "place", "language",
    "type",
)  # fmt: skip


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
            revision = _revision(held, store, chunks, vectors)
            # Before the collection: what a killed run leaves is known to be ours, and collected.
            held.store.put(revision_key(revision.digest), revision.to_json().encode())
            built = ensure_collection(held, store, revision)
            snapshot = _record(revision, request)
            held.move_head(snapshot, version)
            with held.lease(POINTER) as pointer:
                entries = road.release_log(held.store, held.name).entries()
                collect(held.holding(pointer), store, entries, revision)
    return StageOutcome.changed(snapshot, previous, {"inserted": built})


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


def _record(revision: Revision, request: str) -> Snapshot:
    """The snapshot that points to the revision's record."""
    return Snapshot(
        stage=STAGE,
        settings=request,
        shards=(),
        counts={"rows": revision.rows, "documents": revision.documents},
        details={
            "revision": revision.digest,
            "collection": revision.collection,
            "index": dict(revision.index),
            "notes": dict(revision.notes),
        },
    )


def collection_spec(revision: Revision) -> CollectionSpec:
    """What the revision's collection is in the vector store."""
    index = revision.index
    return CollectionSpec(
        name=revision.collection,
        dimension=revision.dimension,
        metric=index["metric"],
        index_kind=index["kind"],
        keyword=index["keyword"],
        index_parameters=index["index_parameters"],
        search_parameters=index["search_parameters"],
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
    digest = previous.details["revision"]
    if not workspace.store.exists(revision_key(digest)):
        return False
    revision = read_revision(workspace.store, digest)
    return _exists(store, revision) and _is_whole(store, revision)


def _exists(store: VectorStore, revision: Revision) -> bool:
    return revision.collection in store.collections(collection_prefix(revision.name))


def _is_whole(store: VectorStore, revision: Revision) -> bool:
    """Whether all rows are in and sealed; counted last: a server counts only what is loaded."""
    sealed = store.is_sealed(collection_spec(revision))
    return sealed and store.count(revision.collection) == revision.rows


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


def ensure_collection(workspace: Workspace, store: VectorStore, revision: Revision) -> int:
    """Make a revision's collection whole from its own files; how many rows were inserted.

    For the candidate, and for a live revision whose collection was lost with the vector store.

    Raises:
        IntegrityError: its files do not agree, or the store does not hold what was inserted.
    """
    spec, expected = collection_spec(revision), revision.rows
    present: set[str] = set()
    if not _exists(store, revision):
        store.create(spec)
    elif _is_whole(store, revision):
        return 0
    else:  # a killed run left it; what is not loaded cannot be listed
        store.seal(spec, timeout_seconds=SEAL_SECONDS)
        present = set(store.chunk_ids(revision.collection))
    inserted = _fill(workspace, store, revision, present)
    store.seal(spec, timeout_seconds=SEAL_SECONDS)
    stored = store.count(revision.collection)
    if stored != expected:
        raise IntegrityError(
            "the index does not hold what was inserted",
            where=revision.collection,
            stored=stored,
            expected=expected,
            remedy="drop the collection and run again; it will be built anew",
        )
    return inserted


def _fill(workspace: Workspace, store: VectorStore, revision: Revision, present: set[str]) -> int:
    """Insert what is not present; while one batch is stored, one is encoded and one is made."""
    inserted = 0
    workspace.progress(f"index: {revision.rows - len(present):,} chunks to insert")
    waiting: deque[Future[int]] = deque()
    with ThreadPoolExecutor(max_workers=INSERTERS) as inserters:
        for batch in _batches(workspace, revision, present):
            if len(waiting) == INSERTERS:
                inserted += waiting.popleft().result()
                workspace.progress(f"index: {inserted:,} of {revision.rows:,} chunks inserted")
            workspace.deadline.check("indexing")
            waiting.append(inserters.submit(store.insert, revision.collection, batch))
        inserted += sum(one.result() for one in waiting)
    return inserted


def _batches(workspace: Workspace, revision: Revision, present: set[str]) -> Iterator[list[Row]]:
    vectors = {s.shard: s for s in revision.vectors}
    rows = (
        row
        for shard in revision.chunks
        for row in _rows(workspace, revision, shard, vectors[shard.shard])
        if row.chunk_id not in present
    )
    for most in chain([FIRST_ROWS], repeat(INSERT_ROWS)):
        batch = list(islice(rows, most))
        if not batch:
            return
        yield batch


def _rows(
    workspace: Workspace, revision: Revision, shard: ShardRecord, vectors: ShardRecord
) -> Iterator[Row]:
    texts = read_batches(workspace.store, shard.path, ROW_COLUMNS, rows=BATCH_ROWS)
    rows = (row for batch in texts for row in batch.to_pylist())
    tenant, keyword = revision.recipe.tenant, revision.index["keyword"]
    for row, (digest, vector) in zip_longest(
        rows, read_vectors(workspace.store, vectors.path), fillvalue=("", None)
    ):
        if isinstance(row, tuple) or vector is None or row["text_digest"] != digest:
            raise _not_of_one(workspace, shard, vectors)
        yield Row(
            chunk_id=row["chunk_id"],
            document_key=row["document_key"],
            tenant=tenant,
            text=row["text"],
            title=row["title"],
            place=row["place"],
            language=row["language"],
            document_type=row["type"],
            keywords=keyword_text(row["search_text"]) if keyword else "",
            vector=vector,
        )


def _not_of_one(workspace: Workspace, shard: ShardRecord, vectors: ShardRecord) -> IntegrityError:
    return IntegrityError(
        "chunks and vectors are not of the same texts",
        where=f"{workspace.name}, shard {shard.shard}",
        stored=vectors.path,
        expected=shard.path,
        remedy=f"delete {vectors.path} and run again",
    )
