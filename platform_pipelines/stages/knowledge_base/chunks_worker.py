"""Inside a worker process: cut one shard's documents into chunks, keeping those that stand."""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from platform_pipelines.compute.protocol import Working
from platform_pipelines.core.knowledge_base.chunking.policy import (
    ChunkPolicies,
    policies_from_mapping,
    policy_digest,
)
from platform_pipelines.core.knowledge_base.chunking.split import chunk_document
from platform_pipelines.core.knowledge_base.chunks import Chunk
from platform_pipelines.core.knowledge_base.documents import (
    DocumentType,
    ParsedDocument,
    Place,
    blocks_from_json,
    place_record,
)
from platform_pipelines.core.knowledge_base.embed_declaration import EmbedSpec
from platform_pipelines.core.road.identity import canonical_json, digest_parts, digest_text
from platform_pipelines.gateways.embedder import Embedder, TokenCounter
from platform_pipelines.gateways.object_store import ObjectStore
from platform_pipelines.stages.knowledge_base import connect
from platform_pipelines.stages.knowledge_base.chunks_standing import Standing
from platform_pipelines.stages.knowledge_base.layering import MOST_OWN, layer_on, take_rows
from platform_pipelines.stages.knowledge_base.layers import layer_path, write_layer
from platform_pipelines.stages.knowledge_base.tables import (
    chunks_schema,
    read_batches,
    read_table,
    table_of,
    table_writer,
    writing_beside,
)
from platform_pipelines.stages.road.access import open_named

if TYPE_CHECKING:
    import pyarrow as pa

BATCH_DOCUMENTS = 64  # in memory with their text
SHEET_ROWS = 1024  # made before they are written
DOCUMENT_COLUMNS = (
    "key", "state", "document_digest", "type", "code_language", "title", "language", "blocks"
)  # fmt: skip

Row = dict[str, Any]


def splitter_version() -> str:
    """The splitting library's version: part of every policy digest."""
    from importlib.metadata import version

    return version("langchain-text-splitters")


def chunk_shards(
    access: Mapping[str, Any], items: Iterator[Mapping[str, Any]]
) -> Iterator[Mapping[str, Any] | Working]:
    """Operation `chunks.shards`: the task's `arguments` are `{shards, chunk, embed, tokenizer}`.

    `shards` are `{shard, documents, previous, path}`, keys in the task's store. The record is
    `{shards}`: of each `{shard, path, rows, documents, kept, made}`.
    """
    # A process that has other work, too, gives the tokenizer back: 270 MB of the local model's.
    open_tools = _kept_tools if access["keeps_open"] else lru_cache(maxsize=1)(_tools)
    for spec in items:
        arguments = spec["arguments"]
        settings = {name: arguments[name] for name in ("chunk", "embed", "tokenizer")}
        tools = open_tools(spec["store"], canonical_json(settings), canonical_json(dict(access)))
        results: list[Mapping[str, Any]] = []
        for shard, result in _cut_all(tools, arguments["shards"]):
            results.append({"shard": shard, **result})
            yield Working({"documents": result["documents"]})
        yield {"shards": results}


def _cut_all(
    tools: "Tools", shards: Sequence[Mapping[str, Any]]
) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """The result of each shard; when all are taken, all files are there."""
    import pyarrow as pa

    changed: list[Mapping[str, Any]] = []
    for shard in shards:
        result = cut_layer(tools, shard)
        if result is None:
            changed.append(shard)
        else:
            yield shard["shard"], result
    if len(changed) == 1:  # it may be large: written while it is made
        (one,) = changed
        with table_writer(tools.store, one["path"], chunks_schema()) as write_part:
            result = cut_shard(tools, one, write_part)
        yield one["shard"], result
        return
    with writing_beside(tools.store) as write:
        for shard in changed:
            parts = [pa.Table.from_batches([], chunks_schema())]
            result = cut_shard(tools, shard, parts.append)
            write(shard["path"], pa.concat_tables(parts))
            yield shard["shard"], result


class Tools:
    """What all shards of a run need, opened once a worker."""

    def __init__(
        self,
        store: ObjectStore,
        policies: ChunkPolicies,
        counter: TokenCounter,
        embedder: Callable[[], Embedder],
        tokenizer: str,
    ) -> None:
        self.store = store
        self.policies = policies
        self.counter = counter
        self._embedder = embedder
        version = splitter_version()
        self.policy_digests = {
            kind: digest_parts(policy_digest(policies.for_type(kind), version), tokenizer)
            for kind in DocumentType
        }

    def embed(self, sentences: Sequence[str]) -> Any:
        """Sentence vectors for the semantic policy; loads the model when first asked."""
        return self._embedder().embed_passages(list(sentences))


def _tools(store: str, settings_json: str, access_json: str) -> Tools:
    """The tools of one run: its store, its policies and its embedder's token counter."""
    settings, access = json.loads(settings_json), json.loads(access_json)
    spec = EmbedSpec.model_validate(settings["embed"])
    model = connect.task_model(access, spec)
    if spec.provider == "local":
        connect.make_model(Path(model["model_dir"]), lambda _: None)
    opened = lru_cache(maxsize=1)(lambda: connect.embedder_from_record(model, spec))
    return Tools(
        open_named(access, store, create=True),
        policies_from_mapping(settings["chunk"]),
        connect.counter_from_record(model, spec),
        opened,
        settings["tokenizer"],
    )


_kept_tools = lru_cache(maxsize=1)(_tools)


def cut_shard(
    tools: Tools, item: Mapping[str, Any], write: "Callable[[pa.Table], None]"
) -> Mapping[str, Any]:
    """Give one shard's chunks to `write`, some rows at a time. See `chunk_shards`."""
    standing = Standing(tools.store, item.get("previous"))
    counts: Counter[str] = Counter(documents=0, kept=0, made=0)
    sheet = _Sheet(write)
    for document in _documents(tools.store, item["documents"]):
        policy_name = tools.policy_digests[DocumentType(document["type"])]
        counts["documents"] += 1
        kept = standing.find(document["document_digest"], policy_name)
        if kept is not None:
            sheet.add_table(kept)
            counts["kept"] += kept.num_rows
            continue
        made = _chunk(tools, document, policy_name)
        sheet.add_rows(made)
        counts["made"] += len(made)
    sheet.flush()
    return {**counts, "rows": counts["kept"] + counts["made"], "path": item["path"]}


def cut_layer(tools: Tools, item: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Chunks of a few changed documents, put on those that stand; the text of no other is read.

    None when it has to be written whole.
    """
    standing, store = Standing(tools.store, item.get("previous")), tools.store
    if standing.path is None:
        return None
    documents = _parsed(store, item["documents"])
    runs = [
        standing.run(digest, tools.policy_digests[DocumentType(kind)])
        for _, digest, kind in documents
    ]
    missing = [place for (place, _, _), run in zip(documents, runs, strict=True) if run is None]
    if len(missing) > MOST_OWN * len(documents):
        return None
    changed = take_rows(store, item["documents"], missing, DOCUMENT_COLUMNS).to_pylist()
    cut = iter(
        [_chunk(tools, row, tools.policy_digests[DocumentType(row["type"])]) for row in changed]
    )
    order: list[int] = []
    made: list[Row] = []
    for run in runs:
        rows = next(cut) if run is None else []
        order += range(-1 - len(made), -1 - len(made) - len(rows), -1)
        order += range(run[0], run[0] + run[1]) if run else ()
        made += rows
    layer = layer_on(store, standing.path, order, table_of(made, chunks_schema()))
    if layer is None:
        return None
    path = layer_path(item["path"], layer.base)
    write_layer(store, path, layer)
    counts = {"documents": len(documents), "kept": len(order) - len(made), "made": len(made)}
    return {**counts, "rows": len(order), "path": path}


def _parsed(store: ObjectStore, path: str) -> list[tuple[int, str, str]]:
    """(place, digest, type) of a shard's parsed documents."""
    names = ["state", "document_digest", "type"]
    rows = zip(*(read_table(store, path, names).column(n).to_pylist() for n in names), strict=True)
    return [
        (at, digest, kind) for at, (state, digest, kind) in enumerate(rows) if state == "parsed"
    ]


class _Sheet:
    """Chunks on their way into the file: rows that were made and runs that stand, in order."""

    def __init__(self, write: Callable[["pa.Table"], None]) -> None:
        self._write = write
        self._rows: list[Row] = []
        self._parts: list[pa.Table] = []
        self._waiting = 0

    def add_rows(self, rows: Sequence[Row]) -> None:
        self._rows.extend(rows)
        self._grown(len(rows))

    def add_table(self, table: "pa.Table") -> None:
        self._settle()
        self._parts.append(table)
        self._grown(table.num_rows)

    def flush(self) -> None:
        """Write what waits."""
        import pyarrow as pa

        self._settle()
        if self._parts:
            self._write(pa.concat_tables(self._parts))
        self._parts, self._waiting = [], 0

    def _grown(self, rows: int) -> None:
        self._waiting += rows
        if self._waiting >= SHEET_ROWS:
            self.flush()

    def _settle(self) -> None:
        if self._rows:
            self._parts.append(table_of(self._rows, chunks_schema()))
            self._rows = []


def _documents(store: ObjectStore, path: str) -> Iterator[Row]:
    """The parsed documents of a shard, some at a time."""
    for batch in read_batches(store, path, DOCUMENT_COLUMNS, rows=BATCH_DOCUMENTS):
        yield from (row for row in batch.to_pylist() if row["state"] == "parsed")


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


@lru_cache(maxsize=4096)
def _place_json(place: Place) -> str:
    return canonical_json(place_record(place))


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
        "place": _place_json(chunk.place),
        "title": document["title"],
        "language": document["language"],
        "type": document["type"],
    }
