"""Inside a worker process: cut one shard's documents into chunks, keeping those that stand."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from platform_pipelines.core.chunking.policy import (
    ChunkPolicies,
    policies_from_mapping,
    policy_digest,
)
from platform_pipelines.core.chunking.split import chunk_document
from platform_pipelines.core.chunks import Chunk
from platform_pipelines.core.declaration import EmbedSpec
from platform_pipelines.core.documents import (
    DocumentType,
    ParsedDocument,
    blocks_from_json,
    place_record,
)
from platform_pipelines.core.identity import canonical_json, digest_text
from platform_pipelines.gateways.embedder import Embedder, TokenCounter
from platform_pipelines.gateways.object_store import ObjectStore
from platform_pipelines.stages import connect
from platform_pipelines.stages.tables import chunks_schema, read_table, table_of, write_table

Row = dict[str, Any]


def splitter_version() -> str:
    """The splitting library's version: part of every policy digest."""
    from importlib.metadata import version

    return version("langchain-text-splitters")


def chunk_shards(
    shared: Mapping[str, Any], items: Iterator[Mapping[str, Any]]
) -> Iterator[Mapping[str, Any]]:
    """Operation `chunks.shard`: one shard an item.

    Items are `{documents, previous, path}`, keys in the knowledge base's store. Results are
    `{rows, documents, kept, made, tokens, longest}`.
    """
    tools = _tools(canonical_json(dict(shared)))
    for item in items:
        yield chunk_shard(tools, item)


class Tools:
    """What all shards of a run need, opened once a worker."""

    def __init__(
        self,
        store: ObjectStore,
        policies: ChunkPolicies,
        counter: TokenCounter,
        embedder: Callable[[], Embedder],
    ) -> None:
        self.store = store
        self.policies = policies
        self.counter = counter
        self._embedder = embedder
        version = splitter_version()
        self.policy_digests = {
            kind: policy_digest(policies.for_type(kind), version) for kind in DocumentType
        }

    def embed(self, sentences: Sequence[str]) -> Any:
        """Sentence vectors for the semantic policy; loads the model when first asked."""
        return self._embedder().embed_passages(list(sentences))


def open_tools(shared: Mapping[str, Any]) -> Tools:
    """The tools of one run: its store, its policies and its embedder's token counter."""
    spec = EmbedSpec.model_validate(shared["embed"])
    opened = lru_cache(maxsize=1)(lambda: connect.embedder_from_record(shared["model"], spec))
    return Tools(
        connect.open_from_record(canonical_json(shared["store"])),
        policies_from_mapping(shared["chunk"]),
        connect.counter_from_record(shared["model"], spec),
        opened,
    )


@lru_cache(maxsize=1)
def _tools(shared_json: str) -> Tools:
    import json

    return open_tools(json.loads(shared_json))


def chunk_shard(tools: Tools, item: Mapping[str, Any]) -> Mapping[str, Any]:
    """Write one shard's chunks; see `chunk_shards` for the item and the result."""
    standing = _standing(tools.store, item.get("previous"))
    rows: list[Row] = []
    counts = {"documents": 0, "kept": 0, "made": 0}
    for document in _documents(tools.store, item["documents"]):
        policy_name = tools.policy_digests[DocumentType(document["type"])]
        counts["documents"] += 1
        kept = standing.get((document["document_digest"], policy_name))
        if kept is not None:
            rows.extend(kept)
            counts["kept"] += len(kept)
            continue
        made = _chunk(tools, document, policy_name)
        rows.extend(made)
        counts["made"] += len(made)
    write_table(tools.store, item["path"], table_of(rows, chunks_schema()))
    tokens = [row["tokens"] for row in rows]
    return {**counts, "rows": len(rows), "tokens": sum(tokens), "longest": max(tokens, default=0)}


def _standing(store: ObjectStore, previous: str | None) -> dict[tuple[str, str], list[Row]]:
    """The last chunks by (document digest, policy digest): what is equal is not made again."""
    found: dict[tuple[str, str], list[Row]] = {}
    if previous is not None and store.exists(previous):
        for row in read_table(store, previous).to_pylist():
            found.setdefault((row["document_digest"], row["policy_digest"]), []).append(row)
    return found


def _documents(store: ObjectStore, path: str) -> list[Row]:
    columns = [
        "key", "state", "document_digest", "type", "code_language", "title", "language", "blocks",
    ]  # fmt: skip
    rows = read_table(store, path, columns).to_pylist()
    return [row for row in rows if row["state"] == "parsed"]


def _chunk(tools: Tools, row: Row, policy_name: str) -> list[Row]:
    document = ParsedDocument(
        type=DocumentType(row["type"]),
        title=row["title"],
        language=row["language"],
        blocks=blocks_from_json(row["blocks"]),
        code_language=row["code_language"] or None,
    )
    chunks = chunk_document(
        document,
        key=row["key"],
        policy=tools.policies.for_type(document.type),
        count_tokens=tools.counter.count,
        window_tokens=tools.counter.window_tokens,
        embed_sentences=tools.embed,
    )
    return [_row(chunk, row, policy_name) for chunk in chunks]


def _row(chunk: Chunk, document: Row, policy_name: str) -> Row:
    return {
        "chunk_id": chunk.chunk_id,
        "document_key": chunk.document_key,
        "document_digest": document["document_digest"],
        "policy_digest": policy_name,
        "ordinal": chunk.ordinal,
        "text": chunk.text,
        "search_text": chunk.search_text,
        "text_digest": digest_text(chunk.search_text),
        "tokens": chunk.tokens,
        "place": canonical_json(place_record(chunk.place)),
        "title": document["title"],
        "language": document["language"],
        "type": document["type"],
    }
