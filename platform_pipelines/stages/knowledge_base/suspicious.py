"""Looking through a revision's chunks for passages that speak to a language model."""

from typing import TYPE_CHECKING, Any

from platform_pipelines.core.knowledge_base.revision import Revision
from platform_pipelines.core.knowledge_base.suspicion import (
    ANY,
    NAMED,
    Suspicious,
    excerpt,
    suspicions,
)
from platform_pipelines.gateways.object_store import ObjectStore
from platform_pipelines.stages.knowledge_base.tables import read_batches

if TYPE_CHECKING:
    import pyarrow as pa


def suspicious_passages(store: ObjectStore, revision: Revision) -> Suspicious:
    """All of them counted, the first named; a batch of a shard is held at a time."""
    documents: dict[str, list[str]] = {}
    named: list[dict[str, Any]] = []
    for shard in revision.chunks:
        for batch in read_batches(store, shard.path, ["document_key", "text"]):
            for key, text in _found(batch):
                documents.setdefault(key, []).append(text)
                if len(named) < NAMED:
                    why = ", ".join(suspicions(text))
                    named.append({"document": key, "why": why, "text": excerpt(text)})
    return Suspicious(
        chunks=sum(len(texts) for texts in documents.values()),
        documents=len(documents),
        named=tuple(sorted(named, key=lambda one: (one["document"], one["text"]))),
    )


def _found(batch: "pa.RecordBatch") -> list[tuple[str, str]]:
    from pyarrow import compute

    functions: Any = compute
    mask = functions.match_substring_regex(batch.column("text"), pattern=ANY, ignore_case=True)
    kept = batch.filter(mask)
    pairs = zip(
        kept.column("document_key").to_pylist(), kept.column("text").to_pylist(), strict=True
    )
    return [(key, text) for key, text in pairs if suspicions(text)]
