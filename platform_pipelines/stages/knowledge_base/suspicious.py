"""Gathering a revision's passages that speak to a language model."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from platform_pipelines.core.knowledge_base.suspicion import NAMED, Suspicious

if TYPE_CHECKING:
    import pyarrow as pa

LOOKED_AT = ("document_key", "why", "excerpt")  # of findings


@dataclass(slots=True)
class Scan:
    """All of them counted, the first named; a shard's findings are held at a time."""

    chunks: int = 0
    documents: set[str] = field(default_factory=set[str])
    named: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])

    def look(self, findings: "pa.Table") -> None:
        """At the next chunks, with the columns `LOOKED_AT`."""
        from pyarrow import compute

        functions: Any = compute
        speaking = findings.filter(functions.not_equal(findings.column("why"), ""))
        columns = (speaking.column(name).to_pylist() for name in LOOKED_AT)
        for key, why, text in zip(*columns, strict=True):
            self.chunks += 1
            self.documents.add(key)
            if len(self.named) < NAMED:
                self.named.append({"document": key, "why": why, "text": text})

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
