"""Looking through a revision's chunks for passages that speak to a language model."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from platform_pipelines.core.knowledge_base.suspicion import (
    ANY,
    NAMED,
    Suspicious,
    excerpt,
    suspicions,
)

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(slots=True)
class Scan:
    """All of them counted, the first named; a batch of a shard is held at a time."""

    chunks: int = 0
    documents: set[str] = field(default_factory=set[str])
    named: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])

    def look(self, batch: "pa.RecordBatch") -> None:
        """Through the next chunks, with the columns `document_key` and `text`."""
        for key, text in _found(batch):
            self.chunks += 1
            self.documents.add(key)
            if len(self.named) < NAMED:
                why = ", ".join(suspicions(text))
                self.named.append({"document": key, "why": why, "text": excerpt(text)})

    @property
    def found(self) -> Suspicious:
        """What there was so far."""
        return Suspicious(self.chunks, len(self.documents), tuple(self.named))


def suspicious_of(parts: Iterable[Suspicious]) -> Suspicious:
    """What several scans found together, in their order; a document is in one of them alone."""
    chunks, documents, named = 0, 0, list[dict[str, Any]]()
    for part in parts:
        chunks, documents = chunks + part.chunks, documents + part.documents
        named += part.named
    first = sorted(named[:NAMED], key=lambda one: (one["document"], one["text"]))
    return Suspicious(chunks=chunks, documents=documents, named=tuple(first))


def _found(batch: "pa.RecordBatch") -> list[tuple[str, str]]:
    from pyarrow import compute

    functions: Any = compute
    mask = functions.match_substring_regex(batch.column("text"), pattern=ANY, ignore_case=True)
    kept = batch.filter(mask)
    pairs = zip(
        kept.column("document_key").to_pylist(), kept.column("text").to_pylist(), strict=True
    )
    return [(key, text) for key, text in pairs if suspicions(text)]
