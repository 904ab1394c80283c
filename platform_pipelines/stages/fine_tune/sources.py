"""What a model learns from, read where it was declared: files, reviewed rows, knowledge bases."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Generic

from platform_pipelines.core.fine_tune.pairs import PairRow, chunk_pair, parse_pairs
from platform_pipelines.core.fine_tune.reviewed import Reviewed, parse_reviewed
from platform_pipelines.core.fine_tune.training_rows import ChatRow, R, Refused, parse_rows
from platform_pipelines.errors import UnknownNameError
from platform_pipelines.gateways.object_store import ObjectStore
from platform_pipelines.stages.fine_tune.workspace import Workspace
from platform_pipelines.stages.road.asking import read_text
from platform_pipelines.stages.road.connect import open_component_store
from platform_pipelines.stages.road.workspace import read_head

KNOWLEDGE = "knowledge"  # the folder of knowledge bases on the platform's store
CHUNKS = "chunks"  # their stage that has the passages
_COLUMNS = ("chunk_id", "text", "title", "place")


@dataclass(slots=True)
class Read(Generic[R]):
    """Rows, and what is none."""

    rows: list[R] = field(default_factory=list[R])
    refused: list[Refused] = field(default_factory=list[Refused])

    def add(self, one: R | Refused) -> None:
        """Keep it where it belongs."""
        if isinstance(one, Refused):
            self.refused.append(one)
        else:
            self.rows.append(one)


def read_chats(workspace: Workspace) -> Read[ChatRow]:
    """The chats of a language model."""
    data, read = workspace.spec.data, Read[ChatRow]()
    _files(workspace, read, parse_rows)
    for one in _reviewed(workspace, read.refused):
        read.add(one.chat(licence=data.licence))
    return read


def read_pairs(workspace: Workspace) -> Read[PairRow]:
    """The questions and passages of an embedder."""
    data, read = workspace.spec.data, Read[PairRow]()
    _files(workspace, read, parse_pairs)
    for one in _reviewed(workspace, read.refused):
        read.add(one.pair(licence=data.licence))
    for name in data.knowledge_bases:
        read.rows += _knowledge(workspace, name)
    return read


def _files(
    workspace: Workspace, read: Read[R], parse: Callable[..., tuple[list[R], list[Refused]]]
) -> None:
    data = workspace.spec.data
    for url in data.sources:
        text, place = read_text(workspace.settings, url), url.rpartition("/")[2]
        rows, refused = parse(text, place=place, licence=data.licence, tenant=data.tenant)
        read.rows += rows
        read.refused += refused


def _reviewed(workspace: Workspace, refused: list[Refused]) -> Iterator[Reviewed]:
    data = workspace.spec.data
    for url in data.reviewed:
        text, place = read_text(workspace.settings, url), url.rpartition("/")[2]
        rows, bad = parse_reviewed(text, place=place, tenant=data.tenant)
        refused += bad
        yield from rows


def _knowledge(workspace: Workspace, name: str) -> Iterator[PairRow]:
    """The chunks of a knowledge base as they stand now."""
    data = workspace.spec.data
    store = open_component_store(workspace.settings, KNOWLEDGE, name)
    head = read_head(store, CHUNKS)
    if head is None:
        raise UnknownNameError(
            "this knowledge base has no chunks yet",
            where=f"{workspace.name}, data.knowledge_bases",
            stored=name,
            expected=f"{store.url}/heads/{CHUNKS}.json",
            remedy=f"run the job {name}_refresh, or correct the name",
        )
    for shard in head.shards:
        for chunk in _rows(store, shard.path):
            row = chunk_pair(
                title=chunk["title"] or "",
                heading=json.loads(chunk["place"] or "{}").get("heading", ()),
                text=chunk["text"],
                licence=data.licence,
                tenant=data.tenant,
                place=f"{name}:{chunk['chunk_id']}",
            )
            if row is not None:
                yield row


def _rows(store: ObjectStore, key: str) -> Iterator[dict[str, Any]]:
    import pyarrow.parquet as pq

    with store.open_reader(key) as source, pq.ParquetFile(source) as file:
        for batch in file.iter_batches(columns=list(_COLUMNS)):
            yield from batch.to_pylist()
