"""A revision: one immutable index and all that made it, enough to search it without its source.

Its digest covers the documents, the policies, the models and the code versions of the stages; the
collection's name carries it, evidence is about it, and the release log points at it.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from platform_pipelines.core.knowledge_base.declaration import KnowledgeBaseSpec, parse_declaration
from platform_pipelines.core.road.identity import digest_json
from platform_pipelines.core.road.snapshot import ShardRecord
from platform_pipelines.errors import IntegrityError

COLLECTION_DIGEST_CHARACTERS = 16
FORMAT = 1  # of the record; raise it when an older version would read a new one wrongly


@dataclass(frozen=True, slots=True)
class Revision:
    """What was built. `chunks` and `vectors` are the shard files that it was built from."""

    name: str
    chunks_digest: str
    embedder_digest: str
    index: Mapping[str, Any]  # kind, metric, parameters, keyword, tokeniser version
    rows: int
    documents: int
    dimension: int
    chunks: tuple[ShardRecord, ...]
    vectors: tuple[ShardRecord, ...]
    declaration: Mapping[str, Any]
    notes: Mapping[str, str]  # why this index kind, what fell back

    @property
    def digest(self) -> str:
        """Of the content and of how it is searched; not of counts, notes or file names."""
        return digest_json(
            {
                "name": self.name,
                "chunks": self.chunks_digest,
                "embedder": self.embedder_digest,
                "index": dict(self.index),
                "tenant": self.declaration["tenant"],
            }
        )

    @property
    def collection(self) -> str:
        """The collection's name."""
        return collection_of(self.name, self.digest)

    @property
    def spec(self) -> KnowledgeBaseSpec:
        """The declaration that it was built under.

        Raises:
            ConfigurationError: it was written under a schema that this version does not have.
        """
        return parse_declaration(self.declaration, where=f"revision {self.collection}")

    def to_json(self) -> str:
        """One JSON text that carries its own digest."""
        record = {"format": FORMAT, **asdict(self), "digest": self.digest}
        return json.dumps(record, ensure_ascii=False, indent=1, allow_nan=False)


def revision_from_json(text: str | bytes, *, where: str) -> Revision:
    """The inverse of `Revision.to_json`.

    Raises:
        IntegrityError: not a revision, of another format, or not what its digest says.
    """
    try:
        record = json.loads(text)
        _check_format(record.pop("format"), where)
        stored = record.pop("digest")
        for field in ("chunks", "vectors"):
            record[field] = tuple(ShardRecord(**shard) for shard in record[field])
        revision = Revision(**record)
        digest = revision.digest
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise IntegrityError(
            f"not a revision: {error}", where=where, remedy="run the refresh job again"
        ) from error
    if digest != stored:
        raise IntegrityError(
            "the revision is not what its digest says",
            where=where,
            stored=stored,
            expected=digest,
            remedy="run the refresh job again",
        )
    return revision


def _check_format(stored: object, where: str) -> None:
    if stored != FORMAT:
        raise IntegrityError(
            "the revision's record is of a format that this version does not read",
            where=where,
            stored=stored,
            expected=FORMAT,
            remedy="use the version that wrote it, or delete heads/index.json and refresh",
        )


def collection_of(name: str, digest: str) -> str:
    """The collection of a revision of a knowledge base."""
    return f"{collection_prefix(name)}{digest[:COLLECTION_DIGEST_CHARACTERS]}"


def collection_prefix(name: str) -> str:
    """What all collections of a knowledge base start with; no name has two underscores in a row."""
    return f"kb_{name}__"


def alias_name(name: str) -> str:
    """The alias that readers follow."""
    return f"kb_{name}"
