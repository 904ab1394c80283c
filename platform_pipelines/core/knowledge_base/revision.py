"""A revision: one immutable index and all that made it, enough to search it without its source.

Its digest covers the documents, the policies, the models and the code versions of the stages; the
collection's name carries it, evidence is about it, and the release log points at it.
"""

import json
from collections.abc import Mapping
from typing import Any

from pydantic.dataclasses import dataclass

from platform_pipelines.core.knowledge_base.answer_declaration import AnswerSpec
from platform_pipelines.core.knowledge_base.declaration import (
    DEFAULT_PREFIX,
    KnowledgeBaseSpec,
)
from platform_pipelines.core.knowledge_base.embed_declaration import EmbedSpec
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
class ModelRecipe:
    """A language model of an OpenAI-compatible server."""

    url: str
    model: str


@dataclass(frozen=True, config=CONFIG)
class AnswerRecipe:
    """The chain that answers: prompt, models (in the order in which they are asked), parameters.

    `prompt` is the text itself: a live revision answers as it was evaluated.
    """

    prompt_name: str
    prompt: str
    models: tuple[ModelRecipe, ...]
    temperature: float
    max_tokens: int
    passages: int
    mmr: bool
    fetch_k: int
    diversity: float


@dataclass(frozen=True, config=CONFIG)
class SearchRecipe:
    """All that a search of the revision needs beside its index: never today's declaration."""

    tenant: str
    shards: int
    embed: EmbedRecipe
    prefix: str = DEFAULT_PREFIX  # of its collection and of the alias that readers follow
    answer: AnswerRecipe | None = None  # none was declared: the shipped extractive chain


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
        """Of the content and of how it is searched and answered from; not of counts or notes."""
        prefix, answer = self.recipe.prefix, self.recipe.answer
        return digest_json(
            {
                "name": self.name,
                "chunks": self.chunks_digest,
                "embedder": self.embedder_digest,
                "index": dict(self.index),
                "tenant": self.recipe.tenant,
                **({} if prefix == DEFAULT_PREFIX else {"prefix": prefix}),
                **({"answer": plain(answer)} if answer else {}),
            }
        )

    @property
    def record_digest(self) -> str:
        """Of all that is written: what was damaged is not believed."""
        return digest_json(self._record())

    @property
    def collection(self) -> str:
        """The collection's name."""
        return collection_of(self.name, self.digest, self.recipe.prefix)

    def to_json(self) -> str:
        """One JSON text that carries its own digests."""
        record = {**self._record(), "digest": self.digest, "record_digest": self.record_digest}
        return json.dumps(record, ensure_ascii=False, indent=1, allow_nan=False)

    def _record(self) -> Raw:
        return self.stored or plain(self)


def recipe_of(spec: KnowledgeBaseSpec, *, prompt: str = "") -> SearchRecipe:
    """How a revision that is built under this declaration will be searched and answered from.

    `prompt` is the text of the declared one; it is not needed where no `answer` is declared.
    """
    return SearchRecipe(
        tenant=spec.tenant,
        shards=spec.source.shards,
        embed=embed_recipe(spec.embed),
        prefix=spec.index.prefix,
        answer=answer_recipe(spec.answer, prompt) if spec.answer else None,
    )


def answer_recipe(answer: AnswerSpec, prompt: str) -> AnswerRecipe:
    """What a declaration says of the chain."""
    first = [ModelRecipe(answer.url, answer.model)] if answer.url and answer.model else []
    return AnswerRecipe(
        prompt_name=answer.prompt,
        prompt=prompt,
        models=(*first, *(ModelRecipe(m.url, m.model) for m in answer.fallbacks)),
        temperature=answer.temperature,
        max_tokens=answer.max_tokens,
        passages=answer.passages,
        mmr=answer.mmr,
        fetch_k=answer.fetch_k,
        diversity=answer.diversity,
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


def collection_of(name: str, digest: str, prefix: str = DEFAULT_PREFIX) -> str:
    """The collection of a revision of a knowledge base."""
    return f"{collection_prefix(name, prefix)}{digest[:COLLECTION_DIGEST_CHARACTERS]}"


def collection_prefix(name: str, prefix: str = DEFAULT_PREFIX) -> str:
    """What all collections of a knowledge base start with; no name has two underscores in a row."""
    return f"{prefix}_{name}__"


def alias_name(name: str, prefix: str = DEFAULT_PREFIX) -> str:
    """The alias that readers follow."""
    return f"{prefix}_{name}"


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
