"""A revision: one immutable index and all that made it, enough to search it without its source.

Its digest covers the documents, the policies, the models and the code versions of the stages; the
collection's name carries it, evidence is about it, and the release log points at it.
"""

import json
from collections.abc import Mapping
from typing import Any

from pydantic.dataclasses import dataclass

from platform_pipelines.core.knowledge_base.declaration import EmbedSpec, KnowledgeBaseSpec
from platform_pipelines.core.road.identity import digest_json
from platform_pipelines.core.road.records import (
    CONFIG,
    VERSION,
    Format,
    Raw,
    plain,
    stored_field,
)
from platform_pipelines.core.road.snapshot import ShardRecord

COLLECTION_DIGEST_CHARACTERS = 16
FORMAT = 2  # 1 had no recipe: it was read from the declaration


@dataclass(frozen=True, config=CONFIG)
class EmbedRecipe:
    """How a revision's questions are embedded: what a declaration said of it when it was built."""

    provider: str
    model: str
    url: str | None = None
    dimension: int | None = None
    window_tokens: int | None = None
    revision: str = ""
    query_prefix: str = ""
    passage_prefix: str = ""
    tokenizer: str = "server"
    batch: int = 32
    concurrency: int = 4


@dataclass(frozen=True, config=CONFIG)
class SearchRecipe:
    """All that a search of the revision needs beside its index: never today's declaration."""

    tenant: str
    shards: int
    embed: EmbedRecipe


@dataclass(frozen=True, config=CONFIG)
class Revision:
    """What was built. `chunks` and `vectors` are the shard files that it was built from.

    `declaration` is for people: the words under which it was built, read by no program.
    """

    name: str
    chunks_digest: str
    embedder_digest: str
    index: Mapping[str, Any]  # kind, metric, parameters, keyword, weights, tokeniser version
    rows: int
    documents: int
    dimension: int
    chunks: tuple[ShardRecord, ...]
    vectors: tuple[ShardRecord, ...]
    declaration: Mapping[str, Any]
    notes: Mapping[str, str]  # why this index kind, what fell back
    recipe: SearchRecipe
    format: int = FORMAT
    written_by: str = VERSION
    stored: Any = stored_field()

    @property
    def digest(self) -> str:
        """Of the content and of how it is searched; not of counts, notes or file names."""
        return digest_json(
            {
                "name": self.name,
                "chunks": self.chunks_digest,
                "embedder": self.embedder_digest,
                "index": dict(self.index),
                "tenant": self.recipe.tenant,
            }
        )

    @property
    def record_digest(self) -> str:
        """Of all that is written: what was damaged is not believed."""
        return digest_json(self._record())

    @property
    def collection(self) -> str:
        """The collection's name."""
        return collection_of(self.name, self.digest)

    def to_json(self) -> str:
        """One JSON text that carries its own digests."""
        record = {**self._record(), "digest": self.digest, "record_digest": self.record_digest}
        return json.dumps(record, ensure_ascii=False, indent=1, allow_nan=False)

    def _record(self) -> Raw:
        return self.stored or plain(self)


def recipe_of(spec: KnowledgeBaseSpec) -> SearchRecipe:
    """How a revision that is built under this declaration will be searched."""
    return SearchRecipe(
        tenant=spec.tenant, shards=spec.source.shards, embed=embed_recipe(spec.embed)
    )


def embed_recipe(embed: EmbedSpec) -> EmbedRecipe:
    """What a declaration says of the embedder."""
    return EmbedRecipe(**embed.model_dump(mode="json", exclude={"profile"}))


def revision_from_json(text: str | bytes, *, where: str) -> Revision:
    """The inverse of `Revision.to_json`, also of what an earlier version wrote.

    Raises:
        IntegrityError: not a revision, of a newer format, or not what its digest says.
    """
    raw = _FORMAT.parse(text, where=where)
    stated, record_digest = raw.pop("digest", None), raw.pop("record_digest", None)
    revision = _FORMAT.read(raw, where=where)
    _FORMAT.must_equal("digest", stated, revision.digest, where=where)
    if raw.get("format", 1) >= FORMAT:  # the first format had no digest of the whole record
        _FORMAT.must_equal("record digest", record_digest, revision.record_digest, where=where)
    return revision


def collection_of(name: str, digest: str) -> str:
    """The collection of a revision of a knowledge base."""
    return f"{collection_prefix(name)}{digest[:COLLECTION_DIGEST_CHARACTERS]}"


def collection_prefix(name: str) -> str:
    """What all collections of a knowledge base start with; no name has two underscores in a row."""
    return f"kb_{name}__"


def alias_name(name: str) -> str:
    """The alias that readers follow."""
    return f"kb_{name}"


def _upgrade_1(raw: Raw) -> Raw:
    declared = raw["declaration"]
    recipe = {
        "tenant": declared["tenant"],
        "shards": declared["source"]["shards"],
        "embed": declared["embed"],
    }
    return {**raw, "recipe": recipe, "written_by": "0.1.0 or earlier"}


_FORMAT = Format(
    kind="a revision",
    model=Revision,
    current=FORMAT,
    remedy="run the refresh job again",
    upgrades={1: _upgrade_1},
)
